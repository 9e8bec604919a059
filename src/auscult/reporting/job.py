"""One evaluated job, as its folder below `work/runs` holds it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from auscult.config import Experiment, JobSettings, Run, TaskSettings
from auscult.errors import DataError
from auscult.io import read_json
from auscult.presentation import Number, headline
from auscult.reporting.settings import job_labels


@dataclass(frozen=True)
class JobResult:
    """What is published of one job.

    Attributes:
        id: Its folder: the job's number, or with fold and seed (`2/fold1_seed0`).
        number: The job's, from 1.
        label: What sets it apart from the others.
        settings: Resolved.
        folder: Where its files lie.
        metrics: `metrics.json`.
        model: `model.json`.
        headline: The few metrics that stand for it, on the test part.
        roc: `roc.csv`: at the task's level, test part; targets with one class only are absent.
        figures: `figures/index.json`.
        examples: `spectrograms/index.json`.
        averages: `spectrograms/averages.json`.
        outcomes: `outcomes/index.json`.
    """

    id: str
    number: int
    label: str
    settings: JobSettings
    folder: Path
    metrics: dict[str, Any]
    model: dict[str, Any]
    headline: dict[str, Number]
    roc: pd.DataFrame
    figures: list[dict[str, Any]]
    examples: list[dict[str, Any]]
    averages: list[dict[str, Any]]
    outcomes: dict[str, Any]

    @property
    def name(self) -> str:
        """Number and label."""
        return f"Job {self.id}: {self.label}"

    @property
    def anchor(self) -> str:
        """What the page calls it in addresses."""
        return self.id.replace("/", "_")


def read_jobs(experiment: Experiment, task: TaskSettings, folders: list[Path]) -> list[JobResult]:
    """Read all runs of an experiment: its jobs, or their folds and seeds.

    Args:
        experiment: Its jobs.
        task: What was predicted.
        folders: One for each of the experiment's runs, in order.

    Raises:
        DataError: A file is missing or unreadable, or the numbers of jobs and folders differ.
    """
    if len(folders) != len(experiment.runs):
        raise DataError(f"{experiment.name} has {len(experiment.runs)} jobs, {len(folders)} folders were given")
    labels = job_labels([run.settings for run in experiment.runs])
    return [
        _read_job(run, label, Path(folder), task)
        for run, label, folder in zip(experiment.runs, labels, folders, strict=True)
    ]


def _read_job(run: Run, label: str, folder: Path, task: TaskSettings) -> JobResult:
    metrics = _read(folder / "metrics.json")
    return JobResult(
        id=run.id,
        number=run.job,
        label=label,
        settings=run.settings,
        folder=folder,
        metrics=metrics,
        model=_read(folder / "model.json"),
        headline=headline(metrics["test"], task),
        roc=_read_curves(folder / "roc.csv"),
        figures=_read(folder / "figures" / "index.json"),
        examples=_read(folder / "spectrograms" / "index.json"),
        averages=_read(folder / "spectrograms" / "averages.json"),
        outcomes=_read(folder / "outcomes" / "index.json"),
    )


def _read(path: Path) -> Any:
    try:
        return read_json(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not readable ({error}); run `evaluate` for this job again") from error


def _read_curves(path: Path) -> pd.DataFrame:
    try:
        # A class may be called 0: without `str` it would come back as a number.
        return pd.read_csv(path, dtype={"target": "str"})
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not readable ({error}); run `evaluate` for this job again") from error
