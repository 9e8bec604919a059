"""Doubt on the test set: conformal sets, and the risk of decisions over the share of rows that are decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from auscult.config import TaskSettings
from auscult.metrics.aggregation import LevelRows
from auscult.metrics.conformal import decision_confidence, fewest_patients, judge_sets, risk_coverage


def judge_doubt(rows: LevelRows, task: TaskSettings, model: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what `metrics.json` says of conformal sets; None for a model without them.

    Args:
        rows: Predictions and labels of the test set at the task's level.
        task: What was predicted.
        model: `model.json`.

    Returns:
        `chosen_on`, `alpha`, `level`, `fewest_patients` (a class of fewer to calibrate on is in every set),
        `calibrated_on` (view -> class -> patients) and `views` (`metrics.conformal.judge_sets`).
    """
    described: Mapping[str, Any] | None = model.get("conformal")
    if described is None:
        return None
    calibrated_on = {
        view: {name: found["n"] for name, found in classes.items()} for view, classes in described["classes"].items()
    }
    return {
        "chosen_on": model.get("chosen_on", "val"),
        "alpha": described["alpha"],
        "level": described["level"],
        "fewest_patients": fewest_patients(described["alpha"]),
        "calibrated_on": calibrated_on,
        "views": judge_sets(rows, task, described),
    }


def risk_curves(rows: LevelRows, task: TaskSettings, thresholds: Sequence[float]) -> pd.DataFrame:
    """Return `coverage` and `risk` of each `target` (multi-class: of the `classes` together).

    Args:
        rows: Predictions and labels of the test set at the task's level.
        task: What was predicted.
        thresholds: At that level, one a target; not read for a multi-class task.
    """
    parts: list[pd.DataFrame] = []
    if task.type == "multi_class":
        known = ~np.isnan(rows.targets).any(axis=1)
        found = rows.probabilities[known]
        is_wrong = found.argmax(axis=1) != rows.targets[known].argmax(axis=1)
        parts.append(risk_coverage(is_wrong, found.max(axis=1, initial=0.0)).assign(target="classes"))
    else:
        for column, (target, threshold) in enumerate(zip(task.targets, thresholds, strict=True)):
            known = ~np.isnan(rows.targets[:, column])
            found = rows.probabilities[known, column]
            is_wrong = (found >= threshold) != (rows.targets[known, column] == 1)
            parts.append(risk_coverage(is_wrong, decision_confidence(found, threshold)).assign(target=target))
    return pd.concat(parts, ignore_index=True).reindex(columns=["target", "coverage", "risk"])
