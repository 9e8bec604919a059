"""Folds and seeds: the mean of several runs, with its intervals over the patients of all their test sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from auscult.metrics.aggregation import at_level
from auscult.metrics.evidence import Owners, all_estimates, view_evidence
from auscult.metrics.icbhi import UNKNOWN, four_classes
from auscult.metrics.intervals import resample_weights
from auscult.metrics.thresholds import four_class_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from auscult.config.task import TaskSettings
    from auscult.metrics.aggregation import LevelRows
    from auscult.metrics.evidence import Evidence
    from auscult.metrics.score_intervals import Estimate


@dataclass(frozen=True)
class RunPredictions:
    """The test set of one run.

    Attributes:
        targets: Shape [clip, target]: 1, 0 or NaN.
        probabilities: Shape [clip, target].
        ids: Columns `clip_id`, `recording_id` and `patient_id`.
        thresholds: One a target; not read for a multi-class task.
        normal_shift: Of `aggregation.at_level`.
    """

    targets: ArrayLike
    probabilities: ArrayLike
    ids: pd.DataFrame
    thresholds: Sequence[float]
    normal_shift: float = 0.0

    def rows(self, task: TaskSettings) -> LevelRows:
        """Return the rows at the task's level."""
        return at_level(self.probabilities, self.targets, self.ids, task, task.level, self.normal_shift)


def patient_counts(runs: Sequence[RunPredictions], task: TaskSettings) -> dict[str, dict[str, int]]:
    """Return `{view: counts}` of the patients of all runs together, as `n` of `summary.summarise` calls them.

    Multi-class: how many patients have rows of each class, by the class's name.
    """
    of_runs = [run.rows(task) for run in runs]
    patients = np.concatenate([rows.patient_ids.astype(str) for rows in of_runs])
    truth = np.concatenate([rows.targets for rows in of_runs])

    def n(mask: NDArray[np.bool_]) -> int:
        return len(np.unique(patients[mask]))

    if task.type == "multi_class":
        return {"multi_class": {name: n(truth[:, code] == 1) for code, name in enumerate(task.targets)}}
    found = {
        name: {
            "patients": n(~np.isnan(truth[:, column])),
            "positive_patients": n(truth[:, column] == 1),
            "negative_patients": n(truth[:, column] == 0),
        }
        for column, name in enumerate(task.targets)
    }
    columns = four_class_columns(task)
    if columns is not None:
        classes = four_classes(*(truth[:, column] for column in columns))
        found["four_class"] = {
            "patients": n(classes != UNKNOWN),
            "normal_patients": n(classes == 0),
            "abnormal_patients": n((classes != UNKNOWN) & (classes != 0)),
        }
    return found


def repeated_estimates(
    runs: Sequence[RunPredictions], task: TaskSettings, rng: np.random.Generator, n_resamples: int
) -> dict[str, dict[str, Estimate]]:
    """Return `{view: {metric: estimate}}` of the mean over runs, at the task's level.

    The views are those of `summary.summarise`: each target, `macro` and `four_class`, or `multi_class`. A run in which
    a metric is undefined is left out of its mean, in the resamples as well. An interval is never narrower than so many
    different patients allow: a patient in several runs counts once.

    Args:
        runs: At least one.
        task: Gives targets, type, level and aggregation.
        rng: The only source of randomness.
        n_resamples: Of the bootstrap; 0: no intervals of scores that need it.
    """
    return all_estimates(repeated_evidence(runs, task, rng, n_resamples), task)


def repeated_evidence(
    runs: Sequence[RunPredictions], task: TaskSettings, rng: np.random.Generator, n_resamples: int
) -> list[dict[str, Evidence]]:
    """Return the evidence of every view of each run, with patients and rows that are the same in several runs.

    Args and views are those of `repeated_estimates`; each class of a multi-class task is a view too.
    """
    of_runs = [run.rows(task) for run in runs]
    everyone = np.unique(np.concatenate([rows.patient_ids.astype(str) for rows in of_runs]))
    every_row = np.unique(np.concatenate([rows.ids.astype(str) for rows in of_runs]))
    weights = resample_weights(len(everyone), n_resamples, rng)
    return [
        view_evidence(
            rows,
            task,
            run.thresholds,
            Owners(
                np.searchsorted(everyone, rows.patient_ids.astype(str)),
                np.searchsorted(every_row, rows.ids.astype(str)),
                weights,
            ),
        )
        for run, rows in zip(runs, of_runs, strict=True)
    ]
