"""Areas under ROC and precision-recall curves under many weightings of the patients at once. NaN stands for undefined.

Rows of equal score form one group: no order among them is better than another. Both areas need sums at the groups of
the positives only, so that all but one pass over the rows is as short as the list of positives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from auscult.metrics.rates import ratio

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

CELLS_AT_ONCE = 2_000_000
"""Weights of single rows are built for so many cells at a time, which bounds the memory."""
_EXACT_IN_FLOAT32 = 2**24


def ranking_areas(
    truth: NDArray[np.bool_], scores: Floats, patients: Integers, weights: NDArray[np.float32]
) -> tuple[Floats, Floats]:
    """Return the area under the ROC curve and the average precision per weighting.

    The first is the share of (positive, negative) pairs in which the positive ranks higher, ties counted half (Hanley
    and McNeil 1982); the second the sum of precision x step in recall. Both are NaN unless both classes have weight.

    Args:
        truth: Shape [row], known rows only.
        scores: Shape [row], finite.
        patients: Shape [row]: the row of `weights`.
        weights: Whole numbers, shape [patient, weighting]: how often each patient counts.

    Returns:
        Two arrays of shape [weighting].
    """
    n_weightings = weights.shape[1]
    roc, precision = np.full(n_weightings, np.nan), np.full(n_weightings, np.nan)
    if not truth.any() or truth.all():
        return roc, precision
    order = np.argsort(-scores, kind="stable")
    ranked, positive, owners = scores[order], truth[order], patients[order]
    heaviest = float((np.bincount(owners, minlength=len(weights)) @ weights.astype(np.float64)).max())
    dtype = np.float32 if heaviest < _EXACT_IN_FLOAT32 else np.float64
    groups = _Groups(ranked, positive)
    step = max(1, CELLS_AT_ONCE // len(order))
    for begin in range(0, n_weightings, step):
        piece = slice(begin, begin + step)
        by_patient = np.ascontiguousarray(weights[:, piece], dtype=dtype)
        roc[piece], precision[piece] = _areas(by_patient[owners], positive, groups)
    return roc, precision


class _Groups:
    """Where the groups of equal score that hold positives begin and end.

    Attributes:
        first, last: Rows by rank, inclusive, shape [group with positives].
        first_hit: Where each such group begins among the positives.
    """

    def __init__(self, ranked: Floats, positive: NDArray[np.bool_]) -> None:
        number = np.cumsum(np.concatenate([[False], ranked[1:] != ranked[:-1]]))
        self.first_hit = np.flatnonzero(np.diff(number[positive], prepend=-1))
        held = number[positive][self.first_hit]
        self.first = np.searchsorted(number, held, side="left")
        self.last = np.searchsorted(number, held, side="right") - 1


def _areas(by_rank: NDArray[np.floating], positive: NDArray[np.bool_], groups: _Groups) -> tuple[Floats, Floats]:
    """Return both areas; `by_rank` has shape [row by rank, weighting]."""
    steps = by_rank[positive]
    if len(groups.first_hit) < len(steps):
        steps = np.add.reduceat(steps, groups.first_hit, axis=0)
    hits = np.cumsum(steps, axis=0, dtype=np.float64)
    # Whole numbers that the type holds exactly: the running sum loses nothing.
    predicted = np.cumsum(by_rank, axis=0)
    total = predicted[-1].astype(np.float64)
    said_after = predicted[groups.last].astype(np.float64)
    said_before = np.where((groups.first > 0)[:, None], predicted[groups.first - 1], 0)
    n_positive = hits[-1]
    n_negative = total - n_positive
    # Negatives above the group, and half of those in it: the mean of those before and after it.
    lost = np.einsum("ij,ij->j", steps, (said_before + said_after - (2 * hits - steps)) / 2, dtype=np.float64)
    pairs = n_positive * n_negative
    precisions = np.divide(hits, said_after, out=np.zeros_like(hits), where=said_after > 0)
    precision = np.einsum("ij,ij->j", steps, precisions, dtype=np.float64)
    # Rounding of the sum takes a mean of precisions past 1.
    average = np.minimum(ratio(np.where(n_negative > 0, precision, np.nan), n_positive), 1)
    return ratio(pairs - lost, pairs), average
