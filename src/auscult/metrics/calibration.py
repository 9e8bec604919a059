"""Temperature scaling: logits are divided by one number, which changes how sure predictions are and never their order.

Source: Guo et al. 2017, On Calibration of Modern Neural Networks (arXiv:1706.04599), section 4.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize_scalar

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

LIMITS = (0.05, 20.0)
"""Answers that separate validation perfectly would be made surer without end."""


@dataclass(frozen=True)
class Temperature:
    """What was fitted.

    Attributes:
        value: What logits are divided by; above 1: the model was too sure.
        loss_before: Mean negative log likelihood of the known truths without it; None without any.
        loss_after: With it.
        note: What the user should know; empty where there is nothing.
    """

    value: float
    loss_before: float | None
    loss_after: float | None
    note: str = ""


def fit_temperature(
    logits: ArrayLike, targets: ArrayLike, *, multi_class: bool = False, source: str = "validation"
) -> Temperature:
    """Choose the temperature of the least negative log likelihood over all known truths.

    Args:
        logits: Shape [clip, target], finite.
        targets: Shape [clip, target]: 1, 0 or NaN; multi-class: one-hot rows or rows of NaN.
        multi_class: Softmax over the row instead of a sigmoid of each target.
        source: What the clips are called in notes.

    Returns:
        1.0 and a note where validation holds one class only, for nothing can be fitted to it.

    Raises:
        ValueError: Shapes do not fit.
    """
    scores = np.asarray(logits, dtype=np.float64)
    truth = np.asarray(targets, dtype=np.float64)
    if scores.ndim != 2 or scores.shape != truth.shape:
        raise ValueError(f"expected [clip, target] twice, found {scores.shape} and {truth.shape}")
    known = ~np.isnan(truth).any(axis=1) if multi_class else ~np.isnan(truth)
    scores, truth = scores[known], truth[known]
    n_classes = len(np.unique(truth.argmax(axis=1) if multi_class else truth)) if len(truth) else 0
    if n_classes < 2:
        before = _loss(scores, truth, 1.0, multi_class=multi_class) if len(truth) else None
        return Temperature(1.0, before, before, f"{source} holds one class only; temperature 1 kept")
    low, high = np.log(LIMITS)
    found = minimize_scalar(
        lambda log_value: _loss(scores, truth, float(np.exp(log_value)), multi_class=multi_class),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-6},
    )
    value = float(np.exp(found.x))
    is_at_limit = min(found.x - low, high - found.x) < 1e-3
    note = f"the temperature stands at the limit of {LIMITS[0]} to {LIMITS[1]}" if is_at_limit else ""
    before, after = (_loss(scores, truth, number, multi_class=multi_class) for number in (1.0, value))
    return Temperature(value, before, after, note)


def _loss(scores: NDArray[np.float64], truth: NDArray[np.float64], temperature: float, *, multi_class: bool) -> float:
    scaled = scores / temperature
    if multi_class:
        return float(np.mean(np.logaddexp.reduce(scaled, axis=1) - (scaled * truth).sum(axis=1)))
    return float(np.mean(np.logaddexp(0.0, scaled) - scaled * truth))
