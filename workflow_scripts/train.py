"""Train one job: the best epoch and the operating point are chosen on validation, the test part stays unread."""

import os
from pathlib import Path

import auscult.interrupts  # noqa: F401 (Ctrl-C is quiet from here on)
from auscult import tracking
from auscult.config import JobSettings, TaskSettings, load_project
from auscult.config.paths import tables_dir
from auscult.logs import stage_log
from auscult.ops.bucket_work import carried, telling
from auscult.run_events.live import live
from auscult.training.train import choose_budget_s, train

# A training on several devices starts this script once more for each: only the first one writes the log.
rank = int(os.environ.get("LOCAL_RANK", "0"))

with stage_log(snakemake.log[0] if rank == 0 else f"{snakemake.log[0]}.{rank}", snakemake.input):
    job = JobSettings.model_validate(snakemake.params.job)
    task = TaskSettings.model_validate(snakemake.params.task)
    name = (snakemake.wildcards.group, snakemake.wildcards.experiment, snakemake.wildcards.job)
    folder = Path(snakemake.output.weights).parent
    project = load_project(snakemake.config)
    with (
        carried(folder, [*snakemake.output, *snakemake.log], is_wanted=rank == 0) as files,
        tracking.live(project.tracking, name=name, job=job, task=task, folder=folder),
        live(project.events, name=name, job=job, folder=folder) as tell,
    ):
        train(
            features={dataset: [Path(path) for path in paths] for dataset, paths in snakemake.params.features.items()},
            tables={dataset: Path(tables_dir(dataset)) for dataset in job.datasets},
            split=Path(snakemake.input.split),
            clips={dataset: [Path(path) for path in paths] for dataset, paths in snakemake.params.clips.items()},
            embeddings={name: [Path(path) for path in paths] for name, paths in snakemake.params.embeddings.items()},
            member_splits=[Path(path) for path in snakemake.input.member_splits],
            job=job,
            task=task,
            output_dir=folder,
            device=project.device,
            threads=snakemake.threads,
            # Only the first attempt starts over: the next ones resume it.
            fresh=project.fresh and snakemake.resources.attempt_number == 1,
            budget_s=choose_budget_s(os.environ, project.budget_s, snakemake.resources.get("runtime")),
            stage_dir=project.stage_dir,
            tell=telling(tell, files),
        )
