"""Confidence intervals: the percentile bootstrap over patients, of one training or of several (folds, seeds)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from auscult.metrics.aggregation import LevelRows, at_level
from auscult.metrics.icbhi import UNKNOWN, four_classes
from auscult.metrics.scores import (
    binary_values,
    exact_match_values,
    four_class_values,
    multi_class_values,
)
from auscult.metrics.thresholds import four_class_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from auscult.config.task import TaskSettings

    Floats = NDArray[np.float64]


LEVEL = 0.95
MIN_PATIENTS = 2
MIN_DEFINED_SHARE = 0.5


def resample_weights(n_patients: int, n_resamples: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Return how often each patient occurs in each resample, shape [patient, 1 + n_resamples].

    Column 0 holds ones: the sample itself, so that the estimate and its resamples come out of one computation.

    Args:
        n_patients: How many patients there are; each resample has as many, with replacement.
        n_resamples: 0: no resamples, column 0 alone.
        generator: The only source of randomness.
    """
    weights = np.ones((n_patients, 1 + n_resamples), dtype=np.float32)
    # A bounded piece at a time: the chosen indices take eight bytes each.
    step = max(1, 4_000_000 // max(1, n_patients))
    for begin in range(0, n_resamples, step) if n_patients else ():
        n = min(step, n_resamples - begin)
        chosen = generator.integers(0, n_patients, size=(n, n_patients))
        chosen += np.arange(n)[:, None] * n_patients
        counts = np.bincount(chosen.ravel(), minlength=n * n_patients)
        weights[:, 1 + begin : 1 + begin + n] = counts.reshape(n, n_patients).T
    return weights


def estimate(values: NDArray[np.float64], n_patients: int) -> dict[str, float | None]:
    """Return the value and its 95% interval as `{"value", "low", "high"}`; None where undefined.

    The interval runs from the 2.5th to the 97.5th percentile of the resamples in which the metric is defined. It is
    None when fewer than 2 patients have known rows, when the value itself is undefined, or when the metric is undefined
    in more than half of the resamples.

    Args:
        values: Shape [1 + n_resamples]: the sample's value, then the resamples'; NaN for undefined.
        n_patients: Patients with a known row.
    """
    value, resamples = float(values[0]), values[1:]
    if np.isnan(value):
        return {"value": None, "low": None, "high": None}
    defined = resamples[~np.isnan(resamples)]
    if n_patients < MIN_PATIENTS or len(defined) == 0 or len(defined) < MIN_DEFINED_SHARE * len(resamples):
        return {"value": value, "low": None, "high": None}
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(defined, [tail, 100 - tail])
    return {"value": value, "low": float(low), "high": float(high)}


Views = dict[str, dict[str, "NDArray[np.float64]"]]
"""View -> metric -> its values, shape [weighting]."""


@dataclass(frozen=True)
class RunPredictions:
    """The test set of one run.

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
    runs: Sequence[RunPredictions], task: TaskSettings, rng: np.random.Generator, n_resamples: int
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Return `{view: {metric: {"value", "low", "high"}}}` of the mean over runs, at the task's level.

    The views are those of `summary.summarise`: each target, `macro` and `four_class`, or `multi_class`. A run in which
    a metric is undefined is left out of its mean, in the resamples as well.

    Args:
        runs: At least one.
        task: Gives targets, type, level and aggregation.
        rng: The only source of randomness.
        n_resamples: Of the bootstrap; 0: no intervals.
    """
    of_runs = [at_level(run.probabilities, run.targets, run.ids, task, task.level) for run in runs]
    everyone = np.unique(np.concatenate([rows.patient_ids.astype(str) for rows in of_runs]))
    weights = resample_weights(len(everyone), n_resamples, rng)
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
        return {"multi_class": multi_class_values(true, scores, of, weights, task)[0]}
    predicted = rows.probabilities >= np.asarray(thresholds, dtype=np.float64)
    views: Views = {}
    for column, target in enumerate(task.targets):
        at = known[:, column]
        truth, scores = rows.targets[at, column] == 1, rows.probabilities[at, column]
        views[target] = binary_values(truth, scores, predicted[at, column], patients[at], weights)
    views["macro"] = {
        name: np.mean([views[target][name] for target in task.targets], axis=0) for name in views[task.targets[0]]
    }
    if len(task.targets) > 1:
        exact = exact_match_values(rows.targets[whole] == 1, predicted[whole], patients[whole], weights)
        views["macro"]["exact_match"] = exact
    columns = four_class_columns(task)
    if columns is not None:
        true, predictions = (
            four_classes(*(table[:, column] for column in columns)) for table in (rows.targets, predicted)
        )
        at = true != UNKNOWN
        views["four_class"] = four_class_values(true[at], predictions[at], patients[at], weights)
    return views


def _mean(of_runs: list[Floats]) -> Floats:
    """Return the mean over the runs whose own value is defined; NaN where a resample leaves one of them undefined."""
    defined = [values for values in of_runs if not np.isnan(values[0])]
    return np.mean(defined, axis=0) if defined else np.full_like(of_runs[0], np.nan)
