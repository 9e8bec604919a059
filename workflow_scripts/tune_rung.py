"""Train a trial to its next rung, or test the range of its learning rate; the test part stays unread."""

import os
from functools import partial
from pathlib import Path

import auscult.interrupts  # noqa: F401 (Ctrl-C is quiet from here on)
from auscult.config import JobSettings, TaskSettings, load_project
from auscult.config.paths import tables_dir
from auscult.logs import stage_log
from auscult.training.range_test import range_test
from auscult.training.rung import run_rung
from auscult.training.train import choose_budget_s, train

# A training on several devices starts this script once more for each: only the first one writes log and rung.
rank = int(os.environ.get("LOCAL_RANK", "0"))

with stage_log(snakemake.log[0] if rank == 0 else f"{snakemake.log[0]}.{rank}", snakemake.input):
    job = JobSettings.model_validate(snakemake.params.job)
    project = load_project(snakemake.config)
    output = Path(snakemake.output[0])
    inputs = {
        "features": {name: [Path(path) for path in paths] for name, paths in snakemake.params.features.items()},
        "tables": {name: Path(tables_dir(name)) for name in job.datasets},
        "split": Path(snakemake.input.split),
        "clips": {name: [Path(path) for path in paths] for name, paths in snakemake.params.clips.items()},
        "job": job,
        "task": TaskSettings.model_validate(snakemake.params.task),
        "device": project.device,
        "threads": snakemake.threads,
    }
    budget_s = choose_budget_s(os.environ, project.budget_s, snakemake.resources.get("runtime"))
    train_trial = partial(train, **inputs, output_dir=output.parent, budget_s=budget_s, stage_dir=project.stage_dir)
    if snakemake.rule == "range_test":
        range_test(output, **inputs, n_steps=int(snakemake.wildcards.steps))
    elif rank == 0:
        run_rung(output, job, int(snakemake.wildcards.epoch), lambda until: train_trial(until_epoch=until))
    else:
        train_trial(until_epoch=int(snakemake.wildcards.epoch))
