"""Evaluated jobs, read from their folders below `work/runs`; means over the folds and seeds of a job.

What a matrix leaves out in turn is no repeat: its values are other populations, of which `left_out_section` tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from auscult.config import Experiment, JobSettings, Run, TaskSettings
from auscult.config.description import check_digest
from auscult.config.upstream import META_FILE
from auscult.errors import DataError
from auscult.formatting.metric_tables import blocks, headline
from auscult.formatting.numbers import Number, plural
from auscult.metrics.operating_points import points_of
from auscult.metrics.repeated import RunPredictions, patient_counts, repeated_estimates
from auscult.metrics.score_intervals import MIN_PATIENTS_RESAMPLED, too_few
from auscult.reports.settings import job_labels
from auscult.storage.files import read_json
from auscult.storage.tables import probabilities_of, read_predictions, truth_of


@dataclass(frozen=True)
class JobResult:
    """One evaluated job.

    Attributes:
        id: Its folder: the job's number, or with fold and seed (`2/fold1_seed0`).
        number: The job's, from 1.
        label: What distinguishes it from the others.
        settings: Resolved.
        folder: Where its files lie.
        metrics: `metrics.json`.
        model: `model.json`.
        headline: Its main metrics on the test set.
        roc: `roc.csv`: test set, at the task's level; targets with one class only are absent.
        figures: `figures/index.json`.
        examples: `spectrograms/index.json`.
        averages: `spectrograms/averages.json`.
        outcomes: `outcomes/index.json`.
        left_out: The value that a matrix leaves out; empty without one.
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
    left_out: str = ""

    @property
    def name(self) -> str:
        """Number and label."""
        return f"Job {self.id}: {self.label}"

    @property
    def people(self) -> str:
        """On how many patients its headline rests, in words."""
        return next(iter(self.headline.values())).people

    @property
    def anchor(self) -> str:
        """Its name in links of the page."""
        return self.id.replace("/", "_")


def few_patients(test: dict[str, Any], task: TaskSettings) -> str:
    """Return that there are too few test patients to compare results; empty where there are enough.

    Args:
        test: `test` of `metrics.json`.
        task: What was predicted.
    """
    counts = [n for block in blocks(test, task, task.level) for n in block.patients_of_classes]
    fewest = min(counts, default=MIN_PATIENTS_RESAMPLED)
    if fewest >= MIN_PATIENTS_RESAMPLED:
        return ""
    return too_few(fewest, MIN_PATIENTS_RESAMPLED, "test patients of the rarest class")


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
        model=_read_description(folder / META_FILE),
        headline=headline(metrics["test"], task),
        roc=_read_curves(folder / "roc.csv"),
        figures=_read(folder / "figures" / "index.json"),
        examples=_read(folder / "spectrograms" / "index.json"),
        averages=_read(folder / "spectrograms" / "averages.json"),
        outcomes=_read(folder / "outcomes" / "index.json"),
        left_out=run.left_out,
    )


def _read(path: Path) -> Any:
    try:
        return read_json(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not readable ({error}); run `evaluate` for this job again") from error


def _read_description(path: Path) -> dict[str, Any]:
    found = _read(path)
    check_digest(found, path)
    return found


def _read_curves(path: Path) -> pd.DataFrame:
    try:
        # A class may be called 0: without `str` it would come back as a number.
        return pd.read_csv(path, dtype={"target": "str"})
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not readable ({error}); run `evaluate` for this job again") from error


@dataclass(frozen=True)
class Spread:
    """A score over the runs of a job.

    Attributes:
        mean: Over the runs in which the score is defined; None where it is in none.
        deviation: Sample standard deviation over them; None with fewer than two.
        n_runs: In how many it is defined.
        is_percent: As in `Number`.
        low: Lower end of the 95% interval of the mean, over patients; None without one.
        high: Upper end.
    """

    mean: float | None
    deviation: float | None
    n_runs: int
    is_percent: bool = False
    low: float | None = None
    high: float | None = None

    @property
    def text(self) -> str:
        """Mean and deviation, as the report prints them.

        >>> spread([0.8, 0.9, None]).text, spread([None]).text, spread([0.5]).text
        ('0.850 ± 0.071', 'undefined', '0.500')
        """
        if self.mean is None:
            return Number(None).value_text
        around = "" if self.deviation is None else f" ± {self._text(self.deviation)}"
        return f"{self._text(self.mean)}{around}"

    @property
    def interval_text(self) -> str:
        """The interval alone, empty where there is none."""
        return Number(self.mean, self.low, self.high, is_percent=self.is_percent).interval_text

    @property
    def runs_text(self) -> str:
        """The number of runs."""
        return plural(self.n_runs, "run")

    def _text(self, value: float) -> str:
        return Number(value, is_percent=self.is_percent).value_text


@dataclass(frozen=True)
class Repeats:
    """A job that was trained more than once; of a matrix one value that is left out.

    Attributes:
        job: Its number.
        name: The number, with the left-out value behind it as in the ids of its runs.
        runs: Its runs, in order.
        headline: Its main metrics, over the runs.
        people: On how many patients of all test sets it rests, in words.
        few: Why it may not be compared with others; empty where it may.
    """

    job: int
    name: str
    runs: tuple[JobResult, ...]
    headline: Mapping[str, Spread]
    people: str = ""
    few: str = ""


def spread(values: Sequence[float | None], *, is_percent: bool = False, around: Number | None = None) -> Spread:
    """Return mean and sample standard deviation of what is defined, with the ends of the interval of `around`."""
    defined = np.array([value for value in values if value is not None], dtype=np.float64)
    return Spread(
        mean=float(defined.mean()) if len(defined) else None,
        deviation=float(defined.std(ddof=1)) if len(defined) > 1 else None,
        n_runs=len(defined),
        is_percent=is_percent,
        low=around.low if around else None,
        high=around.high if around else None,
    )


def find_repeats(experiment: Experiment, jobs: Sequence[JobResult], task: TaskSettings) -> list[Repeats]:
    """Return the jobs of an experiment that have folds or seeds, of a matrix each value with seeds.

    Args:
        experiment: Its jobs.
        jobs: The results of all runs, job after job.
        task: What was predicted.
    """
    found: list[Repeats] = []
    # An ensemble is no repeat: it is made of them.
    trained = (job for job in jobs if not job.settings.ensemble)
    for (number, left_out), members in groupby(trained, key=lambda job: (job.number, job.left_out)):
        runs = tuple(members)
        if runs[0].id == str(number) or (left_out and not experiment.job(number).seeds):
            continue
        name = runs[0].id.rpartition("_seed")[0] if left_out else str(number)
        merged = _means(runs, task)
        means = headline(merged, task)
        over_runs = {
            name: spread([run.headline[name].value for run in runs], is_percent=shown.is_percent, around=means[name])
            for name, shown in runs[0].headline.items()
        }
        people = next(iter(means.values())).people
        found.append(Repeats(number, name, runs, over_runs, people, few_patients(merged, task)))
    return found


def _means(runs: Sequence[JobResult], task: TaskSettings) -> dict[str, Any]:
    """Return the mean over runs, at the task's level, with its intervals and the patients of all runs."""
    settings = runs[0].settings.evaluate
    of_runs = [test_predictions(run, task) for run in runs]
    views = repeated_estimates(of_runs, task, np.random.default_rng(settings.seed), settings.bootstrap_draws)
    level: dict[str, Any] = runs[0].metrics["test"][task.level]
    merged: dict[str, Any] = {view: {**section, **views.get(view, {})} for view, section in level.items()}
    for view, n in patient_counts(of_runs, task).items():
        if view == "multi_class":
            by_class = merged[view]["by_class"]
            merged[view]["by_class"] = {name: {**of, "patients": n[name]} for name, of in by_class.items()}
        else:
            merged[view]["n"] = {**merged[view]["n"], **n}
    return {task.level: merged}


def test_predictions(run: JobResult, task: TaskSettings) -> RunPredictions:
    """Read what a run predicts on its test set."""
    predictions = read_predictions(run.folder / "predictions.parquet", task)
    test = predictions.loc[predictions["split"] == "test"].reset_index(drop=True)
    point = points_of(run.metrics, task)[task.level]
    truth, probabilities = truth_of(test, task), probabilities_of(test, task)
    return RunPredictions(truth, probabilities, test, point.thresholds, point.normal_shift)


def spread_numbers(numbers: Sequence[Mapping[str, float]]) -> dict[str, float | int]:
    """Return the means of flat numbers over runs, `<name>_deviation` beside each, and the number of runs.

    >>> spread_numbers([{"auroc": 0.5}, {"auroc": 0.5}])
    {'auroc': 0.5, 'auroc_deviation': 0.0, 'runs': 2}
    """
    means: dict[str, float | int] = {}
    for name in dict.fromkeys(name for found in numbers for name in found):
        over = spread([found.get(name) for found in numbers])
        if over.mean is not None:
            means[name] = over.mean
        if over.deviation is not None:
            means[f"{name}_deviation"] = over.deviation
    return {**means, "runs": len(numbers)}
