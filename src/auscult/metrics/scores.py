"""All scores under many weightings of the patients at once. NaN stands for undefined.

Weights have shape [patient, weighting]; a row of data counts as often as its patient. With all weights one the values
equal those of the sample itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from auscult.metrics.icbhi import CLASSES, normal_class_scores, scores_of
from auscult.metrics.plain_scores import N_CALIBRATION_BINS, calibration_bins
from auscult.metrics.ranking import ranking_areas
from auscult.metrics.rates import rates, ratio

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from auscult.config.task import TaskSettings

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Weights = NDArray[np.float32]


def binary_values(
    truth: NDArray[np.bool_], scores: Floats, predicted: NDArray[np.bool_], patients: Integers, weights: Weights
) -> dict[str, Floats]:
    """Return all scores of one target, shape [weighting] each: ranking, rates of `predicted`, Brier score and ECE."""
    tp, tn, fp, fn = _totals(_cells(truth, predicted), patients, weights).T
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


def four_class_values(true: Integers, predicted: Integers, patients: Integers, weights: Weights) -> dict[str, Floats]:
    """Return the ICBHI scores in per cent, shape [weighting] each; `true` holds known classes only."""
    n = len(CLASSES)
    totals = _totals(np.eye(n * n)[true * n + predicted], patients, weights)
    return scores_of(totals.reshape(-1, n, n))


def exact_match_values(
    truth: NDArray[np.bool_], predicted: NDArray[np.bool_], patients: Integers, weights: Weights
) -> Floats:
    """Return the share of rows with all targets right, shape [weighting].

    Args:
        truth: Shape [row, target], rows known throughout only.
        predicted: Shape [row, target].
        patients: Shape [row].
        weights: Shape [patient, weighting].
    """
    is_right = (truth == predicted).all(axis=1)
    right, n_rows = _totals(
        np.stack([is_right, np.ones_like(is_right)], axis=1).astype(np.float64), patients, weights
    ).T
    return ratio(right, n_rows)


def class_values(
    true: Integers, probabilities: Floats, patients: Integers, weights: Weights
) -> list[dict[str, Floats]]:
    """Return the scores of each class against the rest, as `binary_values` does; arguments of `multi_class_values`."""
    predicted = probabilities.argmax(axis=1)
    return [
        binary_values(true == code, probabilities[:, code], predicted == code, patients, weights)
        for code in range(probabilities.shape[1])
    ]


def multi_class_values(
    true: Integers,
    probabilities: Floats,
    patients: Integers,
    weights: Weights,
    task: TaskSettings,
) -> tuple[dict[str, Floats], list[dict[str, Floats]]]:
    """Return the scores of all classes together, and those of each class, shape [weighting] each.

    `balanced_accuracy` and what begins with `macro_` are means over the classes, undefined where one of them is. `mcc`
    is Gorodkin's R_K (2004, Comput Biol Chem 28:367), `brier` the sum over classes of squared differences (0 to 2),
    `ece` that of the prediction's own probability, in 15 bins. A task with a normal class has those of
    `icbhi.normal_class_scores` too.

    Args:
        true: Known classes, shape [row].
        probabilities: Shape [row, class]; the first of the highest is the prediction.
        patients: Shape [row].
        weights: Shape [patient, weighting].
        task: Gives the normal class, and those that its scores leave out.
    """
    classes = class_values(true, probabilities, patients, weights)
    n_classes = probabilities.shape[1]
    one_hot = np.eye(n_classes)
    predicted = probabilities.argmax(axis=1)
    is_right = true == predicted
    right = _totals(is_right.astype(np.float64)[:, None], patients, weights)[:, 0]
    of_class, said_class = (_totals(one_hot[codes], patients, weights) for codes in (true, predicted))
    n_rows = of_class.sum(axis=1)
    squared = _totals(((probabilities - one_hot[true]) ** 2).sum(axis=1)[:, None], patients, weights)[:, 0]
    confidence = probabilities.max(axis=1, initial=0.0)
    bins = np.zeros((len(true), N_CALIBRATION_BINS))
    bins[np.arange(len(true)), calibration_bins(confidence)] = confidence - is_right
    gaps = np.abs(_totals(bins, patients, weights)).sum(axis=1)
    by_normal: dict[str, Floats] = {}
    if task.normal_class is not None:
        cells = _totals(np.eye(n_classes**2)[true * n_classes + predicted], patients, weights)
        tables = cells.reshape(-1, n_classes, n_classes)
        by_normal = normal_class_scores(tables, task.normal_column, task.left_out_columns)
    spreads = [n_rows**2 - (counts**2).sum(axis=1) for counts in (of_class, said_class)]
    together = {
        **by_normal,
        "accuracy": ratio(right, n_rows),
        "balanced_accuracy": _mean_of(classes, "sensitivity"),
        **{f"macro_{name}": _mean_of(classes, name) for name in ("f1", "auroc", "auprc", "specificity", "ppv", "npv")},
        # Rounding takes a correlation past 1.
        "mcc": np.clip(
            ratio(right * n_rows - (of_class * said_class).sum(axis=1), np.sqrt(spreads[0]) * np.sqrt(spreads[1])),
            -1,
            1,
        ),
        "brier": ratio(squared, n_rows),
        "ece": ratio(gaps, n_rows),
    }
    return together, classes


def _mean_of(classes: list[dict[str, Floats]], name: str) -> Floats:
    return np.mean([values[name] for values in classes], axis=0)


def _cells(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> Floats:
    return np.stack([truth & predicted, ~truth & ~predicted, ~truth & predicted, truth & ~predicted], axis=1).astype(
        np.float64
    )


def _totals(columns: Floats, patients: Integers, weights: Weights) -> Floats:
    """Return the weighted sum of each column, shape [weighting, column]."""
    sums = np.zeros((len(weights), columns.shape[1]))
    np.add.at(sums, patients, columns)
    return weights.T.astype(np.float64) @ sums
