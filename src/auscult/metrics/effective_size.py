"""How many independent rows so many rows of so many patients are worth, and the intervals that follow.

Rows of one patient resemble each other. The variance of a score over patients, in place of that of independent rows,
gives the number of independent rows that would scatter as much (Korn and Graubard 1998, Survey Methodology 24:193, for
proportions); the closed forms of `score_intervals` take that number. Where each row is a patient of its own the number
of rows comes out and the interval is the ordinary one.

Several runs (folds, seeds) give their mean: a patient's part in it is the mean of its parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

from auscult.metrics.delong import placements
from auscult.metrics.score_intervals import (
    LEVEL,
    MIN_PATIENTS,
    Z95,
    Estimate,
    area_variance,
    auroc_interval,
    proportion_interval,
    too_few,
    undefined,
    without_interval,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

_NO_VARIANCE = 1e-15
_ROWS_AT_ONCE = 512
"""Of a table of correlations between parts."""


@dataclass(frozen=True)
class Share:
    """The rows of a proportion in one run.

    Attributes:
        right: Whether each counts in the numerator, shape [row].
        patients: Whose each is, shape [row], in 0 .. patients of all runs - 1.
        rows: Which each is: the same row in two runs (seeds) has one number, shape [row].
    """

    right: NDArray[np.bool_]
    patients: Integers
    rows: Integers


@dataclass(frozen=True)
class Ranked:
    """The rows of an area under an ROC curve in one run.

    Attributes:
        truth: Shape [row].
        scores: Shape [row].
        patients: As in `Share`.
        rows: As in `Share`.
    """

    truth: NDArray[np.bool_]
    scores: Floats
    patients: Integers
    rows: Integers


def share_estimate(value: float, runs: Sequence[Share]) -> Estimate:
    """Return a proportion, or its mean over runs, with its interval.

    Args:
        value: The proportion; NaN for undefined.
        runs: Those with rows; others take no part in the mean.
    """
    runs = [run for run in runs if len(run.right)]
    if np.isnan(value) or not runs:
        return undefined()
    n_patients = len(np.unique(np.concatenate([run.patients for run in runs])))
    if n_patients < MIN_PATIENTS:
        return without_interval(value, too_few(n_patients, MIN_PATIENTS, "patients that count here"))
    n = share_size(value, runs)
    low, high = proportion_interval(min(value * n, n), n)
    n_rows, n_independent = _extent([run.rows for run in runs]), _extent([run.patients for run in runs])
    is_exact = abs(n_rows - n_independent) < 1e-6 and abs(n - n_rows) < 1e-6
    method = "Clopper-Pearson (mid-P)" if is_exact else "Clopper-Pearson (mid-P), effective number over patients"
    return Estimate(value=value, low=low, high=high, method=method, reason="")


def area_estimate(value: float, runs: Sequence[Ranked]) -> Estimate:
    """Return an area under an ROC curve, or its mean over runs, with its interval.

    Args:
        value: The area; NaN for undefined.
        runs: Those with both classes; others take no part in the mean.
    """
    runs = [run for run in runs if run.truth.any() and not run.truth.all()]
    if np.isnan(value) or not runs:
        return undefined()
    sides = [[side.patients[side.truth == is_positive] for side in runs] for is_positive in (True, False)]
    n_of_sides = [len(np.unique(np.concatenate(side))) for side in sides]
    if min(n_of_sides) < MIN_PATIENTS:
        return without_interval(value, too_few(min(n_of_sides), MIN_PATIENTS, "patients of a class"))
    sizes = area_sizes(value, runs)
    low, high = auroc_interval(min(max(value, 0.0), 1.0), *sizes)
    return Estimate(value=value, low=low, high=high, method="Newcombe, effective numbers over patients", reason="")


def share_size(value: float, runs: Sequence[Share]) -> float:
    """Return how many independent rows a proportion is worth.

    Args:
        value: The proportion.
        runs: Those with rows, of at least two patients.
    """
    size = max(int(run.patients.max()) for run in runs) + 1
    parts = np.zeros(size)
    for run in runs:
        mean = float(run.right.mean())
        parts += np.bincount(run.patients, run.right - mean, size) / (len(run.right) * len(runs))
    n_rows, n_independent = _extent([run.rows for run in runs]), _extent([run.patients for run in runs])
    spread = value * (1 - value)
    of_patients = float((parts**2).sum())
    if of_patients <= _NO_VARIANCE or spread <= _NO_VARIANCE:
        return n_independent
    n_patients = len(np.unique(np.concatenate([run.patients for run in runs])))
    most_cautious = min(n_independent, spread / of_patients)
    with_patients = spread / (of_patients * n_patients / (n_patients - 1))
    return float(np.clip(with_patients * _caution(parts), most_cautious, n_rows))


def area_sizes(value: float, runs: Sequence[Ranked]) -> tuple[float, float]:
    """Return how many independent positives and negatives an area is worth.

    Args:
        value: The area.
        runs: Those with both classes, each of at least two patients.
    """
    size = max(int(run.patients.max()) for run in runs) + 1
    above, below = np.zeros(size), np.zeros(size)
    for run in runs:
        of_positives, of_negatives = placements(run.scores[run.truth], run.scores[~run.truth])
        area = of_positives.mean()
        above += np.bincount(run.patients[run.truth], of_positives - area, size) / (len(of_positives) * len(runs))
        below += np.bincount(run.patients[~run.truth], of_negatives - area, size) / (len(of_negatives) * len(runs))
    sides = [[side.patients[side.truth == is_positive] for side in runs] for is_positive in (True, False)]
    independent = [_extent(side) for side in sides]
    rows = [_extent([run.rows[run.truth == is_positive] for run in runs]) for is_positive in (True, False)]
    # Obuchowski 1997, as in `delong.areas_of`.
    with_positive, with_negative = (len(np.unique(np.concatenate(side))) for side in sides)
    n_patients = len(np.unique(np.concatenate([run.patients for run in runs])))
    variance = float(
        with_positive / (with_positive - 1) * (above**2).sum()
        + with_negative / (with_negative - 1) * (below**2).sum()
        + 2 * n_patients / (n_patients - 1) * (above * below).sum()
    )
    expected = area_variance(value, *rows)
    if variance <= _NO_VARIANCE or expected <= _NO_VARIANCE:
        return independent[0], independent[1]
    factor = expected / variance
    caution = _caution(above, below)
    positive, negative = (
        float(np.clip(factor * caution * n, min(least, factor * n), n))
        for n, least in zip(rows, independent, strict=True)
    )
    return positive, negative


def mean_estimate(
    value: float, parts: Sequence[Estimate], resamples: Sequence[Floats], unknown_correlation: float
) -> Estimate:
    """Return the mean of several scores, such as sensitivity and specificity, with its interval.

    Zou 2007, Toward using confidence intervals to compare correlations, Psychol Methods 12:399: the distances of the
    parts' ends from their values add up as deviations do, with the correlations that resamples of patients show.

    Args:
        value: Their mean; NaN for undefined.
        parts: Of equal weight.
        resamples: Of each part: its values in the resamples, all of one length.
        unknown_correlation: Where resamples do not vary: 0 for parts of different rows, 1 for parts of the same rows.
    """
    if np.isnan(value):
        return undefined()
    for part in parts:
        if part["value"] is None or part["low"] is None or part["high"] is None:
            return Estimate(value=value, low=None, high=None, method="", reason=part["reason"])
    ends = np.array([[part["value"], part["low"], part["high"]] for part in parts], dtype=np.float64)
    sides = np.stack([ends[:, 0] - ends[:, 1], ends[:, 2] - ends[:, 0]], axis=1)
    down, up = np.sqrt(_joint_squares(sides, resamples, unknown_correlation)) / len(parts)
    low, high = value - float(down), value + float(up)
    return Estimate(value=value, low=low, high=high, method="Zou, of the intervals of its parts", reason="")


def _joint_squares(sides: Floats, resamples: Sequence[Floats], unknown: float) -> Floats:
    """Return `side @ correlations @ side` of each column of `sides` [parts, columns]; correlations below 0 count as 0.

    The correlations [parts, parts] are made a few rows at a time: with thousands of parts they would fill the memory.
    """
    table = np.array(resamples, dtype=np.float64)
    table = table[:, ~np.isnan(table).any(axis=0)]
    varies = np.zeros(len(table), dtype=bool)
    if table.shape[1] > 1:
        varies = table.std(axis=1) > 1e-9
        table -= table.mean(axis=1, keepdims=True)
        table[varies] /= np.linalg.norm(table[varies], axis=1, keepdims=True)
    moving = table[varies]
    total = np.zeros(sides.shape[1])
    for start in range(0, len(table), _ROWS_AT_ONCE):
        at = np.arange(start, min(start + _ROWS_AT_ONCE, len(table)))
        rows = np.full((len(at), len(table)), unknown)
        rows[np.ix_(varies[at], varies)] = np.clip(table[at[varies[at]]] @ moving.T, 0, 1)
        rows[np.arange(len(at)), at] = 1.0
        total += np.einsum("ij,ij->j", sides[at], rows @ sides)
    return total


def _extent(of_runs: Sequence[Integers]) -> float:
    """Return how many members of equal weight would scatter as much as these, if each were all alike in itself (Kish).

    A member's weight in the mean over runs is the mean of its shares of the rows.
    """
    members, at = np.unique(np.concatenate(of_runs), return_inverse=True)
    shares = np.concatenate([np.full(len(one), 1 / (len(one) * len(of_runs))) for one in of_runs])
    weights = np.bincount(at, shares, len(members))
    return float(1 / (weights**2).sum())


def _caution(*sides: Floats) -> float:
    """Return by what an effective number shrinks, its variance being an estimate from few patients or few that err.

    Args:
        sides: What each patient adds to the score, shape [patient]: of an area its positives' part, and its negatives'.
            Their degrees of freedom are joined as Satterthwaite's.
    """
    spreads = np.array([(side**2).sum() for side in sides])
    lost = 0.0
    for side, spread in zip(sides, spreads, strict=True):
        if spread > 0:
            freedom = max(0.5, float(spread**2 / (side**4).sum()) - 1)
            lost += spread**2 / freedom
    freedom = max(1.0, float(spreads.sum() ** 2 / lost))
    return (Z95 / float(stdtrit(freedom, (1 + LEVEL) / 2))) ** 2
