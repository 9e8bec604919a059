"""The scores of the ICBHI 2017 challenge, in per cent as the challenge prints them. NaN stands for undefined in arrays.

Source: Rocha et al. 2019, An open access database for the evaluation of respiratory sound classification algorithms,
Physiological Measurement 40(3). Cycles are pooled, classes are not averaged: sensitivity is the share of all abnormal
cycles that are given exactly their class (crackle, wheeze or both), specificity the share of normal cycles called
normal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from auscult.metrics.rates import ratio

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

CLASSES = ("none", "crackle", "wheeze", "both")
UNKNOWN = -1


def four_classes(crackle: ArrayLike, wheeze: ArrayLike) -> NDArray[np.int64]:
    """Return the class (index into `CLASSES`) of each cycle; `UNKNOWN` where either of the two is NaN.

    >>> four_classes([0, 1, 0, 1, 1], [0, 0, 1, 1, float("nan")]).tolist()
    [0, 1, 2, 3, -1]
    """
    codes = np.asarray(crackle, dtype=np.float64) + 2 * np.asarray(wheeze, dtype=np.float64)
    return np.where(np.isnan(codes), UNKNOWN, np.nan_to_num(codes)).astype(np.int64)


def confusion(
    true: NDArray[np.int64], predicted: NDArray[np.int64], n_classes: int = len(CLASSES)
) -> NDArray[np.int64]:
    """Count [true class, class predicted]; rows of unknown truth are left out.

    Raises:
        ValueError: Shapes differ, or a class lies outside 0 .. n_classes - 1.
    """
    if true.shape != predicted.shape or true.ndim != 1:
        raise ValueError(f"expected two vectors of one length, found {true.shape} and {predicted.shape}")
    known = true != UNKNOWN
    true, predicted = true[known], predicted[known]
    if len(true) and (min(true.min(), predicted.min()) < 0 or max(true.max(), predicted.max()) >= n_classes):
        raise ValueError(f"classes must lie in 0 .. {n_classes - 1}")
    return np.bincount(true * n_classes + predicted, minlength=n_classes**2).reshape(n_classes, n_classes)


def scores_of(confusions: NDArray[np.floating] | NDArray[np.integer]) -> dict[str, Floats]:
    """Return the scores of four-class confusion tables.

    Args:
        confusions: Shape [..., 4, 4], true class by class predicted, in the order of `CLASSES`.

    Returns:
        Arrays of shape [...], in per cent, NaN where undefined: `sensitivity`, `specificity`, `score` (their mean) and
        `harmonic_score` (2 Se Sp / (Se + Sp), 0 when both are 0), strict; and the same with the prefix `two_class_`,
        where any abnormal prediction for an abnormal cycle is a hit.
    """
    table = np.asarray(confusions, dtype=np.float64)
    normal = table[..., 0, :].sum(axis=-1)
    abnormal = table[..., 1:, :].sum(axis=(-2, -1))
    specificity = 100 * ratio(table[..., 0, 0], normal)
    strict = 100 * ratio(table[..., 1, 1] + table[..., 2, 2] + table[..., 3, 3], abnormal)
    lenient = 100 * ratio(table[..., 1:, 1:].sum(axis=(-2, -1)), abnormal)
    return {**_pair(strict, specificity, ""), **_pair(lenient, specificity, "two_class_")}


def _pair(sensitivity: Floats, specificity: Floats, prefix: str) -> dict[str, Floats]:
    total = sensitivity + specificity
    # Both 0: the limit of the harmonic mean is 0; an undefined part leaves it undefined.
    harmonic = np.where(total == 0, 0.0, ratio(2 * sensitivity * specificity, total))
    return {
        f"{prefix}sensitivity": sensitivity,
        f"{prefix}specificity": specificity,
        f"{prefix}score": total / 2,
        f"{prefix}harmonic_score": np.where(np.isnan(total), np.nan, harmonic),
    }


def icbhi_score(true: NDArray[np.int64], predicted: NDArray[np.int64]) -> float | None:
    """Return the strict four-class score in per cent; None unless normal and abnormal cycles occur.

    >>> icbhi_score(np.array([0, 1, 2, 3]), np.array([0, 0, 0, 0]))
    50.0
    """
    score = float(scores_of(confusion(true, predicted))["score"])
    return None if np.isnan(score) else score
