"""Scores of one target: `(y_true, y_score)` or `(y_true, y_pred)` -> a number, or None where it is undefined.

`y_true` holds 1, 0 and NaN for unknown; unknown rows are left out before anything is counted. `y_score` is a
probability, `y_pred` a decision (0 or 1). None is never replaced by 0: a sensitivity without a positive case does not
exist. A validation judges by these; all scores, with intervals, are in `scores`: a new score is added there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from auscult.metrics.ranking import ranking_areas
from auscult.metrics.rates import rates

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

N_CALIBRATION_BINS = 15


def known_pairs(y_true: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return truth and predictions of the rows whose truth is known.

    Raises:
        ValueError: Shapes differ, truth is not in {0, 1, NaN}, or a prediction of a known row is not finite.
    """
    truth = np.asarray(y_true, dtype=np.float64)
    predictions = np.asarray(y, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != predictions.shape:
        raise ValueError(f"expected two vectors of one length, found shapes {truth.shape} and {predictions.shape}")
    known = ~np.isnan(truth)
    truth, predictions = truth[known], predictions[known]
    if not np.isin(truth, (0.0, 1.0)).all():
        raise ValueError("y_true holds values other than 0, 1 and NaN")
    if not np.isfinite(predictions).all():
        raise ValueError(f"{int((~np.isfinite(predictions)).sum())} predictions are not finite")
    return truth == 1, predictions


def auroc(y_true: ArrayLike, y_score: ArrayLike) -> float | None:
    """Return the area under the ROC curve, ties counted half; None unless both classes occur.

    >>> auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    return _areas(y_true, y_score)[0]


def auprc(y_true: ArrayLike, y_score: ArrayLike) -> float | None:
    """Return the average precision (the step-wise area under precision-recall); None unless both classes occur."""
    return _areas(y_true, y_score)[1]


def balanced_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> float | None:
    """Return the mean of sensitivity and specificity; None unless both classes occur."""
    truth, predictions = known_pairs(y_true, y_pred)
    if not np.isin(predictions, (0.0, 1.0)).all():
        raise ValueError("balanced_accuracy judges decisions (0 or 1); found probabilities: apply a threshold first")
    predicted = predictions == 1
    counts = [
        np.count_nonzero(cell)
        for cell in (truth & predicted, ~truth & ~predicted, ~truth & predicted, truth & ~predicted)
    ]
    tp, tn, fp, fn = (np.array([count], dtype=np.float64) for count in counts)
    return _number(rates(tp, tn, fp, fn)["balanced_accuracy"])


def calibration_bins(scores: NDArray[np.float64], n_bins: int = N_CALIBRATION_BINS) -> NDArray[np.int64]:
    """Return the bin (0 .. n_bins - 1) of every probability; bins are closed on the right, the first on both sides.

    >>> calibration_bins(np.array([0.0, 0.5, 0.51, 1.0]), 2).tolist()
    [0, 0, 1, 1]
    """
    return np.clip(np.ceil(scores * n_bins).astype(np.int64) - 1, 0, n_bins - 1)


def _areas(y_true: ArrayLike, y_score: ArrayLike) -> tuple[float | None, float | None]:
    truth, scores = known_pairs(y_true, y_score)
    one_patient = np.zeros(len(truth), dtype=np.int64)
    roc, precision = ranking_areas(truth, scores, one_patient, np.ones((1, 1), dtype=np.float32))
    return _number(roc), _number(precision)


def _number(values: NDArray[np.float64]) -> float | None:
    value = float(values[0])
    return None if np.isnan(value) else value


RANKING_SCORES: dict[str, Callable[[Any, Any], float | None]] = {"auroc": auroc, "auprc": auprc}
