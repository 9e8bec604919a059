"""What is frozen with a trained model: its temperature and its thresholds, both chosen on the validation set."""

from __future__ import annotations

from typing import Any

import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray

from auscult.config.evaluate import EvaluateSettings
from auscult.config.task import TaskSettings
from auscult.metrics.calibration import fit_temperature
from auscult.metrics.thresholds import thresholds_for_task
from auscult.models.saved import probabilities


def choose_operating_point(
    logits: NDArray[Any], targets: ArrayLike, ids: pd.DataFrame, task: TaskSettings, settings: EvaluateSettings
) -> dict[str, Any]:
    """Return what `model.json` says of the operating point: first the temperature, then thresholds on what it gives.

    Args:
        logits: Of the validation set, shape [clip, target].
        targets: Shape [clip, target]: 1, 0 or NaN.
        ids: Columns `clip_id`, `recording_id` and `patient_id`.
        task: Gives type, level and aggregation.
        settings: The rules.

    Returns:
        `temperature`, `calibration` (what was fitted; None without), `thresholds` (target -> threshold; empty for a
        multi-class task, which predicts the most probable class), `threshold_rule`, `threshold_target` (None for
        rules without one) and `threshold_notes`.
    """
    temperature, calibration, notes = 1.0, None, []
    if settings.calibration == "temperature":
        fitted = fit_temperature(logits, targets, multi_class=task.type == "multi_class")
        temperature = fitted.value
        calibration = {
            "method": "temperature",
            "fitted_on": "val",
            "loss_before": fitted.loss_before,
            "loss_after": fitted.loss_after,
        }
        notes = [fitted.note] if fitted.note else []
    predicted = probabilities(torch.as_tensor(logits) / temperature, task.type)
    chosen = thresholds_for_task(targets, predicted, ids, task, settings.threshold, settings.threshold_target)
    has_goal = settings.threshold in {"target_sensitivity", "target_specificity"}
    return {
        "temperature": temperature,
        "calibration": calibration,
        "thresholds": dict(zip(task.targets, chosen.values, strict=True)) if chosen.values else {},
        "threshold_rule": settings.threshold,
        "threshold_target": settings.threshold_target if has_goal else None,
        "threshold_notes": [*notes, *chosen.notes],
    }
