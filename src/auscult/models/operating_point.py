"""What is frozen with a trained model, chosen on validation: temperature, thresholds, weight of the normal class."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray

from auscult.config.evaluate import NORMAL_CLASS_RULES, EvaluateSettings
from auscult.config.task import LEVELS, TaskSettings
from auscult.formatting.numbers import plural_of
from auscult.formatting.operating_points import chosen_on_text
from auscult.metrics.aggregation import at_level
from auscult.metrics.calibration import fit_temperature
from auscult.metrics.conformal import calibrate
from auscult.metrics.icbhi import confusion, normal_class_scores
from auscult.metrics.thresholds import N_GRID_CUTS, Fallback, thresholds_for_task
from auscult.models.saved import probabilities, shifted_probabilities

ChosenOn = Literal["val", "calibration", "out_of_fold"]
"""The validation set, the calibration subset, or the parts of the patients that were validation in turn, each judged by
its own trainings."""


def choose_operating_point(
    logits: NDArray[Any],
    targets: ArrayLike,
    ids: pd.DataFrame,
    task: TaskSettings,
    settings: EvaluateSettings,
    *,
    chosen_on: ChosenOn = "val",
) -> dict[str, Any]:
    """Return what `model.json` says of the operating point: first the temperature, then thresholds on what it gives.

    Args:
        logits: Of the validation set, shape [clip, target].
        targets: Shape [clip, target]: 1, 0 or NaN.
        ids: Columns `clip_id`, `recording_id` and `patient_id`.
        task: Gives type, level and aggregation.
        settings: The rules.
        chosen_on: What the logits are of.

    Returns:
        `chosen_on`, `temperature`, `calibration` (what was fitted; None without), `threshold_rule`, `threshold_target`
        (None for rules without one) and `operating_points`: for each level `thresholds` (target -> threshold; empty for
        a multi-class task, which predicts the most probable class), `normal_offset` (added to the logit of the normal
        class; 0 unless the rule weighs it), `notes`, `kept` (targets, or the normal class, for which validation chose
        nothing at this level, so that what the task's level chose stands) and `chosen_on` (what validation holds at
        this level). `thresholds`, `normal_offset` and `threshold_notes` are those of the task's level. With
        `settings.conformal` also `conformal` (`metrics.conformal.calibrate`), at the task's level.
    """
    temperature, calibration, notes = 1.0, None, []
    source = chosen_on_text({"chosen_on": chosen_on})
    if settings.calibration == "temperature":
        fitted = fit_temperature(logits, targets, multi_class=task.type == "multi_class", source=source)
        temperature = fitted.value
        calibration = {
            "method": "temperature",
            "fitted_on": chosen_on,
            "loss_before": fitted.loss_before,
            "loss_after": fitted.loss_after,
        }
        notes = [fitted.note] if fitted.note else []
    scaled = torch.as_tensor(logits) / temperature
    main = _choose_at(task.level, None, scaled, targets, ids, task=task, settings=settings, source=source)
    points = {
        level: main
        if level == task.level
        else _choose_at(level, main, scaled, targets, ids, task=task, settings=settings, source=source)
        for level in LEVELS
    }
    conformal: dict[str, Any] = {}
    if settings.conformal is not None:
        predicted = probabilities(scaled, task.type)
        rows = at_level(predicted, targets, ids, task, task.level, main["normal_offset"])
        conformal = {"conformal": calibrate(rows, task, settings.conformal.alpha)}
    has_goal = settings.threshold in {"target_sensitivity", "target_specificity"}
    return {
        "chosen_on": chosen_on,
        "temperature": temperature,
        "calibration": calibration,
        "thresholds": main["thresholds"],
        "normal_offset": main["normal_offset"],
        "threshold_rule": settings.threshold,
        "threshold_target": settings.threshold_target if has_goal else None,
        "threshold_notes": [*notes, *main["notes"]],
        "operating_points": points,
        **conformal,
    }


def _choose_at(
    level: str,
    main: dict[str, Any] | None,
    logits: torch.Tensor,
    targets: ArrayLike,
    ids: pd.DataFrame,
    *,
    task: TaskSettings,
    settings: EvaluateSettings,
    source: str,
) -> dict[str, Any]:
    """Return the operating point of one level; where validation cannot choose, that of the task's level, `main`."""
    predicted = probabilities(logits, task.type)
    point: dict[str, Any] = {"thresholds": {}, "normal_offset": 0.0, "notes": [], "kept": []}
    point["chosen_on"] = _counts(at_level(predicted, targets, ids, task, level).targets, task)
    of_main = f"of {plural_of(task.level)}"
    if settings.threshold in NORMAL_CLASS_RULES:
        found, reason = _choose_normal_offset(logits, targets, ids, task, settings.threshold, level, source)
        if found is None:
            point["kept"] = [task.normal_class]
            point["notes"] = [f"{reason}; {'0' if main is None else f'that {of_main}'} kept"]
            found = 0.0 if main is None else main["normal_offset"]
        return point | {"normal_offset": found}
    if task.type == "multi_class":
        return point
    chosen = thresholds_for_task(
        targets,
        predicted,
        ids,
        task,
        settings.threshold,
        settings.threshold_target,
        level=level,
        source=source,
        fallback=None if main is None else Fallback(tuple(main["thresholds"].values()), of_main),
    )
    thresholds = dict(zip(task.targets, chosen.values, strict=True))
    return point | {"thresholds": thresholds, "notes": list(chosen.notes), "kept": list(chosen.kept)}


def _counts(targets: NDArray[np.float32], task: TaskSettings) -> dict[str, Any]:
    """Return what a level of validation holds: target -> positive, negative; multi-class: class -> how many."""
    if task.type == "multi_class":
        return {name: int((targets[:, column] == 1).sum()) for column, name in enumerate(task.targets)}
    return {
        name: {"positive": int((targets[:, column] == 1).sum()), "negative": int((targets[:, column] == 0).sum())}
        for column, name in enumerate(task.targets)
    }


def _choose_normal_offset(  # noqa: PLR0917 (in the order of the data flow)
    logits: torch.Tensor, targets: ArrayLike, ids: pd.DataFrame, task: TaskSettings, score: str, level: str, source: str
) -> tuple[float | None, str]:
    """Return what to add to the logit of the normal class so that `score` is highest at `level`, or None and why.

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
        rows = at_level(shifted_probabilities(logits, normal, offset), targets, ids, task, level)
        known = ~np.isnan(rows.targets).any(axis=1)
        true, predicted = (table[known].argmax(axis=1) for table in (rows.targets, rows.probabilities))
        return float(normal_class_scores(confusion(true, predicted, len(task.targets)), normal, left_out)[score])

    values = np.array([value(float(offset)) for offset in offsets])
    if np.isnan(values).any():
        return None, f"{score} is undefined on {source}, which holds no normal or no adventitious {level}"
    ties = np.flatnonzero(values == values.max())
    return float(offsets[ties[np.argmax(gaps[ties])]]), ""
