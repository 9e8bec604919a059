"""Calibration of logits: one temperature for all targets, or for each target Platt scaling or isotonic regression.

A temperature and Platt scaling never change the order of predictions; isotonic regression makes some of them equal.
Sources: Guo et al. 2017, On Calibration of Modern Neural Networks (arXiv:1706.04599), section 4.2; Platt 1999,
Probabilistic outputs for support vector machines; Zadrozny and Elkan 2002, Transforming classifier scores into accurate
multiclass probability estimates; Niculescu-Mizil and Caruana 2005, Predicting good probabilities with supervised
learning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, xlog1py, xlogy

from auscult.metrics.calibration_line import fit_logistic, no_slope

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Map = Mapping[str, Any]

MapMethod = Literal["platt", "isotonic"]

LIMITS = (0.05, 20.0)
"""Answers that separate validation perfectly would be made surer without end."""
FEW_FOR_ISOTONIC = 1000
"""Known clips of a target, below which isotonic regression tends to overfit (Niculescu-Mizil and Caruana 2005)."""


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


@dataclass(frozen=True)
class FittedMaps:
    """One map a target, from its logit to its probability.

    Attributes:
        maps: In the order of the targets, each with `target` and: of Platt scaling `slope` and `intercept`; of isotonic
            regression `logits` and `probabilities`, the knots; neither where nothing could be fitted, which leaves the
            sigmoid as it is.
        loss_before: Mean negative log likelihood of the known truths without them; None without any.
        loss_after: With them.
        notes: What the user should know.
    """

    maps: list[dict[str, Any]]
    loss_before: float | None
    loss_after: float | None
    notes: list[str]


def fit_maps(
    logits: ArrayLike, targets: ArrayLike, names: Sequence[str], method: MapMethod, *, source: str = "validation"
) -> FittedMaps:
    """Fit Platt scaling or isotonic regression of the label on the logit, for each target by itself.

    Args:
        logits: Shape [clip, target], finite.
        targets: Shape [clip, target]: 1, 0 or NaN for unknown.
        names: Of the targets.
        method: `platt`: a logistic regression without penalty. `isotonic`: by pool adjacent violators; equal logits are
            one observation with the mean of their labels.
        source: What the clips are called in notes.

    Raises:
        ValueError: Shapes do not fit.
    """
    scores, truth = np.asarray(logits, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    if scores.ndim != 2 or scores.shape != truth.shape or scores.shape[1] != len(names):
        raise ValueError(f"expected [clip, {len(names)} targets] twice, found {scores.shape} and {truth.shape}")
    fit = _fit_platt if method == "platt" else _fit_isotonic
    maps: list[dict[str, Any]] = []
    notes: list[str] = []
    for column, name in enumerate(names):
        known = ~np.isnan(truth[:, column])
        found, note = _of_one_class(truth[known, column], source) or fit(scores[known, column], truth[known, column])
        maps.append({"target": name, **found})
        notes += [f"{name}: {note}"] if note else []
    known = ~np.isnan(truth)
    if not known.any():
        return FittedMaps(maps, None, None, notes)
    before = _loss(scores[known], truth[known], 1.0, multi_class=False)
    prob = apply_maps(scores, maps)[known]
    after = -float(np.mean(xlogy(truth[known], prob) + xlog1py(1 - truth[known], -prob)))
    return FittedMaps(maps, before, after, notes)


def apply_maps(logits: ArrayLike, maps: Sequence[Map]) -> Floats:
    """Return probabilities, shape [clip, target].

    Between the knots of an isotonic regression the probability is linear in the logit; beyond the first and the last
    it stays what it is there.

    Args:
        logits: Shape [clip, target].
        maps: As `fit_maps` gives them, one a target.
    """
    scores = np.asarray(logits, dtype=np.float64)
    found = np.empty_like(scores)
    for column, one in enumerate(maps):
        if "logits" in one:
            found[:, column] = np.interp(scores[:, column], one["logits"], one["probabilities"])
        else:
            found[:, column] = expit(scores[:, column] * one.get("slope", 1.0) + one.get("intercept", 0.0))
    return found


def check_maps(maps: Sequence[Map], targets: Sequence[str]) -> None:
    """Refuse maps that `fit_maps` cannot have given.

    Raises:
        ValueError: They are of other targets, or knots do not rise.
    """
    if (found := [one.get("target") for one in maps]) != list(targets):
        raise ValueError(f"calibration has maps of {found}, expected {list(targets)}")
    for one in maps:
        if "logits" in one:
            at, prob = (np.asarray(one[key], dtype=np.float64) for key in ("logits", "probabilities"))
            rises = at.shape == prob.shape and at.ndim == 1 and len(at) and (np.diff(at) > 0).all()
            if not rises or not (np.diff(prob) >= 0).all() or prob.min() < 0 or prob.max() > 1:
                raise ValueError(
                    f"calibration of {one['target']}: expected knots whose logits rise and whose probabilities do not "
                    "fall, within 0 and 1"
                )
        elif not np.isfinite([float(one.get("slope", 1.0)), float(one.get("intercept", 0.0))]).all():
            raise ValueError(f"calibration of {one['target']}: slope and intercept must be finite")


def without_knots(calibration: Map | None) -> dict[str, Any] | None:
    """Return what `model.json` says of the calibration, knots replaced by `n_knots`."""
    if calibration is None or "maps" not in calibration:
        return None if calibration is None else dict(calibration)
    maps = [
        {"target": one["target"], "n_knots": len(one["logits"])} if "logits" in one else dict(one)
        for one in calibration["maps"]
    ]
    return {**calibration, "maps": maps}


def _of_one_class(truth: Floats, source: str) -> tuple[dict[str, Any], str] | None:
    if len(np.unique(truth)) > 1:
        return None
    return {}, f"{source} holds one class only; its probabilities are not calibrated"


def _fit_platt(logits: Floats, truth: Floats) -> tuple[dict[str, Any], str]:
    if reason := no_slope(truth, logits):
        return {}, f"{reason}, which gives no slope; its probabilities are not calibrated"
    # Of standardised logits, for the sake of the search; the coefficients are those of the logits themselves.
    centre, scale = float(logits.mean()), float(logits.std())
    columns = np.column_stack([np.ones_like(logits), (logits - centre) / scale])
    level, rise = fit_logistic(columns, truth, np.zeros_like(logits))
    slope = float(rise / scale)
    if slope <= 0:
        return {}, f"the slope would be {slope:.2g}, which reverses the order; its probabilities are not calibrated"
    return {"slope": slope, "intercept": float(level) - slope * centre}, ""


def _fit_isotonic(logits: Floats, truth: Floats) -> tuple[dict[str, Any], str]:
    from sklearn.isotonic import IsotonicRegression  # noqa: PLC0415 (slow to import)

    fitted = IsotonicRegression(out_of_bounds="clip").fit(logits, truth)
    at, prob = np.asarray(fitted.X_thresholds_), np.asarray(fitted.y_thresholds_)
    notes: list[str] = []
    if prob[0] == prob[-1]:
        notes.append("isotonic regression found one probability for all clips")
    if len(truth) < FEW_FOR_ISOTONIC:
        notes.append(f"isotonic regression of {len(truth)} clips may overfit; platt needs fewer")
    return {"logits": at.tolist(), "probabilities": np.clip(prob, 0, 1).tolist()}, "; ".join(notes)
