"""Doubt: class-conditional (Mondrian) conformal sets by patient, and the risk of decisions that are not left open.

A set holds every class that the probability does not rule out: for each class c, those rows whose score 1 - p_c is at
most the quantile that patients of class c have on validation (Vovk 2012, ACML; split conformal prediction). Among
patients who are exchangeable with those of validation, a class is in the set of its own patients with probability
1 - alpha or more, whatever the model is worth.

One patient is one exchangeable unit. Where the task is decided on clips or recordings, the score of a patient is the
largest among the rows of the class: with probability 1 - alpha all of them are covered.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from auscult.config.task import TaskSettings
    from auscult.metrics.aggregation import LevelRows

    Floats = NDArray[np.float64]

ALWAYS = 1.0
"""Of a class with too few patients: no probability rules it out."""
NEGATIVE, POSITIVE = "negative", "positive"


def calibrate(rows: LevelRows, task: TaskSettings, alpha: float) -> dict[str, Any]:
    """Return what `model.json` says of conformal sets.

    Args:
        rows: Of validation, at the task's level.
        task: Its targets.
        alpha: The share of patients of a class whose class may be missing from their sets.

    Returns:
        `alpha`, `level` and `classes`: for each target (multi-class: for the one view `classes`) class -> `quantile`
        and `n`, the patients it rests on. A class of fewer than `fewest_patients(alpha)` is never ruled out.
    """
    views: dict[str, dict[str, dict[str, float | int]]] = {}
    for view, (names, truth, probabilities) in _views(rows, task).items():
        views[view] = {}
        for column, name in enumerate(names):
            is_class = truth == column
            scores = _worst_of_patients(1 - probabilities[is_class, column], rows.patient_ids[is_class])
            views[view][name] = {"quantile": _quantile(scores, alpha), "n": len(scores)}
    return {"alpha": alpha, "level": task.level, "classes": views}


def fewest_patients(alpha: float) -> int:
    """Return the fewest patients of a class whose quantile can rule it out.

    >>> fewest_patients(0.1), fewest_patients(0.05)
    (9, 19)
    """
    return math.ceil(round((1 - alpha) / alpha, 9))


def _quantile(scores: Floats, alpha: float) -> float:
    # 0.9 of 10 are 9, whatever 0.9 x 10 is in floats.
    rank = math.ceil(round((len(scores) + 1) * (1 - alpha), 9))
    return ALWAYS if rank > len(scores) else float(np.sort(scores)[rank - 1])


def _worst_of_patients(scores: Floats, patient_ids: NDArray[np.object_]) -> Floats:
    """Return the largest score of each patient."""
    patients, owners = np.unique(patient_ids.astype(str), return_inverse=True)
    worst = np.full(len(patients), -np.inf)
    np.maximum.at(worst, owners, scores)
    return worst


def prediction_sets(
    probabilities: Floats, task: TaskSettings, described: Mapping[str, Any]
) -> dict[str, NDArray[np.bool_]]:
    """Return which classes the sets hold: view -> bool [row, class].

    Args:
        probabilities: Shape [row, target], at the task's level.
        task: Its targets.
        described: From `calibrate`.
    """
    found: dict[str, NDArray[np.bool_]] = {}
    for view, classes in described["classes"].items():
        quantiles = np.array([classes[name]["quantile"] for name in classes])
        # What `calibrate` compared, computed in the same way: a score that equals the quantile is in.
        found[view] = (1 - _of_classes(probabilities, task, view)) <= quantiles
    return found


def is_unsure(probabilities: Floats, task: TaskSettings, described: Mapping[str, Any]) -> dict[str, NDArray[np.bool_]]:
    """Return view -> bool [row]: the set holds several classes, or none."""
    return {view: held.sum(axis=1) != 1 for view, held in prediction_sets(probabilities, task, described).items()}


def judge_sets(rows: LevelRows, task: TaskSettings, described: Mapping[str, Any]) -> dict[str, Any]:
    """Return how the sets do on labelled rows.

    Args:
        rows: At the task's level.
        task: Its targets.
        described: From `calibrate`.

    Returns:
        View -> class -> `patients`, `covered` (patients all of whose rows of the class are covered), `rows`, and how
        many of these have a set of `one`, `several` or `none` of the classes.
    """
    sets = prediction_sets(rows.probabilities, task, described)
    found: dict[str, Any] = {}
    for view, (names, truth, _) in _views(rows, task).items():
        found[view] = {}
        for column, name in enumerate(names):
            is_class = truth == column
            held = sets[view][is_class]
            missed = _worst_of_patients((~held[:, column]).astype(np.float64), rows.patient_ids[is_class])
            sizes = held.sum(axis=1)
            found[view][name] = {
                "patients": len(missed),
                "covered": int((missed == 0).sum()),
                "rows": len(sizes),
                "one": int((sizes == 1).sum()),
                "several": int((sizes > 1).sum()),
                "none": int((sizes == 0).sum()),
            }
    return found


def risk_coverage(is_wrong: NDArray[np.bool_], confidence: Floats) -> pd.DataFrame:
    """Return `coverage` and `risk` where only the most confident decisions are taken, a row a distinct confidence.

    Args:
        is_wrong: Shape [row].
        confidence: Shape [row]; rows of equal confidence are kept or left together.

    >>> risk_coverage(np.array([True, False, False]), np.array([0.1, 0.9, 0.9])).round(3).to_dict("list")
    {'coverage': [0.667, 1.0], 'risk': [0.0, 0.333]}
    """
    order = np.argsort(-confidence, kind="stable")
    errors = np.cumsum(is_wrong[order])
    n = np.arange(1, len(order) + 1)
    is_last = np.append(np.diff(confidence[order]) != 0, True)[: len(order)]
    return pd.DataFrame({"coverage": n[is_last] / max(len(order), 1), "risk": errors[is_last] / n[is_last]})


def decision_confidence(probabilities: Floats, threshold: float) -> Floats:
    """Return how far probabilities lie from a threshold, 0 at it and 1 at 0 and at 1.

    >>> decision_confidence(np.array([0.2, 0.1, 0.6]), 0.2).round(3).tolist()
    [0.0, 0.5, 0.5]
    """
    below, above = max(threshold, np.finfo(float).tiny), max(1 - threshold, np.finfo(float).tiny)
    away = probabilities - threshold
    return np.where(away >= 0, away / above, -away / below)


def _views(rows: LevelRows, task: TaskSettings) -> dict[str, tuple[list[str], Floats, Floats]]:
    """Return view -> names of its classes, the true class of each row (-1 for unknown), probabilities [row, class]."""
    if task.type == "multi_class":
        known = ~np.isnan(rows.targets).any(axis=1)
        truth = np.where(known, rows.targets.argmax(axis=1), -1)
        return {"classes": (list(task.targets), truth, _of_classes(rows.probabilities, task, "classes"))}
    return {
        target: (
            [NEGATIVE, POSITIVE],
            np.where(np.isnan(rows.targets[:, column]), -1, rows.targets[:, column]),
            _of_classes(rows.probabilities, task, target),
        )
        for column, target in enumerate(task.targets)
    }


def _of_classes(probabilities: Floats, task: TaskSettings, view: str) -> Floats:
    if task.type == "multi_class":
        return probabilities
    positive = probabilities[:, task.targets.index(view)]
    return np.stack([1 - positive, positive], axis=1)
