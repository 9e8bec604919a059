"""Scores of one job that was trained several times (folds, seeds): their mean, with an interval over patients.

A draw takes patients from all runs together, and every run is judged under it: seeds, which share their test part,
share the patients of a draw; folds, which have a test part each, share them out. The interval therefore says how much
the mean depends on who the patients were; how much it depends on training again is the deviation between runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from auscult.metrics.aggregate import LevelRows, at_level
from auscult.metrics.icbhi import UNKNOWN, four_classes
from auscult.metrics.intervals import draw_weights, estimate
from auscult.metrics.thresholds import four_class_columns
from auscult.metrics.weighted import (
    binary_values,
    class_values,
    exact_match_values,
    four_class_values,
    multi_class_values,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from auscult.config.task import TaskSettings

    Floats = NDArray[np.float64]

Views = dict[str, dict[str, "NDArray[np.float64]"]]
"""View -> metric -> its values, shape [weighting]."""


@dataclass(frozen=True)
class RunAnswers:
    """The test part of one run.

    Attributes:
        targets: Shape [clip, target]: 1, 0 or NaN.
        probabilities: Shape [clip, target].
        ids: Columns `clip_id`, `recording_id` and `patient_id`.
        thresholds: One a target; not read for a multi-class task.
    """

    targets: ArrayLike
    probabilities: ArrayLike
    ids: pd.DataFrame
    thresholds: Sequence[float]


def repeated_estimates(
    runs: Sequence[RunAnswers], task: TaskSettings, rng: np.random.Generator, draws: int
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Return `{view: {metric: {"value", "low", "high"}}}` of the mean over runs, at the task's level.

    The views are those of `summary.summarise`: each target, `macro` and `four_class`, or `multi_class`. A run in which
    a metric is undefined is left out of its mean, in the draws as well.

    Args:
        runs: At least one.
        task: Gives targets, type, level and aggregation.
        rng: The only source of randomness.
        draws: Of the bootstrap; 0: no intervals.
    """
    of_runs = [at_level(run.probabilities, run.targets, run.ids, task, task.level) for run in runs]
    everyone = np.unique(np.concatenate([rows.patient_ids.astype(str) for rows in of_runs]))
    weights = draw_weights(len(everyone), draws, rng)
    found = [
        view_values(rows, task, run.thresholds, np.searchsorted(everyone, rows.patient_ids.astype(str)), weights)
        for run, rows in zip(runs, of_runs, strict=True)
    ]
    return {
        view: {
            metric: estimate(_mean([values[view][metric] for values in found]), len(everyone))
            for metric in found[0][view]
        }
        for view in found[0]
    }


def view_values(
    rows: LevelRows,
    task: TaskSettings,
    thresholds: Sequence[float],
    patients: NDArray[np.int64],
    weights: NDArray[np.float32],
) -> Views:
    """Return `{view: {metric: values}}`, shape [weighting] each.

    Args:
        rows: Answers and truth at one level.
        task: Gives targets and type.
        thresholds: One a target; not read for a multi-class task.
        patients: The row of `weights` of each row, shape [row].
        weights: Shape [patient, weighting].
    """
    known = ~np.isnan(rows.targets)
    whole = known.all(axis=1)
    if task.type == "multi_class":
        true = rows.targets[whole].argmax(axis=1).astype(np.int64)
        scores, of = rows.probabilities[whole], patients[whole]
        return {"multi_class": multi_class_values(true, scores, of, weights, class_values(true, scores, of, weights))}
    said = rows.probabilities >= np.asarray(thresholds, dtype=np.float64)
    views: Views = {}
    for column, target in enumerate(task.targets):
        at = known[:, column]
        truth, scores = rows.targets[at, column] == 1, rows.probabilities[at, column]
        views[target] = binary_values(truth, scores, said[at, column], patients[at], weights)
    views["macro"] = {
        name: np.mean([views[target][name] for target in task.targets], axis=0) for name in views[task.targets[0]]
    }
    if len(task.targets) > 1:
        exact = exact_match_values(rows.targets[whole] == 1, said[whole], patients[whole], weights)
        views["macro"]["exact_match"] = exact
    columns = four_class_columns(task)
    if columns is not None:
        true, answers = (four_classes(*(table[:, column] for column in columns)) for table in (rows.targets, said))
        at = true != UNKNOWN
        views["four_class"] = four_class_values(true[at], answers[at], patients[at], weights)
    return views


def _mean(of_runs: list[Floats]) -> Floats:
    """Return the mean over the runs whose own value is defined; NaN where a draw leaves one of them undefined."""
    defined = [values for values in of_runs if not np.isnan(values[0])]
    return np.mean(defined, axis=0) if defined else np.full_like(of_runs[0], np.nan)
