"""Areas under ROC curves of several models on the same rows, and whether they differ by more than chance.

DeLong, DeLong and Clarke-Pearson 1988, Comparing the areas under two or more correlated receiver operating
characteristic curves, Biometrics 44(3); for rows that belong to patients, Obuchowski 1997, Nonparametric analysis of
clustered ROC curve data, Biometrics 53(2), which is the former where each patient has one row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

_Z95 = 1.959963984540054


@dataclass(frozen=True)
class Areas:
    """Areas and how far they scatter.

    Attributes:
        values: Area of each model, shape [model].
        covariance: Shape [model, model].
    """

    values: Floats
    covariance: Floats


@dataclass(frozen=True)
class AreaDifference:
    """One model's area less another's.

    Attributes:
        value: The difference.
        low: Lower end of its 95% interval.
        high: Upper end.
        p: Two-sided; 1 where the two models rank all rows alike.
    """

    value: float
    low: float
    high: float
    p: float


def areas_of(y_true: ArrayLike, scores: ArrayLike, patients: ArrayLike) -> Areas | None:
    """Return the areas of models and their covariance; None where it is undefined.

    It is undefined unless at least two patients have a positive row, and two a negative one.

    Args:
        y_true: Shape [row]: 1, 0 or NaN for unknown.
        scores: Shape [model, row].
        patients: Whose each row is, shape [row].

    Raises:
        ValueError: Shapes do not fit.
    """
    truth, predictions, owners = np.asarray(y_true, np.float64), np.asarray(scores, np.float64), np.asarray(patients)
    if predictions.ndim != 2 or truth.shape != owners.shape or predictions.shape[1:] != truth.shape:
        raise ValueError(
            f"expected [row], [model, row] and [row], found {truth.shape}, {predictions.shape}, {owners.shape}"
        )
    known = ~np.isnan(truth)
    is_positive, predictions = truth[known] == 1, predictions[:, known]
    _, owners = np.unique(owners[known], return_inverse=True)
    n_patients = int(owners.max()) + 1 if len(owners) else 0
    n_positive = np.bincount(owners[is_positive], minlength=n_patients)
    n_negative = np.bincount(owners[~is_positive], minlength=n_patients)
    with_positive, with_negative = int((n_positive > 0).sum()), int((n_negative > 0).sum())
    if with_positive < 2 or with_negative < 2:
        return None
    shares = [placements(row[is_positive], row[~is_positive]) for row in predictions]
    values = np.array([of_positive.mean() for of_positive, _ in shares])
    # What each patient adds, less what it would add were its rows of average rank: [patient, model].
    above = np.stack([np.bincount(owners[is_positive], of, n_patients) for of, _ in shares], axis=1)
    below = np.stack([np.bincount(owners[~is_positive], of, n_patients) for _, of in shares], axis=1)
    above -= n_positive[:, None] * values
    below -= n_negative[:, None] * values
    n_rows_positive, n_rows_negative = int(n_positive.sum()), int(n_negative.sum())
    of_positives = with_positive / ((with_positive - 1) * n_rows_positive) * (above.T @ above)
    of_negatives = with_negative / ((with_negative - 1) * n_rows_negative) * (below.T @ below)
    of_both = n_patients / (n_patients - 1) * (above.T @ below)
    covariance = (
        of_positives / n_rows_positive
        + of_negatives / n_rows_negative
        + (of_both + of_both.T) / (n_rows_positive * n_rows_negative)
    )
    return Areas(values, covariance)


def area_difference(areas: Areas, model: int, base: int = 0) -> AreaDifference | None:
    """Return a model's area less that of `base`; None where the areas do not scatter and yet differ."""
    value = float(areas.values[model] - areas.values[base])
    covariance = areas.covariance
    variance = float(covariance[model, model] + covariance[base, base] - 2 * covariance[model, base])
    # Equal rankings leave a variance of zero up to rounding.
    if variance <= 1e-15:
        return AreaDifference(0.0, 0.0, 0.0, 1.0) if abs(value) < 1e-12 else None
    deviation = math.sqrt(variance)
    p = math.erfc(abs(value) / deviation / math.sqrt(2))
    return AreaDifference(value, value - _Z95 * deviation, value + _Z95 * deviation, p)


def placements(positive: Floats, negative: Floats) -> tuple[Floats, Floats]:
    """Return of each positive the share of negatives below it, of each negative that of positives above it; ties half.

    >>> [part.tolist() for part in placements(np.array([0.4, 0.9]), np.array([0.4, 0.1]))]
    [[0.75, 1.0], [0.75, 1.0]]
    """
    return _share_below(positive, negative), 1 - _share_below(negative, positive)


def _share_below(values: Floats, others: Floats) -> Floats:
    ordered = np.sort(others)
    left, right = np.searchsorted(ordered, values, side="left"), np.searchsorted(ordered, values, side="right")
    return (left + right) / (2 * len(others))
