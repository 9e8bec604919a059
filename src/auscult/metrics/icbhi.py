"""The scores of published challenges, by a class of normal sounds. NaN stands for undefined in arrays.

ICBHI 2017, in per cent as the challenge prints them. Source: Rocha et al. 2019, An open access database for the
evaluation of respiratory sound classification algorithms, Physiological Measurement 40(3). Cycles are pooled, classes
are not averaged: sensitivity is the share of all abnormal cycles that are given exactly their class (crackle, wheeze or
both), specificity the share of normal cycles called normal.

SPRSound (BioCAS 2022 and 2023) counts in the same way over any classes, leaves recordings of poor quality out, and
ranks by the mean of the arithmetic and the harmonic mean of the two. Source: Zhang et al. 2022, Grand challenge on
respiratory sound classification, IEEE BioCAS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from auscult.metrics.rates import ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    strict, lenient, specificity = (100 * share for share in _shares(confusions, 0, (1, 2, 3)))
    return {**_pair(strict, specificity, ""), **_pair(lenient, specificity, "two_class_")}


def normal_class_scores(
    confusions: NDArray[np.floating] | NDArray[np.integer], normal: int, left_out: Sequence[int] = ()
) -> dict[str, Floats]:
    """Return the scores of any classes of which one is normal, in [0, 1].

    Args:
        confusions: Shape [..., class, class], true class by class predicted.
        normal: The class of normal sounds.
        left_out: Classes whose rows count in neither rate; to predict one of them is wrong for all others.

    Returns:
        Arrays of shape [...], NaN where undefined: `sensitivity` (adventitious rows given their own class),
        `specificity`, `average_score` (their mean, AS), `harmonic_score` (HS), `challenge_score` (the mean of both
        scores); and with the prefix `two_class_` the same where any adventitious class is a hit.
    """
    n_classes = np.asarray(confusions).shape[-1]
    abnormal = tuple(code for code in range(n_classes) if code != normal and code not in left_out)
    strict, lenient, specificity = _shares(confusions, normal, abnormal)
    found: dict[str, Floats] = {}
    for prefix, sensitivity in (("", strict), ("two_class_", lenient)):
        values = _pair(sensitivity, specificity, prefix)
        average, harmonic = values.pop(f"{prefix}score"), values[f"{prefix}harmonic_score"]
        found |= {**values, f"{prefix}average_score": average, f"{prefix}challenge_score": (average + harmonic) / 2}
    del found["two_class_specificity"]
    return found


def _shares(
    confusions: NDArray[np.floating] | NDArray[np.integer], normal: int, abnormal: tuple[int, ...]
) -> tuple[Floats, Floats, Floats]:
    """Return the strict sensitivity, that of any abnormal prediction, and the specificity, in [0, 1]."""
    table = np.asarray(confusions, dtype=np.float64)
    of_abnormal = table[..., list(abnormal), :]
    n_abnormal = of_abnormal.sum(axis=(-2, -1))
    own = sum((table[..., code, code] for code in abnormal), np.zeros(table.shape[:-2]))
    return (
        ratio(own, n_abnormal),
        ratio(of_abnormal[..., list(abnormal)].sum(axis=(-2, -1)), n_abnormal),
        ratio(table[..., normal, normal], table[..., normal, :].sum(axis=-1)),
    )


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
