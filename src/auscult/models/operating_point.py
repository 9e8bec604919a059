"""What is frozen with a trained model, chosen on validation: temperature, thresholds, weight of the normal class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray

from auscult.config.evaluate import NORMAL_CLASS_RULES, EvaluateSettings
from auscult.config.task import TaskSettings
from auscult.metrics.aggregation import at_level
from auscult.metrics.calibration import fit_temperature
from auscult.metrics.icbhi import confusion, normal_class_scores
from auscult.metrics.thresholds import N_GRID_CUTS, Thresholds, thresholds_for_task
from auscult.models.saved import probabilities, shifted_probabilities


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
        multi-class task, which predicts the most probable class), `normal_offset` (added to the logit of the normal
        class; 0 unless the rule weighs it), `threshold_rule`, `threshold_target` (None for
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
    scaled = torch.as_tensor(logits) / temperature
    chosen, offset = Thresholds(()), 0.0
    if settings.threshold in NORMAL_CLASS_RULES:
        offset, note = _choose_normal_offset(scaled, targets, ids, task, settings.threshold)
        notes += [note] if note else []
    else:
        predicted = probabilities(scaled, task.type)
        chosen = thresholds_for_task(targets, predicted, ids, task, settings.threshold, settings.threshold_target)
    has_goal = settings.threshold in {"target_sensitivity", "target_specificity"}
    return {
        "temperature": temperature,
        "calibration": calibration,
        "thresholds": dict(zip(task.targets, chosen.values, strict=True)) if chosen.values else {},
        "normal_offset": offset,
        "threshold_rule": settings.threshold,
        "threshold_target": settings.threshold_target if has_goal else None,
        "threshold_notes": [*notes, *chosen.notes],
    }


def _choose_normal_offset(
    logits: torch.Tensor, targets: ArrayLike, ids: pd.DataFrame, task: TaskSettings, score: str
) -> tuple[float, str]:
    """Return what to add to the logit of the normal class so that `score` is highest at the task's level, and a note.

    Offsets lie between neighbouring margins of clips, at most `N_GRID_CUTS` of them at quantiles; among equals the one
    in the widest gap is taken, then the lowest.
    """
    normal, left_out = task.normal_column, task.left_out_columns
    exact = logits.double().numpy()
    others = np.delete(exact, normal, axis=1).max(axis=1)
    margins = np.unique(others - exact[:, normal])
    if len(margins) > N_GRID_CUTS:
        margins = np.unique(np.quantile(margins, np.linspace(0, 1, N_GRID_CUTS), method="nearest"))
    edges = np.concatenate([[margins[0] - 1], margins, [margins[-1] + 1]])
    offsets, gaps = (edges[1:] + edges[:-1]) / 2, np.diff(edges)

    def value(offset: float) -> float:
        rows = at_level(shifted_probabilities(logits, normal, offset), targets, ids, task, task.level)
        known = ~np.isnan(rows.targets).any(axis=1)
        true, predicted = (table[known].argmax(axis=1) for table in (rows.targets, rows.probabilities))
        return float(normal_class_scores(confusion(true, predicted, len(task.targets)), normal, left_out)[score])

    values = np.array([value(float(offset)) for offset in offsets])
    if np.isnan(values).any():
        return 0.0, f"{score} is undefined on validation, which holds no normal or no adventitious {task.level}; 0 kept"
    ties = np.flatnonzero(values == values.max())
    return float(offsets[ties[np.argmax(gaps[ties])]]), ""
