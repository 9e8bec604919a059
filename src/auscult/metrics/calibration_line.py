"""Calibration in the large and calibration slope: what a logistic recalibration of the probabilities would change.

Cox 1958, Two further applications of a model for binary regression, Biometrika 45:562; the hierarchy of Van Calster et
al. 2016, A calibration hierarchy for risk models was defined, J Clin Epidemiol 74:167. Intervals: the jackknife over
patients in one Newton step, with Student's t (CR3: Bell and McCaffrey 2002, Survey Methodology 28:169), because rows of
one patient resemble each other and a bootstrap of few patients often separates the classes, where no slope exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit, logit, stdtrit

from auscult.metrics.score_intervals import (
    LEVEL,
    MIN_PATIENTS,
    MIN_PATIENTS_RESAMPLED,
    too_few,
    undefined,
    without_interval,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from auscult.metrics.score_intervals import Estimate

    Floats = NDArray[np.float64]

CLIPPED_AT = 1e-6
"""Probabilities are kept this far from 0 and 1: the logit of a certain prediction is infinite."""
METHOD = "jackknife over patients, Student's t"

_MAX_STEPS = 200
_CLOSE = 1e-10


def calibration_line(y_true: ArrayLike, prob: ArrayLike, patients: ArrayLike) -> dict[str, Any]:
    """Return `intercept` and `slope`, each with `value`, `low`, `high`, `method` and `reason`; and `logistic`.

    `intercept` is calibration in the large: the logit by which predictions are too low (above 0) or too high (below 0),
    with the slope held at 1. `slope` is 1 for a calibrated model, below 1 for predictions that are too extreme.
    `logistic` holds intercept and slope fitted together, which draw a curve; None where there is no slope.

    Args:
        y_true: Shape [row]: 1, 0 or NaN for unknown.
        prob: Shape [row].
        patients: Whose each row is, shape [row].

    Raises:
        ValueError: Shapes do not fit.
    """
    truth, predicted, owners = np.asarray(y_true, np.float64), np.asarray(prob, np.float64), np.asarray(patients)
    if truth.ndim != 1 or truth.shape != predicted.shape or truth.shape != owners.shape:
        raise ValueError(f"expected [row] three times, found {truth.shape}, {predicted.shape} and {owners.shape}")
    known = ~np.isnan(truth)
    truth, logits = truth[known], logits_of(predicted[known])
    _, owners = np.unique(owners[known], return_inverse=True)
    if len(np.unique(truth)) < 2:
        why = "no row with a known label" if not len(truth) else "all labels are of one class"
        return {"intercept": _undefined(why), "slope": _undefined(why), "logistic": None}
    ones = np.ones((len(truth), 1))
    reason = _too_few(truth, owners)
    intercept = _estimate(ones, truth, logits, owners, reason)
    why = no_slope(truth, logits)
    if why:
        return {"intercept": intercept, "slope": _undefined(why), "logistic": None}
    columns, zeros = np.column_stack([ones, logits]), np.zeros_like(logits)
    slope = _estimate(columns, truth, zeros, owners, reason)
    return {"intercept": intercept, "slope": slope, "logistic": fit_logistic(columns, truth, zeros).tolist()}


def logits_of(prob: ArrayLike) -> Floats:
    """Return logits, of probabilities kept `CLIPPED_AT` from 0 and 1."""
    return logit(np.clip(np.asarray(prob, dtype=np.float64), CLIPPED_AT, 1 - CLIPPED_AT))


def fit_logistic(columns: Floats, truth: Floats, offset: Floats) -> Floats:
    """Return the coefficients of greatest likelihood of a logistic regression, shape [column].

    Args:
        columns: Shape [row, column], of full rank.
        truth: 1 or 0, shape [row]. No line may separate the classes, or there are no such coefficients.
        offset: Added to the logit, shape [row].

    Raises:
        ArithmeticError: The search does not come to an end.
    """

    def loss(at: Floats) -> float:
        logits = offset + columns @ at
        return float(np.sum(np.logaddexp(0.0, logits) - truth * logits))

    found, lowest = np.zeros(columns.shape[1]), np.inf
    for _ in range(_MAX_STEPS):
        before, lowest = lowest, loss(found)
        p = expit(offset + columns @ found)
        step = np.linalg.solve(_information(columns, p), columns.T @ (truth - p))
        # The likelihood is concave: a step that is halved often enough always gains.
        while loss(found + step) > lowest and np.abs(step).max() > _CLOSE:
            step /= 2
        found = found + step
        if np.abs(step).max() < _CLOSE and before - lowest < _CLOSE:
            return found
    raise ArithmeticError(f"the logistic fit of {len(truth)} rows did not converge in {_MAX_STEPS} steps")


def _estimate(columns: Floats, truth: Floats, offset: Floats, owners: NDArray[np.int64], reason: str) -> Estimate:
    """Return the last coefficient with its interval."""
    found = fit_logistic(columns, truth, offset)
    if reason:
        return without_interval(float(found[-1]), reason)
    p = expit(offset + columns @ found)
    information = _information(columns, p)
    n_patients = int(owners.max()) + 1
    shifts = np.zeros(n_patients)
    for patient in range(n_patients):
        at = owners == patient
        rest = information - _information(columns[at], p[at])
        if np.linalg.cond(rest) > 1 / _CLOSE:
            return without_interval(float(found[-1]), "it rests on one patient")
        shifts[patient] = np.linalg.solve(rest, columns[at].T @ (truth[at] - p[at]))[-1]
    deviation = float(np.sqrt((n_patients - 1) / n_patients * np.sum(shifts**2)))
    half = float(stdtrit(n_patients - 1, (1 + LEVEL) / 2)) * deviation
    value = float(found[-1])
    return {"value": value, "low": value - half, "high": value + half, "method": METHOD, "reason": ""}


def _undefined(reason: str) -> Estimate:
    return {**undefined(), "reason": reason}


def _information(columns: Floats, p: Floats) -> Floats:
    return columns.T @ (columns * (p * (1 - p))[:, None])


def no_slope(truth: Floats, logits: Floats) -> str:
    """Return why no slope has a greatest likelihood; empty where one has. `truth` holds both 1 and 0, shape [row]."""
    if np.ptp(logits) < _CLOSE:
        return "all probabilities are equal"
    positive, negative = logits[truth == 1], logits[truth == 0]
    if positive.min() >= negative.max() or positive.max() <= negative.min():
        return "the predictions separate the classes perfectly"
    return ""


def _too_few(truth: Floats, owners: NDArray[np.int64]) -> str:
    n_patients = len(np.unique(owners))
    if n_patients < MIN_PATIENTS_RESAMPLED:
        return too_few(n_patients, MIN_PATIENTS_RESAMPLED, "patients")
    rarer = min(len(np.unique(owners[truth == value])) for value in (0, 1))
    return too_few(rarer, MIN_PATIENTS, "patients of a class") if rarer < MIN_PATIENTS else ""
