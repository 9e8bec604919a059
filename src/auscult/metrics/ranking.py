"""Areas under ROC and precision-recall curves for many weightings of the same rows at once. NaN stands for undefined.

Rows of equal score form one group: no order among them is better than another. All functions take the weight of the
positives and of the negatives in each group, groups in descending order of score, one weighting a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from auscult.metrics.rates import ratio

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def rank_groups(
    truth: NDArray[np.bool_], scores: Floats, weights: NDArray[np.floating] | None = None
) -> tuple[Floats, Floats]:
    """Return the weight of positives and of negatives per group of equal scores, highest score first.

    Args:
        truth: Shape [row].
        scores: Shape [row], finite.
        weights: Shape [weighting, row]; None: one weighting, every row counts once.

    Returns:
        Two arrays of shape [weighting, group].
    """
    if weights is None:
        weights = np.ones((1, len(truth)))
    if len(truth) == 0:
        nothing = np.zeros((len(weights), 0))
        return nothing, nothing
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    first = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    by_rank = weights[:, order].astype(np.float64, copy=False)
    positives = by_rank * truth[order]
    negatives = by_rank - positives
    if len(first) < len(order):
        positives = np.add.reduceat(positives, first, axis=1)
        negatives = np.add.reduceat(negatives, first, axis=1)
    return positives, negatives


def roc_areas(positives: Floats, negatives: Floats) -> Floats:
    """Return the area under the ROC curve per weighting; NaN unless both classes have weight.

    The share of (positive, negative) pairs in which the positive ranks higher, ties counted half (Hanley and McNeil
    1982).
    """
    total_positives, total_negatives = positives.sum(axis=1), negatives.sum(axis=1)
    negatives_above = np.cumsum(negatives, axis=1) - negatives / 2
    lost = np.einsum("ij,ij->i", positives, negatives_above)
    pairs = total_positives * total_negatives
    return ratio(pairs - lost, pairs)


def average_precisions(positives: Floats, negatives: Floats) -> Floats:
    """Return the average precision per weighting, sum of precision x step in recall; NaN unless both classes occur."""
    hits = np.cumsum(positives, axis=1)
    total_negatives = negatives.sum(axis=1)
    said = hits + np.cumsum(negatives, axis=1)
    precisions = np.divide(hits, said, out=np.zeros_like(hits), where=said > 0)
    total = np.einsum("ij,ij->i", positives, precisions)
    return ratio(np.where(total_negatives > 0, total, np.nan), positives.sum(axis=1))
