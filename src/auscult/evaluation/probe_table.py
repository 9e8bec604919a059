"""`auscult probes`: encoders by tasks, read from results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from auscult.errors import ConfigError, unknown_name
from auscult.evaluation.compare import Result, find_jobs, read_result
from auscult.formatting.numbers import Number, plural
from auscult.metrics.repeated import RunPredictions, repeated_estimates
from auscult.metrics.score_intervals import Estimate
from auscult.reports.jobs import Spread, spread
from auscult.storage.test_readings import key_of_test_set


@dataclass(frozen=True)
class EncoderRow:
    """A row of the table.

    Attributes:
        encoder: Where the encoder lies; of a model that was trained on the task itself, empty.
        model: Name of its architecture.
        method: How it was probed, or `trained`.
        number: From 1; further jobs with the same encoder, method and test set get rows of their own.
    """

    encoder: str
    model: str
    method: str
    number: int = 1

    @property
    def label(self) -> str:
        """Encoder and architecture, or the architecture alone."""
        name = f"{self.encoder} ({self.model})" if self.encoder else self.model
        return name if self.number == 1 else f"{name} #{self.number}"


@dataclass(frozen=True)
class TaskColumn:
    """A column of the table: results of one column were tested on the same recordings.

    Attributes:
        task: Its name.
        datasets: Of the jobs.
        n_patients: In the test set; over all folds together.
        test_set: Digest of the recordings.
    """

    task: str
    datasets: tuple[str, ...]
    n_patients: int
    test_set: str

    @property
    def label(self) -> str:
        """Task, datasets and size of the test set."""
        return f"{self.task}: {', '.join(self.datasets)} ({plural(self.n_patients, 'patient')})"


@dataclass(frozen=True)
class ProbeCell:
    """One job.

    Attributes:
        score: The metric over its runs, with the interval of the mean.
        reason: Why it is undefined.
        is_seen: The encoder was trained on one of the datasets by another split: test patients may be known to it.
        jobs: Where it lies.
    """

    score: Spread
    reason: str
    is_seen: bool
    jobs: str

    @property
    def text(self) -> str:
        """Score, deviation over runs and interval, and a mark where the encoder may know test patients."""
        interval = f" ({self.score.interval_text})" if self.score.interval_text else ""
        runs = f", {self.score.runs_text}" if self.score.n_runs > 1 else ""
        return f"{self.score.text}{interval}{runs}{' †' if self.is_seen else ''}"


@dataclass(frozen=True)
class ProbeTable:
    """Encoders by tasks.

    Attributes:
        metric: What the cells show.
        rows: The encoders, in the order in which they were named.
        columns: The tasks.
        cells: (row, column) -> cell; an encoder that was not probed on a task has none.
        resamples: Of the bootstrap.
        folders: What was read.
    """

    metric: str
    rows: list[EncoderRow]
    columns: list[TaskColumn]
    cells: dict[tuple[EncoderRow, TaskColumn], ProbeCell]
    resamples: int
    folders: list[str]

    @property
    def has_seen(self) -> bool:
        """Whether a cell is marked."""
        return any(cell.is_seen for cell in self.cells.values())


def gather_probes(
    folders: Sequence[Path], *, metric: str = "auroc", resamples: int = 2000, seed: int = 0
) -> ProbeTable:
    """Read jobs and put them into a table.

    Args:
        folders: Jobs, or experiments, which stand for all their jobs.
        metric: Of the mean over targets (classes), or of the single target.
        resamples: Of the bootstrap over patients; 0: no intervals.
        seed: Of the bootstrap.

    Raises:
        DataError: A folder is no result, or a file in it is not readable.
        ConfigError: There is no such metric of a task.
    """
    runs: dict[Path, list[Result]] = {}
    for path in dict.fromkeys(job for folder in folders for job in find_jobs(folder)):
        # 2/fold1_seed0 is a run of job 2.
        job = path.parent if path.name.startswith(("fold", "seed", "without")) else path
        runs.setdefault(job, []).append(read_result(path))
    names = _names_of_encoders([found[0] for found in runs.values()])
    rows: dict[EncoderRow, None] = {}
    columns: dict[TaskColumn, None] = {}
    cells: dict[tuple[EncoderRow, TaskColumn], ProbeCell] = {}
    for job, found in runs.items():
        row, column = _row(found[0], names), _column(found)
        while (row, column) in cells:
            row = EncoderRow(row.encoder, row.model, row.method, row.number + 1)
        rows[row], columns[column] = None, None
        cells[row, column] = _cell(job, found, metric, np.random.default_rng(seed), resamples)
    return ProbeTable(metric, list(rows), list(columns), cells, resamples, [path.as_posix() for path in folders])


def _names_of_encoders(results: Sequence[Result]) -> dict[str, str]:
    """Return digest of weights -> where the encoder lies, without the folders that all results share."""
    encoders = [result.training["probe"]["encoder"] for result in results if "probe" in result.training]
    return {
        encoder["weights_sha256"]: encoder["folder"].removeprefix("results/").removeprefix("work/runs/")
        for encoder in encoders
    }


def _row(result: Result, names: dict[str, str]) -> EncoderRow:
    probe = result.training.get("probe")
    if probe is None:
        return EncoderRow("", result.model, "trained")
    settings = probe["settings"]
    method = settings["method"] if settings["layer"] == "backbone" else f"{settings['method']}, head layer"
    return EncoderRow(names[probe["encoder"]["weights_sha256"]], result.model, method)


def _column(runs: Sequence[Result]) -> TaskColumn:
    recordings = {name for run in runs for name in run.test["recording_id"]}
    patients = {name for run in runs for name in run.test["patient_id"]}
    first = runs[0]
    datasets = tuple(sorted(set(first.test["dataset"])))
    return TaskColumn(first.task_name, datasets, len(patients), key_of_test_set(sorted(recordings)))


def _cell(job: Path, runs: Sequence[Result], metric: str, generator: np.random.Generator, resamples: int) -> ProbeCell:
    task = runs[0].task
    of_runs = [
        RunPredictions(*run.truth_and_probabilities, run.test, run.points[task.level].thresholds) for run in runs
    ]
    view, name = _place(metric, repeated_estimates(of_runs[:1], task, generator, 0))
    values = [repeated_estimates([run], task, generator, 0)[view][name]["value"] for run in of_runs]
    mean = repeated_estimates(of_runs, task, generator, resamples)[view][name]
    around = Number(mean["value"], mean["low"], mean["high"])
    probe = runs[0].training.get("probe")
    is_seen = (
        probe is not None
        and not probe["encoder"]["has_same_split"]
        and bool(set(probe["encoder"]["datasets"]) & set(runs[0].test["dataset"]))
    )
    reason = "" if mean["value"] is not None else "the test set has one class only"
    return ProbeCell(spread(values, is_percent=view == "four_class", around=around), reason, is_seen, job.as_posix())


def _place(metric: str, views: Mapping[str, Mapping[str, Estimate]]) -> tuple[str, str]:
    """Return the view and the name of a metric: the mean of targets or classes, else the one target."""
    view = next(name for name in ("multi_class", "macro", *views) if name in views)
    for name in (metric, f"macro_{metric}"):
        if name in views[view]:
            return view, name
    if metric in views.get("four_class", {}):
        return "four_class", metric
    raise ConfigError(f"--metric: {unknown_name('metric', metric, sorted(views[view]))}")
