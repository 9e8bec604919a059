"""Rates from counts of true and false predictions, for many confusion tables at once. NaN stands for undefined."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Divide element by element; NaN where the denominator is 0.

    >>> ratio(np.array([1.0, 1.0]), np.array([2.0, 0.0])).tolist()
    [0.5, nan]
    """
    quotient = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), np.nan)
    return np.divide(numerator, denominator, out=quotient, where=denominator > 0)


def rates(tp: Floats, tn: Floats, fp: Floats, fn: Floats) -> dict[str, Floats]:
    """Return the rates of confusion tables given as four arrays of one shape.

    Returns:
        sensitivity, specificity, ppv, npv, f1, balanced_accuracy, accuracy and mcc, each of that shape; NaN where a
        rate has no denominator.
    """
    sensitivity = ratio(tp, tp + fn)
    specificity = ratio(tn, tn + fp)
    # The square root of each margin by itself: their product overflows no float and loses no digit.
    margins = np.sqrt(tp + fp) * np.sqrt(tp + fn) * np.sqrt(tn + fp) * np.sqrt(tn + fn)
    return {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "ppv": ratio(tp, tp + fp),
        "npv": ratio(tn, tn + fn),
        "f1": ratio(2 * tp, 2 * tp + fp + fn),
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "accuracy": ratio(tp + tn, tp + tn + fp + fn),
        # Rounding takes a correlation past 1.
        "mcc": np.clip(ratio(tp * tn - fp * fn, margins), -1, 1),
    }
