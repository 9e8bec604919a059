"""`auscult compare`: results read from their folders, refused where their test sets differ, and compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import ValidationError

from auscult.config.description import check_digest
from auscult.config.documents import read_yaml
from auscult.config.flatten import differing_keys, flatten
from auscult.config.paths import CHECKSUMS_FILE, SETTINGS_FILE
from auscult.config.task import LEVELS, TaskSettings
from auscult.config.upstream import META_FILE
from auscult.errors import ConfigError, DataError
from auscult.formatting.numbers import plural
from auscult.formatting.operating_points import decision_text
from auscult.formatting.text import listed
from auscult.metrics.aggregation import LevelRows, at_level
from auscult.metrics.comparison import LETTERS, View, compare_rows
from auscult.metrics.operating_points import LevelPoint, points_of
from auscult.provenance import read_checksums, require_as_published
from auscult.reports.settings import names_before_details
from auscult.storage.files import read_json
from auscult.storage.tables import probabilities_of, read_predictions, truth_of

MAX_RESULTS = len(LETTERS)
MAX_IDS_SHOWN = 3


@dataclass(frozen=True)
class Result:
    """One trained job.

    Attributes:
        folder: Where it lies.
        name: The same, in short.
        model: Name of its architecture.
        task_name: What its task is called.
        task: What it predicts.
        points: Level -> where decisions are taken, frozen on validation.
        test: Its predictions on the test set.
        settings: Dotted key -> value.
        facts: (what, text) worth a line beside the settings.
        training: What its `model.json` says of the training.
    """

    folder: Path
    name: str
    model: str
    task_name: str
    task: TaskSettings
    points: Mapping[str, LevelPoint]
    test: pd.DataFrame
    settings: dict[str, Any]
    facts: list[tuple[str, str]]
    training: dict[str, Any]

    @property
    def truth_and_probabilities(self) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Labels and probabilities of the test set, shape [clip, target] each."""
        return truth_of(self.test, self.task), probabilities_of(self.test, self.task)

    def at(self, level: str) -> LevelRows:
        """Return its predictions at a level, rows in the order of their ids."""
        truth, probabilities = self.truth_and_probabilities
        rows = at_level(probabilities, truth, self.test, self.task, level, self.points[level].normal_shift)
        order = np.argsort(rows.ids.astype(str), kind="stable")
        return LevelRows(
            rows.ids[order], rows.patient_ids[order], rows.probabilities[order], rows.targets[order], rows.n_mixed
        )


def read_results(folders: Sequence[Path]) -> list[Result]:
    """Read jobs; an experiment's folder stands for all its jobs.

    Raises:
        DataError: A folder is no result, or a file in it is not readable.
        ConfigError: Fewer than two jobs.
    """
    jobs = list(dict.fromkeys(job for folder in folders for job in find_jobs(folder)))
    if len(jobs) < 2:
        found = f"found only {jobs[0]}" if jobs else "found none"
        raise ConfigError(f"compare needs two jobs at least, {found}; name another result")
    return [read_result(job) for job in jobs]


def find_jobs(folder: Path) -> list[Path]:
    """Return the job in a folder, or all jobs below it, in order.

    Raises:
        DataError: There is none, or one that was published is missing.
    """
    if (folder / "predictions.parquet").is_file():
        return [folder]
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; a result is results/<folder>/<experiment>, or a job below it")
    checksums = folder / CHECKSUMS_FILE
    listed = read_checksums(checksums) if checksums.is_file() else {}
    missing = [name for name in listed if name.endswith("predictions.parquet") and not (folder / name).is_file()]
    if missing:
        raise DataError(f"{folder}: {', '.join(missing)}: missing since the result was published ({checksums})")
    jobs = [path.parent for path in folder.glob("**/predictions.parquet")]
    if not jobs:
        raise DataError(f"{folder}: holds no predictions.parquet, nor does a folder below it; run the experiment first")
    return sorted(jobs, key=lambda path: [(len(part), part) for part in path.relative_to(folder).parts])


def read_result(folder: Path) -> Result:
    """Read one job.

    Raises:
        DataError: It is no trained job, or a file in it is not readable or not what was published.
    """
    of_experiment = _of_experiment(folder)
    try:
        meta = read_json(folder / META_FILE)
        check_digest(meta, folder / META_FILE)
        task = TaskSettings.model_validate(meta["task"])
        points = points_of(meta, task)
        architecture, training = meta["architecture"], meta["training"]
        settings = {
            "datasets": meta["datasets"],
            "clips": meta["clips"],
            "spectrogram": meta["spectrogram"],
            "model": architecture,
            **of_experiment,
            "split": training["split"],
            "train": training["settings"],
            "probe": training.get("probe", {}).get("settings"),
            "task": {key: value for key, value in meta["task"].items() if key != "description"},
        }
        facts = [
            ("parameters", f"{meta['n_parameters']:,}"),
            ("kept epoch", str(meta["best_epoch"])),
            *[(f"decision by {level}", decision_text(meta, task, level, task.targets)) for level in LEVELS],
        ]
        name = architecture["name"]
    except (OSError, ValueError, KeyError, TypeError, ValidationError, DataError) as error:
        raise DataError(f"{folder / 'model.json'}: not the description of a trained job ({error})") from error
    require_as_published(folder / "predictions.parquet")
    predictions = read_predictions(folder / "predictions.parquet", task)
    test = predictions.loc[predictions["split"] == "test"].reset_index(drop=True)
    if not len(test):
        raise DataError(f"{folder / 'predictions.parquet'}: holds no test set; run `evaluate` again")
    return Result(
        folder,
        _short(folder),
        name,
        str(meta.get("task_name", "results")),
        task,
        points,
        test,
        flatten(settings),
        facts,
        training,
    )


def _short(folder: Path) -> str:
    """Where a job lies, without the `results/` that all share."""
    return folder.as_posix().removeprefix("results/")


def _of_experiment(folder: Path) -> dict[str, Any]:
    """Return the settings that only the published experiment tells; none where the job lies elsewhere."""
    for root in folder.parents:
        path = root / SETTINGS_FILE
        if path.is_file():
            require_as_published(path)
            number = folder.relative_to(root).parts[0]
            jobs = read_yaml(path).get("jobs", [])
            if number.isdecimal() and 1 <= int(number) <= len(jobs):
                job = jobs[int(number) - 1]
                return {key: job[key] for key in ("augment", "evaluate") if key in job}
            break
    return {}


def differing_settings(results: Sequence[Result]) -> list[tuple[str, list[Any]]]:
    """Return (dotted key, value of each result) of the settings that are not the same in all of them."""
    keys = names_before_details(differing_keys([result.settings for result in results]))
    return [(key, [result.settings.get(key) for result in results]) for key in keys]


def require_same_test(results: Sequence[Result], level: str) -> list[LevelRows]:
    """Return the predictions of all results at a level, row for row of the same recordings (clips, patients).

    Raises:
        DataError: Their tasks differ, or they were tested on other patients, clips or labels; the message says which.
    """
    first = results[0]
    for other in results[1:]:
        for what in ("type", "targets"):
            here, there = getattr(other.task, what), getattr(first.task, what)
            if here != there:
                raise DataError(
                    f"{other.name} and {first.name} have different tasks: {what} {_text(here)} and "
                    f"{_text(there)}; compare results of one task"
                )
    rows = [result.at(level) for result in results]
    for other, found in zip(results[1:], rows[1:], strict=True):
        _require_same_rows(first, rows[0], other, found, level)
    return rows


def _require_same_rows(first: Result, expected: LevelRows, other: Result, found: LevelRows, level: str) -> None:
    where = f"{other.name} and {first.name}"
    for what, here, there in (
        ("patients", found.patient_ids, expected.patient_ids),
        (f"{level}s", found.ids, expected.ids),
    ):
        alone = sorted(set(here) - set(there)), sorted(set(there) - set(here))
        if any(alone):
            texts = [
                f"{len(ids)} of {len(set(all_ids))} are in {result.name} alone ({_some(ids)})"
                for ids, all_ids, result in zip(alone, (here, there), (other, first), strict=True)
                if ids
            ]
            fix = "compare results of one split"
            if level == "clip" and what == "clips":
                fix = "compare clips of different settings at --level recording or patient"
            raise DataError(f"{where} were tested on different {what}: {'; '.join(texts)}; {fix}")
    same = (found.targets == expected.targets) | (np.isnan(found.targets) & np.isnan(expected.targets))
    if not same.all():
        ids = found.ids[~same.all(axis=1)].tolist()
        raise DataError(
            f"{where}: {len(ids)} of {len(found.ids)} {level}s of the test set have other labels ({_some(ids)}); "
            "their tasks or tables differ: evaluate both on the same data"
        )


def _some(ids: Sequence[Any]) -> str:
    return listed([str(one) for one in ids], MAX_IDS_SHOWN)


def _text(value: Any) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)


@dataclass(frozen=True)
class Comparison:
    """Results and how they differ.

    Attributes:
        results: As they were named; the first is what all others are compared with.
        rows: Of each result: its predictions on the test set at `level`.
        level: Where they were compared.
        views: The metrics, the main view first.
        settings: (dotted key, value of each result) of what differs.
        resamples: Of the bootstrap.
    """

    results: list[Result]
    rows: list[LevelRows]
    level: str
    views: list[View]
    settings: list[tuple[str, list[Any]]]
    resamples: int

    @property
    def labels(self) -> list[str]:
        """Letter, place and model of each result."""
        return [f"{letter}  {one.name}" for letter, one in zip(LETTERS, self.results, strict=False)]

    @property
    def counts(self) -> str:
        """Size of the test set, in words."""
        patients = plural(len(np.unique(self.rows[0].patient_ids.astype(str))), "patient")
        rows = "" if self.level == "patient" else f"{plural(len(self.rows[0].ids), self.level)} of "
        return f"{rows}{patients} in the test set"


def compare(folders: Sequence[Path], *, level: str | None = None, resamples: int = 2000, seed: int = 0) -> Comparison:
    """Compare trained jobs on their common test set.

    Args:
        folders: Jobs, or experiments, which stand for all their jobs. The first job is the base.
        level: `clip`, `recording` or `patient`; default: the task's.
        resamples: Of the bootstrap over patients.
        seed: Of the bootstrap.

    Raises:
        ConfigError: Fewer than two jobs, too many, or no such level.
        DataError: They were not tested on the same patients with the same labels, with what differs.
    """
    if level is not None and level not in LEVELS:
        raise ConfigError(f"level: found {level!r}, expected one of {', '.join(LEVELS)}")
    results = read_results(folders)
    if len(results) > MAX_RESULTS:
        raise ConfigError(f"found {len(results)} jobs, at most {MAX_RESULTS} can be compared at once; name fewer")
    task = results[0].task
    chosen = level or task.level
    rows = require_same_test(results, chosen)
    generator = np.random.default_rng(seed)
    views = compare_rows(rows, [np.array(one.points[chosen].thresholds) for one in results], task, generator, resamples)
    return Comparison(results, rows, chosen, views, differing_settings(results), resamples)
