"""The bootstrap over patients: resamples that judge all scores at once, and the intervals that they give."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, logit, stdtrit

from auscult.metrics.score_intervals import (
    LEVEL,
    MIN_PATIENTS_RESAMPLED,
    Estimate,
    too_few,
    undefined,
    without_interval,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

BOOTSTRAP = "bootstrap over patients"
MIN_DEFINED_SHARE = 0.5
_NO_SPREAD = 1e-9


def resample_weights(n_patients: int, n_resamples: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Return how often each patient occurs in each resample, shape [patient, 1 + n_resamples].

    Column 0 holds ones: the sample itself, so that the estimate and its resamples come out of one computation.

    Args:
        n_patients: How many patients there are; each resample has as many, with replacement.
        n_resamples: 0: no resamples, column 0 alone.
        generator: The only source of randomness.
    """
    weights = np.ones((n_patients, 1 + n_resamples), dtype=np.float32)
    # A bounded piece at a time: the chosen indices take eight bytes each.
    step = max(1, 4_000_000 // max(1, n_patients))
    for begin in range(0, n_resamples, step) if n_patients else ():
        n = min(step, n_resamples - begin)
        chosen = generator.integers(0, n_patients, size=(n, n_patients))
        chosen += np.arange(n)[:, None] * n_patients
        counts = np.bincount(chosen.ravel(), minlength=n * n_patients)
        weights[:, 1 + begin : 1 + begin + n] = counts.reshape(n, n_patients).T
    return weights


def estimate(
    values: NDArray[np.float64],
    n_patients: int,
    what: str = "patients",
    bounds: tuple[float, float] | None = None,
) -> Estimate:
    """Return a value with its 95% interval by a bootstrap over patients.

    The deviation of the resamples, and Student's t with one degree of freedom less than there are patients; for a score
    with bounds on the logit scale, so that the interval stays within them (Boyd 2013, ECML PKDD). Percentiles of the
    resamples cover as little as 70% of small samples. There is no interval with too few patients, where the score is
    undefined in more than half of the resamples, where these do not vary, or where the value is one of the bounds.

    Args:
        values: Shape [1 + n_resamples]: the sample's value, then the resamples'; NaN for undefined.
        n_patients: Patients with a known row; of scores that need all classes, those of the smallest class.
        what: What was counted.
        bounds: Lowest and highest possible value; None for a difference, or another score without bounds.
    """
    value, resamples = float(values[0]), values[1:]
    if np.isnan(value):
        return undefined()
    defined = resamples[~np.isnan(resamples)]
    share = None if bounds is None else (value - bounds[0]) / (bounds[1] - bounds[0])
    reason = _why_none(len(resamples), defined, too_few(n_patients, MIN_PATIENTS_RESAMPLED, what), n_patients, share)
    if reason:
        return without_interval(value, reason)
    far = float(stdtrit(n_patients - 1, (1 + LEVEL) / 2)) * _spread(defined) * math.sqrt(n_patients / (n_patients - 1))
    if bounds is None or share is None:
        return Estimate(value=value, low=value - far, high=value + far, method=BOOTSTRAP, reason="")
    lowest, width = bounds[0], bounds[1] - bounds[0]
    half = far / width / (share * (1 - share))
    low, high = (lowest + width * float(expit(logit(share) + sign * half)) for sign in (-1, 1))
    return Estimate(value=value, low=low, high=high, method=BOOTSTRAP, reason="")


def _why_none(n_resamples: int, defined: NDArray[np.float64], few: str, n_patients: int, share: float | None) -> str:
    """Return why there is no interval; empty where there is one."""
    if n_resamples == 0:
        return "no resamples were asked for"
    if n_patients < MIN_PATIENTS_RESAMPLED:
        return few
    if len(defined) < 2 or len(defined) < MIN_DEFINED_SHARE * n_resamples:
        return "undefined in more than half of the resamples"
    if _spread(defined) < _NO_SPREAD:
        return "every resample of patients gives the same value"
    if share is not None and not 0 < share < 1:
        return "at the end of its range resamples do not show how far from it the truth may be"
    return ""


def _spread(resamples: NDArray[np.float64]) -> float:
    return float(resamples.std(ddof=1))
