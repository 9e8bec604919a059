"""The scores of `scores.py` and `icbhi.py` under many weightings of the patients at once. NaN stands for undefined.

Weights have shape [weighting, patient]; a row of data counts as often as its patient. With all weights one the values
equal those of the plain scores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from auscult.metrics.icbhi import CLASSES, scores_of
from auscult.metrics.ranking import average_precisions, rank_groups, roc_areas
from auscult.metrics.rates import rates, ratio
from auscult.metrics.scores import N_CALIBRATION_BINS, calibration_bins

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Weights = NDArray[np.float32]

CELLS_AT_ONCE = 4_000_000
"""Weights of single rows are built for so many cells at a time, which bounds the memory."""


def ranking_values(truth: NDArray[np.bool_], scores: Floats, patients: Integers, weights: Weights) -> dict[str, Floats]:
    """Return auroc and auprc, shape [weighting].

    Args:
        truth: Shape [row], known rows only.
        scores: Shape [row].
        patients: Shape [row]: the column of `weights`.
        weights: Shape [weighting, patient].
    """
    aurocs, auprcs = np.full(len(weights), np.nan), np.full(len(weights), np.nan)
    step = max(1, CELLS_AT_ONCE // max(1, len(truth)))
    for begin in range(0, len(weights), step):
        piece = slice(begin, begin + step)
        positives, negatives = rank_groups(truth, scores, weights[piece][:, patients])
        aurocs[piece] = roc_areas(positives, negatives)
        auprcs[piece] = average_precisions(positives, negatives)
    return {"auroc": aurocs, "auprc": auprcs}


def binary_values(
    truth: NDArray[np.bool_], scores: Floats, said: NDArray[np.bool_], patients: Integers, weights: Weights
) -> dict[str, Floats]:
    """Return all scores of one target, shape [weighting] each: ranking, rates of `said`, Brier score and ECE."""
    totals = _per_patient(_cells(truth, said), patients, weights)
    tp, tn, fp, fn = totals.T
    n_rows = totals.sum(axis=1)
    squared = _per_patient(((scores - truth) ** 2)[:, None], patients, weights)[:, 0]
    bins = np.zeros((len(scores), N_CALIBRATION_BINS))
    bins[np.arange(len(scores)), calibration_bins(scores)] = scores - truth
    gaps = np.abs(_per_patient(bins, patients, weights)).sum(axis=1)
    return {
        **ranking_values(truth, scores, patients, weights),
        **rates(tp, tn, fp, fn),
        "brier": ratio(squared, n_rows),
        "ece": ratio(gaps, n_rows),
    }


def four_class_values(true: Integers, said: Integers, patients: Integers, weights: Weights) -> dict[str, Floats]:
    """Return the ICBHI scores in per cent, shape [weighting] each; `true` holds known classes only."""
    n = len(CLASSES)
    totals = _per_patient(np.eye(n * n)[true * n + said], patients, weights)
    return scores_of(totals.reshape(-1, n, n))


def multi_class_values(
    true: Integers, probabilities: Floats, patients: Integers, weights: Weights
) -> dict[str, Floats]:
    """Return accuracy, balanced accuracy, macro F1 and macro one-vs-rest AUROC, shape [weighting] each.

    Each is undefined where a class that it averages over has no row (balanced accuracy, AUROC), or neither row nor
    answer (F1).

    Args:
        true: Known classes, shape [row].
        probabilities: Shape [row, class]; the first of the highest is the answer.
        patients: Shape [row].
        weights: Shape [weighting, patient].
    """
    n_classes = probabilities.shape[1]
    said = probabilities.argmax(axis=1)
    one_hot = np.eye(n_classes)
    right = _per_patient(one_hot[true] * (true == said)[:, None], patients, weights)
    of_class = _per_patient(one_hot[true], patients, weights)
    said_class = _per_patient(one_hot[said], patients, weights)
    areas = [
        ranking_values(true == code, probabilities[:, code], patients, weights)["auroc"] for code in range(n_classes)
    ]
    return {
        "accuracy": ratio(right.sum(axis=1), of_class.sum(axis=1)),
        "balanced_accuracy": ratio(right, of_class).mean(axis=1),
        "macro_f1": ratio(2 * right, of_class + said_class).mean(axis=1),
        "macro_auroc": np.mean(areas, axis=0),
    }


def _cells(truth: NDArray[np.bool_], said: NDArray[np.bool_]) -> Floats:
    return np.stack([truth & said, ~truth & ~said, ~truth & said, truth & ~said], axis=1).astype(np.float64)


def _per_patient(columns: Floats, patients: Integers, weights: Weights) -> Floats:
    """Return the weighted sum of each column, shape [weighting, column]."""
    sums = np.zeros((weights.shape[1], columns.shape[1]))
    np.add.at(sums, patients, columns)
    return weights.astype(np.float64) @ sums
