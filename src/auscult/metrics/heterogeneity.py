"""How much results differ between studies, sites or datasets, and what may be expected of another one.

Random effects. The variance between studies: Paule and Mandel 1982, J Res Natl Bur Stand 87:377 (recommended by
Veroniki et al. 2016, Res Synth Methods 7:55). The interval of the mean: Hartung and Knapp 2001, Stat Med 20:3875, never
narrower than without their factor (Jackson et al. 2017, Stat Med 36:3923). The prediction interval: Higgins et al.
2009, JRSS A 172:137, Student's t with k - 2 degrees of freedom. Areas under ROC curves are pooled as logits (Snell et
al. 2018, Stat Methods Med Res 27:3505).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import root_scalar
from scipy.special import chdtrc, expit, logit, stdtrit

from auscult.metrics.score_intervals import LEVEL, Z95, area_variance, auroc_interval

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

MIN_STUDIES = 3
"""Of fewer no prediction interval exists."""
_ONE_DEVIATION = 0.6826894921370859
METHOD = "random effects (Paule-Mandel, Hartung-Knapp), logit scale"


@dataclass(frozen=True)
class Pooled:
    """The mean over studies, and how much these differ.

    Attributes:
        value: The mean over the distribution of studies.
        low: Lower end of its 95% interval.
        high: Upper end.
        prediction_low: Lower end of the 95% prediction interval: where the true value of another study is expected.
        prediction_high: Upper end.
        tau: Standard deviation between studies, on the scale that was pooled.
        i_squared: Share of the spread that is not chance, in [0, 1].
        q_p: P-value of Cochran's Q: whether they differ at all.
        n_studies: How many there are.
    """

    value: float
    low: float
    high: float
    prediction_low: float
    prediction_high: float
    tau: float
    i_squared: float
    q_p: float
    n_studies: int


def pool(values: ArrayLike, errors: ArrayLike) -> Pooled:
    """Return the mean over studies, on the scale of `values`.

    Args:
        values: Of each study, shape [study].
        errors: Their standard errors, above 0, shape [study].

    Raises:
        ValueError: Shapes do not fit, an error is not positive, or there are fewer than `MIN_STUDIES`.
    """
    y, se = np.asarray(values, np.float64), np.asarray(errors, np.float64)
    if y.ndim != 1 or y.shape != se.shape or len(y) < MIN_STUDIES:
        raise ValueError(f"expected [study] twice, at least {MIN_STUDIES}, found {y.shape} and {se.shape}")
    if not (np.isfinite(y).all() and np.isfinite(se).all() and (se > 0).all()):
        raise ValueError(f"expected finite values and errors above 0, found {y.tolist()} and {se.tolist()}")
    k, variances = len(y), se**2
    q = _q(y, variances, 0.0)
    tau2 = _between(y, variances)
    weights = 1 / (variances + tau2)
    mean = float(weights @ y / weights.sum())
    factor = max(1.0, _q(y, variances, tau2) / (k - 1))
    error = math.sqrt(factor / weights.sum())
    half = float(stdtrit(k - 1, (1 + LEVEL) / 2)) * error
    far = float(stdtrit(k - 2, (1 + LEVEL) / 2)) * math.hypot(math.sqrt(tau2), error)
    return Pooled(
        value=mean,
        low=mean - half,
        high=mean + half,
        prediction_low=mean - far,
        prediction_high=mean + far,
        tau=math.sqrt(tau2),
        i_squared=max(0.0, 1 - (k - 1) / q) if q > 0 else 0.0,
        q_p=float(chdtrc(k - 1, q)),
        n_studies=k,
    )


def pool_areas(areas: Sequence[Mapping[str, Any]]) -> Pooled:
    """Return the mean area under the ROC curve over studies; `tau` is on the logit scale, all else are areas.

    Args:
        areas: `score_intervals.Estimate` of each study, all with an interval.

    Raises:
        ValueError: One has no interval, or there are fewer than `MIN_STUDIES`.
    """
    if any(area["low"] is None for area in areas):
        raise ValueError(f"expected areas with intervals, found {list(areas)}")
    scaled = [logit_area(area["value"], area["low"], area["high"]) for area in areas]
    found = pool([value for value, _ in scaled], [error for _, error in scaled])
    ends = ("value", "low", "high", "prediction_low", "prediction_high")
    return replace(found, **{name: float(expit(getattr(found, name))) for name in ends})


def pooled_or_why(areas: Sequence[Mapping[str, Any]], unit: str) -> dict[str, Any]:
    """Return `pooled` (`Pooled`; None where too few areas have an interval), `method`, and the `reason` why it is None.

    Args:
        areas: `score_intervals.Estimate` of each study, whatever is known of it.
        unit: What a study is: `site`.
    """
    known = [area for area in areas if area["low"] is not None]
    if len(known) >= MIN_STUDIES:
        return {"pooled": asdict(pool_areas(known)), "method": METHOD, "reason": ""}
    reason = (
        f"{len(known)} of {len(areas)} {unit}s have patients enough of both classes for an interval, at least "
        f"{MIN_STUDIES} are needed"
    )
    return {"pooled": None, "method": "", "reason": reason}


def logit_area(value: float, low: float, high: float) -> tuple[float, float]:
    """Return the logit of an area and its standard error, from its 95% interval.

    An area of 1 has no logit. Its interval tells how many cases of each class it is worth, and so where the interval of
    one standard deviation ends; a line through both ends gives logit and error. An area of 0 likewise.

    Args:
        value: The area.
        low: Lower end of `score_intervals.auroc_interval`.
        high: Upper end.

    >>> [round(part, 3) for part in logit_area(0.8, 0.7, 0.88)]
    [1.386, 0.292]
    >>> [round(part, 3) for part in logit_area(1.0, 0.8002, 1.0)]
    [4.353, 1.513]
    """
    if 0 < value < 1 and low > 0 and high < 1:
        return float(logit(value)), float(logit(high) - logit(low)) / (2 * Z95)
    if value < 0.5:
        mirrored, error = logit_area(1 - value, 1 - high, 1 - low)
        return -mirrored, error

    def excess(log_n: float) -> float:
        n = math.exp(log_n)
        return (1 - low) ** 2 - Z95**2 * area_variance(low, n, n)

    n = math.exp(root_scalar(excess, bracket=(math.log(0.6), math.log(1e7))).root)
    of_one = auroc_interval(1.0, n, n, _ONE_DEVIATION)[0]
    error = float(logit(of_one) - logit(low)) / (Z95 - 1)
    return float(logit(of_one)) + error, error


def _between(y: Floats, variances: Floats) -> float:
    """Return the variance between studies at which Q equals its expectation; 0 where it is below that already."""
    expected = len(y) - 1
    if _q(y, variances, 0.0) <= expected:
        return 0.0
    highest = float(np.ptp(y) ** 2)
    return float(root_scalar(lambda tau2: _q(y, variances, tau2) - expected, bracket=(0.0, highest), xtol=1e-12).root)


def _q(y: Floats, variances: Floats, tau2: float) -> float:
    weights = 1 / (variances + tau2)
    return float(weights @ (y - weights @ y / weights.sum()) ** 2)
