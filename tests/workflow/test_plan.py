"""What the workflow plans to do, without doing it."""

import re
from collections import Counter
from pathlib import Path

import pytest
from tests.workflow.conftest import TRACKED

from auscult.config import list_experiments, load_experiment
from auscult.config.paths import clips_paths, features_paths, split_path
from auscult.config.project import load_dataset
from auscult.config.resolve import load_task


def planned_jobs(output: str) -> Counter:
    """Read the table of jobs that a dry run prints."""
    return Counter({name: int(n) for name, n in re.findall(r"^([a-z_]+) +(\d+)$", output, flags=re.MULTILINE)})


def test_every_experiment_plans_the_jobs_that_it_needs(snakemake, project_dir: Path, tmp_path: Path) -> None:
    config = project_dir / "config"
    experiments = [load_experiment(config, *pair) for pair in list_experiments(config)]
    jobs = [job for experiment in experiments for job in experiment.jobs]
    pairs = [(dataset, job) for job in jobs for dataset in job.datasets]
    expected = {
        "ingest": len({dataset for dataset, _ in pairs}),
        "cut_clips": len(
            {path for dataset, job in pairs for path in clips_paths(dataset, load_dataset(config, dataset), job.clips)}
        ),
        "make_spectrograms": len(
            {path for dataset, job in pairs for path in features_paths(dataset, load_dataset(config, dataset), job)}
        ),
        "make_split": len({split_path(job, load_task(config, job.task)) for job in jobs}),
        "train": len(jobs),
        "evaluate": len(jobs),
        "track": len(experiments),
        "publish": len(experiments),
    }
    # A plan asks for the folder of each dataset; those that are no part of the demo are empty here.
    roots = {dataset: load_dataset(config, dataset).root for dataset, _ in pairs}
    absent = [f"{dataset}: {tmp_path}" for dataset, root in roots.items() if not (project_dir / root).is_dir()]
    results = [f"results/{experiment.group}/{experiment.name}" for experiment in experiments]
    settings = ("--config", f"roots={{{', '.join(absent)}}}", f"tracking={TRACKED}")
    finished = snakemake("--dry-run", *results, *settings)
    assert finished.returncode == 0, finished.stdout
    planned = planned_jobs(finished.stdout)
    assert planned.pop("total") == sum(expected.values())
    assert planned == expected


def test_a_dry_run_imports_neither_torch_nor_mlflow(snakemake) -> None:
    finished = snakemake("--dry-run", "results/pneumonia/train2356", python=("-X", "importtime"))
    assert finished.returncode == 0
    imported = {
        line.rsplit("|", 1)[-1].strip() for line in finished.stdout.splitlines() if line.startswith("import time:")
    }
    assert "auscult.config" in imported
    assert not {"torch", "mlflow", "optuna", "h5py", "librosa"} & imported


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        ("results/pneumonia/train2355", ["unknown experiment 'train2355'", "did you mean 'train2356'"]),
        ("work/runs/pneumonia/train2356/9/model.json", ["has the jobs 1, 2; 9 was asked for"]),
        ("work/clips/icbhi/none.h5", ["no experiment in config/experiments makes work/clips/icbhi/none.h5"]),
    ],
)
def test_a_target_that_cannot_be_made_is_explained(snakemake, target: str, parts: list[str]) -> None:
    finished = snakemake("--dry-run", target)
    assert finished.returncode != 0
    for part in parts:
        assert part in finished.stdout


def test_a_path_of_another_option_is_no_target(snakemake) -> None:
    finished = snakemake(
        "--dry-run", "results/pneumonia/train2356", "--scheduler-solver-path", "results/pneumonia/none"
    )
    assert finished.returncode == 0, finished.stdout


def test_a_misspelt_setting_stops_before_anything_is_built(snakemake, workflow_dir: Path) -> None:
    path = workflow_dir / "config" / "experiments" / "pneumonia" / "train2356.yaml"
    path.write_text(path.read_text().replace("epochs:", "epoch:", 1))
    finished = snakemake("results/pneumonia/train2356")
    assert finished.returncode != 0
    assert "unknown key 'epoch', did you mean 'epochs'" in finished.stdout
    assert not (workflow_dir / "work").exists()


def test_a_misspelt_project_setting_is_explained(snakemake) -> None:
    finished = snakemake("--dry-run", "results/pneumonia/train2356", "--config", "rots={icbhi: elsewhere}")
    assert finished.returncode != 0
    assert "unknown key 'rots', did you mean 'roots'" in finished.stdout
