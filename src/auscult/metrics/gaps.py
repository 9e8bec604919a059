"""By how much a proportion or an area under an ROC curve differs between two groups of patients.

The interval comes from those of the two groups (MOVER: Newcombe 1998, Stat Med 17:873, method 10; Zou and Donner 2008,
Stat Med 27:1693), so it holds at the boundary and for few patients as theirs do. Its p-value is the level at which the
interval just reaches zero: the two never contradict each other. The groups count as independent, which is cautious
where a patient has rows in both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from scipy.optimize import root_scalar

from auscult.metrics.delong import placements
from auscult.metrics.effective_size import Ranked, Share, area_estimate, area_sizes, share_estimate, share_size
from auscult.metrics.score_intervals import LEVEL, Estimate, auroc_interval, proportion_interval

METHOD = "MOVER, of the intervals of both groups"
LEAST_P = 1e-6
"""No smaller p-value is looked for."""


class Gap(TypedDict):
    """A score in one group less that in another.

    Attributes:
        one: The score in the first group; None where undefined.
        other: In the second.
        value: Their difference; None where one is undefined.
        low: Lower end of its 95% interval; None without one.
        high: Upper end.
        p: Two-sided; None without an interval.
        method: How the interval was made; empty without one.
        reason: Why there is no interval; empty where there is one.
    """

    one: float | None
    other: float | None
    value: float | None
    low: float | None
    high: float | None
    p: float | None
    method: str
    reason: str


@dataclass(frozen=True)
class _Side:
    """A score in one group, and its interval at any level."""

    found: Estimate
    interval: Callable[[float], tuple[float, float]]


def share_gap(one: Share, other: Share) -> Gap:
    """Return by how much a proportion differs."""
    return _gap(*(_of_share(side) for side in (one, other)))


def area_gap(one: Ranked, other: Ranked) -> Gap:
    """Return by how much an area under an ROC curve differs."""
    return _gap(*(_of_area(side) for side in (one, other)))


def mover(value: float, one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    """Return the interval of a difference of independent estimates.

    Args:
        value: The difference.
        one: Value, lower and upper end of the first.
        other: Of the second.

    >>> [round(end, 4) for end in mover(0.2, (0.7, 0.6, 0.8), (0.5, 0.4, 0.6))]
    [0.0586, 0.3414]
    """
    low = value - float(np.hypot(one[0] - one[1], other[2] - other[0]))
    return low, value + float(np.hypot(one[2] - one[0], other[0] - other[1]))


def _of_share(side: Share) -> _Side:
    value = float(side.right.mean()) if len(side.right) else float("nan")
    found = share_estimate(value, [side])
    n = share_size(value, [side]) if found["low"] is not None else 0.0
    return _Side(found, lambda level: proportion_interval(min(value * n, n), n, level))


def _of_area(side: Ranked) -> _Side:
    positive, negative = side.scores[side.truth], side.scores[~side.truth]
    value = float("nan")
    if len(positive) and len(negative):
        value = float(placements(positive, negative)[0].mean())
    found = area_estimate(value, [side])
    sizes = area_sizes(value, [side]) if found["low"] is not None else (0.0, 0.0)
    return _Side(found, lambda level: auroc_interval(value, *sizes, level))


def _gap(one: _Side, other: _Side) -> Gap:
    first, second = one.found["value"], other.found["value"]
    gap = Gap(one=first, other=second, value=None, low=None, high=None, p=None, method="", reason="")
    if first is None or second is None:
        return gap
    value = first - second
    gap["value"] = value
    reason = one.found["reason"] or other.found["reason"]
    if reason:
        return {**gap, "reason": reason}

    def interval(level: float) -> tuple[float, float]:
        return mover(value, (first, *one.interval(level)), (second, *other.interval(level)))

    def nearest(p: float) -> float:
        """How far the interval of level 1 - p lies from zero; negative where it holds zero."""
        low, high = interval(1 - p)
        return low if value > 0 else -high

    low, high = interval(LEVEL)
    p = 1.0
    if abs(value) > 1e-12 and nearest(1 - LEAST_P) > 0:
        p = LEAST_P if nearest(LEAST_P) > 0 else _crossing(nearest)
    return {**gap, "low": low, "high": high, "p": p, "method": METHOD}


def _crossing(nearest: Callable[[float], float]) -> float:
    return float(root_scalar(nearest, bracket=(LEAST_P, 1 - LEAST_P), xtol=1e-7).root)
