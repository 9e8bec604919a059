"""The scores of `scores.py` and `icbhi.py` under many weightings of the patients at once. NaN stands for undefined.

Weights have shape [patient, weighting]; a row of data counts as often as its patient. With all weights one the values
equal those of the plain scores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from auscult.metrics.icbhi import CLASSES, scores_of
from auscult.metrics.ranking import ranking_areas
from auscult.metrics.rates import rates, ratio
from auscult.metrics.scores import N_CALIBRATION_BINS, calibration_bins

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Weights = NDArray[np.float32]


def binary_values(
    truth: NDArray[np.bool_], scores: Floats, said: NDArray[np.bool_], patients: Integers, weights: Weights
) -> dict[str, Floats]:
    """Return all scores of one target, shape [weighting] each: ranking, rates of `said`, Brier score and ECE."""
    tp, tn, fp, fn = _totals(_cells(truth, said), patients, weights).T
    n_rows = tp + tn + fp + fn
    squared = _totals(((scores - truth) ** 2)[:, None], patients, weights)[:, 0]
    bins = np.zeros((len(scores), N_CALIBRATION_BINS))
    bins[np.arange(len(scores)), calibration_bins(scores)] = scores - truth
    gaps = np.abs(_totals(bins, patients, weights)).sum(axis=1)
    roc, precision = ranking_areas(truth, scores, patients, weights)
    return {
        "auroc": roc,
        "auprc": precision,
        **rates(tp, tn, fp, fn),
        "brier": ratio(squared, n_rows),
        "ece": ratio(gaps, n_rows),
    }


def four_class_values(true: Integers, said: Integers, patients: Integers, weights: Weights) -> dict[str, Floats]:
    """Return the ICBHI scores in per cent, shape [weighting] each; `true` holds known classes only."""
    n = len(CLASSES)
    totals = _totals(np.eye(n * n)[true * n + said], patients, weights)
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
        weights: Shape [patient, weighting].
    """
    n_classes = probabilities.shape[1]
    said = probabilities.argmax(axis=1)
    one_hot = np.eye(n_classes)
    right = _totals(one_hot[true] * (true == said)[:, None], patients, weights)
    of_class = _totals(one_hot[true], patients, weights)
    said_class = _totals(one_hot[said], patients, weights)
    areas = [ranking_areas(true == code, probabilities[:, code], patients, weights)[0] for code in range(n_classes)]
    return {
        "accuracy": ratio(right.sum(axis=1), of_class.sum(axis=1)),
        "balanced_accuracy": ratio(right, of_class).mean(axis=1),
        "macro_f1": ratio(2 * right, of_class + said_class).mean(axis=1),
        "macro_auroc": np.mean(areas, axis=0),
    }


def _cells(truth: NDArray[np.bool_], said: NDArray[np.bool_]) -> Floats:
    return np.stack([truth & said, ~truth & ~said, ~truth & said, truth & ~said], axis=1).astype(np.float64)


def _totals(columns: Floats, patients: Integers, weights: Weights) -> Floats:
    """Return the weighted sum of each column, shape [weighting, column]."""
    sums = np.zeros((len(weights), columns.shape[1]))
    np.add.at(sums, patients, columns)
    return weights.T.astype(np.float64) @ sums
