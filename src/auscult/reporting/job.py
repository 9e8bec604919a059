"""One evaluated job, as its folder below `work/runs` holds it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from auscult.config import Experiment, JobSettings, TaskSettings
from auscult.errors import DataError
from auscult.io import read_json
from auscult.presentation import Number, headline
from auscult.reporting.settings import job_labels


@dataclass(frozen=True)
class JobResult:
    """What is published of one job.

    Attributes:
        number: From 1.
        label: What sets it apart from the others.
        settings: Resolved.
        folder: Where its files lie.
        metrics: `metrics.json`.
        model: `model.json`.
        headline: The few metrics that stand for it, on the test part.
        roc: `roc.csv`: at the task's level, test part; targets with one class only are absent.
        figures: `figures/index.json`.
        examples: `spectrograms/index.json`.
    """

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

    @property
    def name(self) -> str:
        """Number and label."""
        return f"Job {self.number}: {self.label}"


def read_jobs(experiment: Experiment, task: TaskSettings, folders: list[Path]) -> list[JobResult]:
    """Read all jobs of an experiment.

    Args:
        experiment: Its jobs, in order.
        task: What was predicted.
        folders: One a job, in the same order.

    Raises:
        DataError: A file is missing or unreadable, or the numbers of jobs and folders differ.
    """
    if len(folders) != len(experiment.jobs):
        raise DataError(f"{experiment.name} has {len(experiment.jobs)} jobs, {len(folders)} folders were given")
    labels = job_labels(experiment.jobs)
    return [
        _read_job(number, label, settings, Path(folder), task)
        for number, (label, settings, folder) in enumerate(zip(labels, experiment.jobs, folders, strict=True), start=1)
    ]


def _read_job(number: int, label: str, settings: JobSettings, folder: Path, task: TaskSettings) -> JobResult:
    metrics = _read(folder / "metrics.json")
    return JobResult(
        number=number,
        label=label,
        settings=settings,
        folder=folder,
        metrics=metrics,
        model=_read(folder / "model.json"),
        headline=headline(metrics["test"], task),
        roc=_read_curves(folder / "roc.csv"),
        figures=_read(folder / "figures" / "index.json"),
        examples=_read(folder / "spectrograms" / "index.json"),
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
