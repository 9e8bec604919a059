"""Folds and seeds: the mean of several runs, with its intervals over the patients of all their test sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from auscult.metrics.aggregation import at_level
from auscult.metrics.evidence import Owners, all_estimates, view_evidence
from auscult.metrics.intervals import resample_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import ArrayLike

    from auscult.config.task import TaskSettings
    from auscult.metrics.score_intervals import Estimate


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
    of_runs = [at_level(run.probabilities, run.targets, run.ids, task, task.level) for run in runs]
    everyone = np.unique(np.concatenate([rows.patient_ids.astype(str) for rows in of_runs]))
    every_row = np.unique(np.concatenate([rows.ids.astype(str) for rows in of_runs]))
    weights = resample_weights(len(everyone), n_resamples, rng)
    found = [
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
    return all_estimates(found, task)
