"""Confidence intervals: the percentile bootstrap over patients.

Patients are drawn, not clips: clips of one patient resemble each other, and an interval that takes them as independent
is too narrow. A draw of n patients with replacement is a vector of n whole-numbered weights, so that a metric under all
draws is a product of matrices rather than a loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEVEL = 0.95
MIN_PATIENTS = 2
MIN_DEFINED_SHARE = 0.5


def draw_weights(n_patients: int, draws: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Return how often each patient occurs in each draw, shape [patient, 1 + draws].

    Column 0 holds ones: the sample itself, so that the estimate and its draws come out of one computation.

    Args:
        n_patients: How many patients there are; each draw has as many, with replacement.
        draws: 0: no draws, column 0 alone.
        generator: The only source of randomness.
    """
    weights = np.ones((n_patients, 1 + draws), dtype=np.float32)
    # A bounded piece at a time: the chosen indices take eight bytes each.
    step = max(1, 4_000_000 // max(1, n_patients))
    for begin in range(0, draws, step) if n_patients else ():
        n = min(step, draws - begin)
        chosen = generator.integers(0, n_patients, size=(n, n_patients))
        chosen += np.arange(n)[:, None] * n_patients
        counts = np.bincount(chosen.ravel(), minlength=n * n_patients)
        weights[:, 1 + begin : 1 + begin + n] = counts.reshape(n, n_patients).T
    return weights


def estimate(values: NDArray[np.float64], n_patients: int) -> dict[str, float | None]:
    """Return the value and its 95% interval as `{"value", "low", "high"}`; None where undefined.

    The interval runs from the 2.5th to the 97.5th percentile of the draws in which the metric is defined. It is None
    when fewer than 2 patients have known rows, when the value itself is undefined, or when the metric is undefined in
    more than half of the draws.

    Args:
        values: Shape [1 + draws]: the sample's value, then the draws'; NaN for undefined.
        n_patients: Patients with a known row.
    """
    value, draws = float(values[0]), values[1:]
    if np.isnan(value):
        return {"value": None, "low": None, "high": None}
    defined = draws[~np.isnan(draws)]
    if n_patients < MIN_PATIENTS or len(defined) == 0 or len(defined) < MIN_DEFINED_SHARE * len(draws):
        return {"value": value, "low": None, "high": None}
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(defined, [tail, 100 - tail])
    return {"value": value, "low": float(low), "high": float(high)}
