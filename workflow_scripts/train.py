"""Train one job: the best epoch and the operating point are chosen on validation, the test part stays unread."""

import os
from pathlib import Path

from auscult.config import JobSettings, TaskSettings
from auscult.config.paths import tables_dir
from auscult.logs import stage_log
from auscult.training import run as training
from auscult.training.stop import choose_budget_s

# A training on several devices starts this script once more for each: only the first one writes the log.
rank = int(os.environ.get("LOCAL_RANK", "0"))

with stage_log(snakemake.log[0] if rank == 0 else f"{snakemake.log[0]}.{rank}"):
    job = JobSettings.model_validate(snakemake.params.job)
    training.run(
        features={name: [Path(path) for path in paths] for name, paths in snakemake.params.features.items()},
        tables={name: Path(tables_dir(name)) for name in job.datasets},
        split=Path(snakemake.input.split),
        clips={name: [Path(path) for path in paths] for name, paths in snakemake.params.clips.items()},
        job=job,
        task=TaskSettings.model_validate(snakemake.params.task),
        output_dir=Path(snakemake.output.weights).parent,
        device=snakemake.config["device"],
        threads=snakemake.threads,
        # Only the first attempt starts over: the next ones go on with what it did.
        fresh=snakemake.config.get("fresh", False) and snakemake.resources.attempt_number == 1,
        budget_s=choose_budget_s(os.environ, snakemake.config.get("budget_s"), snakemake.resources.get("runtime")),
    )
