"""95% intervals of proportions and areas under ROC curves that hold at the boundary and for few patients.

Both invert a test of the true value instead of spreading the estimate's own variance around it: nine of nine right, or
an area of one, still have an interval, and it is as wide as nine patients allow. `bench.coverage` measures how often
they hold the truth.
"""

from __future__ import annotations

from typing import TypedDict

from scipy.optimize import root_scalar
from scipy.special import betainc, betaincinv, ndtri

LEVEL = 0.95
Z95 = 1.959963984540054
MIN_PATIENTS = 3
"""Fewest patients of a class with which a proportion or an area has an interval."""
MIN_PATIENTS_RESAMPLED = 10
"""Fewest patients of a class with which a bootstrap over patients gives an interval, and results may be compared."""


class Estimate(TypedDict):
    """A score with its 95% interval, as `metrics.json` holds it.

    Attributes:
        value: None where undefined.
        low: Lower end; None without an interval.
        high: Upper end.
        method: How the interval was made; empty without one.
        reason: Why there is no interval; empty where there is one.
    """

    value: float | None
    low: float | None
    high: float | None
    method: str
    reason: str


def undefined(reason: str = "") -> Estimate:
    """Return the estimate of a score that is not defined, and why it is not where that is not plain."""
    return Estimate(value=None, low=None, high=None, method="", reason=reason)


def without_interval(value: float, reason: str) -> Estimate:
    """Return a score without an interval, and why it has none."""
    return Estimate(value=value, low=None, high=None, method="", reason=reason)


def too_few(found: int, least: int, what: str) -> str:
    """Return that there are too few patients.

    >>> too_few(2, 3, "patients of a class"), too_few(1, 3, "patients")
    ('2 patients of a class, at least 3 are needed', '1 patient, at least 3 are needed')
    """
    counted = what.replace("patients", "patient", 1) if found == 1 else what
    return f"{found} {counted}, at least {least} are needed"


def proportion_interval(right: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Return the interval of a proportion: Clopper and Pearson 1934, what was seen counted half (mid-P).

    Lancaster 1961, Significance tests in discrete distributions, JASA 56:223. Without mid-P the method covers the truth
    in 98 to 100% of small samples; Wilson's interval covers it in as little as 83% of samples of five.

    Args:
        right: How many are right; effective numbers need not be whole.
        n: Of how many, above 0.
        level: How often it is to hold the truth.

    Raises:
        ValueError: Not 0 <= right <= n, or n is not positive.

    >>> [round(end, 4) for end in proportion_interval(9, 9)]
    [0.7169, 1.0]
    >>> [round(end, 4) for end in proportion_interval(8, 10)]
    [0.4805, 0.965]
    """
    if not 0 <= right <= n or n <= 0:
        raise ValueError(f"expected 0 <= right <= n with n above 0, found right {right} and n {n}")
    tail = (1 - level) / 2
    return _lowest_share(right, n, tail), 1 - _lowest_share(n - right, n, tail)


def _lowest_share(right: float, n: float, tail: float) -> float:
    """Return the share at which `right` or more of `n` are seen with the chance `tail`, `right` itself counted half."""
    if right <= 0:
        return 0.0

    def excess(share: float) -> float:
        at_least = betainc(right, n - right + 1, share)
        more = betainc(right + 1, n - right, share) if n - right > 1e-9 else 0.0
        return float(at_least + more) / 2 - tail

    # Counting what was seen whole, and not at all, are the two ends.
    whole, nothing = (float(betaincinv(right, n - right + 1, chance)) for chance in (tail, 2 * tail))
    if excess(nothing) <= 0:
        return nothing
    return float(root_scalar(excess, bracket=(whole, nothing), xtol=1e-10).root)


def auroc_interval(value: float, n_positive: float, n_negative: float, level: float = LEVEL) -> tuple[float, float]:
    """Return the interval of an area under an ROC curve: Newcombe 2006, Stat Med 25:559, method 5.

    It holds the areas from which `value` lies at most 1.96 (at 95%) of their own standard deviations, by
    `area_variance`.

    Args:
        value: The area, in [0, 1].
        n_positive: Independent positives; effective numbers need not be whole.
        n_negative: Independent negatives.
        level: How often it is to hold the truth.

    Raises:
        ValueError: The area lies outside [0, 1], or a number is not positive.

    >>> [round(end, 3) for end in auroc_interval(1.0, 4, 5)]
    [0.612, 1.0]
    """
    if not 0 <= value <= 1 or min(n_positive, n_negative) <= 0:
        raise ValueError(
            f"expected an area in [0, 1] and numbers above 0, found {value}, {n_positive} and {n_negative}"
        )
    z = float(ndtri((1 + level) / 2))
    return _lowest_area(value, n_positive, n_negative, z), 1 - _lowest_area(1 - value, n_positive, n_negative, z)


def area_variance(area: float, n_positive: float, n_negative: float) -> float:
    """Return the variance of an area of so many independent positives and negatives.

    Hanley and McNeil 1982, Radiology 143:29, for exponential scores, with both numbers of cases in each term replaced
    by their mean (Newcombe 2006), so that a prevalence and its complement have the same variance.
    """
    around = (n_positive + n_negative) / 2 - 1
    spread = 1 + around * ((1 - area) / (2 - area) + area / (1 + area))
    return area * (1 - area) * max(spread, 0.0) / (n_positive * n_negative)


def _lowest_area(value: float, n_positive: float, n_negative: float, z: float) -> float:
    # So close to the value itself the variance outweighs the squared distance, at 1 too.
    nearest = value - 1e-9
    if nearest <= 0:
        return 0.0

    def excess(area: float) -> float:
        return (value - area) ** 2 - z**2 * area_variance(area, n_positive, n_negative)

    return float(root_scalar(excess, bracket=(0, nearest), xtol=1e-10).root) if excess(nearest) < 0 else nearest
