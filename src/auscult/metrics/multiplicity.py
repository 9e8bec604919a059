"""Many comparisons at once: p-values that hold for all of them together.

Step-down maximum statistic: Westfall and Young 1993, Resampling-based multiple testing (Wiley), algorithm 2.8. A
resample of patients judges all results, so that whatever figures have in common is kept. Where a family of hypotheses
passes its share of the error on to another once all of it is rejected: Wiens 2003, A fixed sequence Bonferroni
procedure for testing multiple endpoints, Pharmaceutical Statistics 2(3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

ERROR_RATE: Final = 0.05
"""How often, at most, a page says `better` or `worse` anywhere though no result differs."""
PRIMARY_SHARE: Final = 0.8
"""Part of the error that is spent on the primary metric; all other figures share the rest."""
MIN_DEFINED_SHARE: Final = 0.5
"""Of the resamples; a figure that is undefined in more of them is not tested."""
_ROUNDING = 1e-12


def max_t_p(differences: ArrayLike, n_units: ArrayLike) -> Floats:
    """Return the p-values of differences from zero, adjusted for each other (step-down maximum statistic).

    A difference is divided by its deviation over the resamples, and compared with the largest of the resamples' own
    distances from the estimate, divided alike. The bootstrap of n patients is too narrow by `sqrt((n - 1) / n)`; its
    deviations are widened by that.

    Args:
        differences: Shape [hypothesis, 1 + resample]: the sample's value, then the resamples'; NaN for undefined.
        n_units: How many patients a hypothesis rests on (of the rarer class, where there are two), shape [hypothesis].

    Returns:
        Shape [hypothesis]. NaN where it cannot be tested: undefined, or no resample differs from a value that is not 0.
    """
    values = np.asarray(differences, dtype=np.float64)
    units = np.asarray(n_units, dtype=np.float64)
    p = np.full(len(values), np.nan)
    if values.shape[1] < 2:
        return p
    resamples = values[:, 1:]
    is_defined = ~np.isnan(values[:, 0]) & (np.isfinite(resamples).mean(axis=1) >= MIN_DEFINED_SHARE) & (units > 1)
    deviations = np.zeros(len(values))
    deviations[is_defined] = np.nanstd(resamples[is_defined], axis=1)
    # Equal predictions never differ, whoever is drawn: there is nothing to find.
    p[is_defined & (deviations <= _ROUNDING) & (np.abs(values[:, 0]) <= _ROUNDING)] = 1.0
    tested = np.flatnonzero(is_defined & (deviations > _ROUNDING))
    if not len(tested):
        return p
    widened = deviations[tested] * np.sqrt(units[tested] / (units[tested] - 1))
    statistics = np.abs(values[tested, 0]) / widened
    centred = np.abs(resamples[tested] - values[tested, :1]) / deviations[tested, None]
    # An undefined resample of one figure leaves the largest of the others.
    np.nan_to_num(centred, copy=False, nan=0.0)
    order = np.argsort(-statistics, kind="stable")
    # Row i: the largest over the hypotheses that are not more significant than i.
    largest = np.maximum.accumulate(centred[order[::-1]], axis=0)[::-1]
    counts = (largest >= statistics[order, None]).sum(axis=1)
    p[tested[order]] = np.maximum.accumulate((1 + counts) / (1 + resamples.shape[1]))
    return p


def two_families_p(primary: ArrayLike, others: ArrayLike) -> tuple[Floats, Floats]:
    """Return the p-values of two families of hypotheses, adjusted for each other too.

    The first has `PRIMARY_SHARE` of the error. Where all of it is rejected, the second has the whole, else the rest. A
    family without the other has all.

    Args:
        primary: Adjusted within their family, shape [hypothesis]; NaN where not tested.
        others: The same of the second family.

    >>> [part.round(3).tolist() for part in two_families_p([0.02], [0.04, 0.5])]
    [[0.025], [0.04, 0.5]]
    >>> [part.round(3).tolist() for part in two_families_p([0.2], [0.004, 0.5])]
    [[0.25], [0.02, 0.5]]
    """
    first, second = np.asarray(primary, np.float64), np.asarray(others, np.float64)
    if not len(first) or not len(second):
        return first, second
    adjusted = np.minimum(first / PRIMARY_SHARE, 1.0)
    alone = np.minimum(second / (1 - PRIMARY_SHARE), 1.0)
    if np.isnan(first).any():
        return adjusted, alone
    passed_on = np.maximum(second, adjusted.max())
    return adjusted, np.minimum(alone, passed_on)


def verdict(difference: float | None, p: float | None, *, is_lower_better: bool) -> str:
    """Return `better` or `worse` of a difference that holds after correction; else nothing.

    >>> [verdict(0.1, p, is_lower_better=False) for p in (0.01, 0.2, None)], verdict(0.1, 0.01, is_lower_better=True)
    (['better', '', ''], 'worse')
    """
    if p is None or p > ERROR_RATE or not difference:
        return ""
    return "better" if (difference > 0) != is_lower_better else "worse"


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values adjusted by Holm 1979, A simple sequentially rejective multiple test procedure, Scand J Stat 6.

    None stays, and does not count.

    >>> holm([0.01, None, 0.04, 0.03])
    [0.03, None, 0.06, 0.06]
    """
    ordered = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, index) in enumerate(ordered):
        highest = max(highest, min(1.0, (len(ordered) - rank) * p))
        adjusted[index] = highest
    return adjusted
