"""What is frozen with a trained model, chosen on validation: calibration, thresholds, weight of the normal class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
from auscult.metrics.calibration import fit_maps, fit_temperature
from auscult.metrics.conformal import calibrate
from auscult.metrics.icbhi import confusion, normal_class_scores
from auscult.metrics.thresholds import N_GRID_CUTS, Fallback, thresholds_for_task
from auscult.models.saved import SHIFTS_VERSION, calibrated_probabilities, maps_of, shifted_probabilities

ChosenOn = Literal["val", "calibration", "out_of_fold", "recalibration"]
"""The validation set, the calibration subset, the parts of the patients that were validation in turn, each judged by
its own trainings, or patients of a new site that are not judged."""


def choose_operating_point(
    logits: NDArray[Any],
    targets: ArrayLike,
    ids: pd.DataFrame,
    task: TaskSettings,
    settings: EvaluateSettings,
    *,
    chosen_on: ChosenOn = "val",
) -> dict[str, Any]:
    """Return what `model.json` says of the operating point: first the calibration, then thresholds on what it gives.

    Args:
        logits: Of the validation set, shape [clip, target].
        targets: Shape [clip, target]: 1, 0 or NaN.
        ids: Columns `clip_id`, `recording_id` and `patient_id`.
        task: Gives type, level and aggregation.
        settings: The rules.
        chosen_on: What the logits are of.

    Returns:
        `chosen_on`, `temperature` (1 unless it was fitted), `calibration` (what was fitted: `method`, `fitted_on`,
        `loss_before`, `loss_after`, `notes` and, of `platt` and `isotonic`, `maps`; None without), `threshold_rule`,
        `threshold_target` (None for rules without one) and `operating_points`: for each level `thresholds` (target ->
        threshold; empty for a multi-class task, which predicts the most probable class), `normal_offset` (added to the
        logit of the normal class; 0 unless the rule weighs it), `notes`, `kept` (targets, or the normal class, for
        which validation chose nothing at this level, so that what the task's level chose stands) and `chosen_on` (what
        validation holds at this level). `thresholds`, `normal_offset` and `threshold_notes` are those of the task's
        level. With `settings.conformal` also `conformal` (`metrics.conformal.calibrate`), at the task's level.

    Raises:
        ValueError: The calibration is not for a multi-class task.
    """
    source = chosen_on_text({"chosen_on": chosen_on})
    temperature, calibration = _calibrate(logits, targets, task, settings, source)
    if calibration is not None:
        calibration["fitted_on"] = chosen_on
    raw = torch.as_tensor(logits)
    predicted = calibrated_probabilities(raw, {"temperature": temperature, "calibration": calibration}, task.type)
    outputs = _Outputs(raw / temperature, predicted)
    main = _choose_at(task.level, None, outputs, targets, ids, task=task, settings=settings, source=source)
    points = {
        level: main
        if level == task.level
        else _choose_at(level, main, outputs, targets, ids, task=task, settings=settings, source=source)
        for level in LEVELS
    }
    conformal: dict[str, Any] = {}
    if settings.conformal is not None:
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
        "threshold_notes": [*([] if calibration is None else calibration["notes"]), *main["notes"]],
        "operating_points": points,
        **conformal,
    }


@dataclass(frozen=True)
class _Outputs:
    """What the model gives of the clips that choose, both of shape [clip, target].

    Attributes:
        logits: Divided by the temperature.
        probabilities: Calibrated.
    """

    logits: torch.Tensor
    probabilities: NDArray[np.float64]


def with_operating_point(meta: Mapping[str, Any], point: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's description with an operating point, in a version of the format that knows its calibration.

    An older installation would leave maps out without a word.
    """
    version = max(SHIFTS_VERSION, meta["format_version"]) if maps_of(point) else meta["format_version"]
    return {**meta, **point, "format_version": version}


def _calibrate(
    logits: NDArray[Any], targets: ArrayLike, task: TaskSettings, settings: EvaluateSettings, source: str
) -> tuple[float, dict[str, Any] | None]:
    """Return the temperature and what was fitted; 1 and None where nothing is asked for."""
    method, is_multi_class = settings.calibration, task.type == "multi_class"
    if method == "none":
        return 1.0, None
    if method == "temperature":
        fitted = fit_temperature(logits, targets, multi_class=is_multi_class, source=source)
        notes = [fitted.note] if fitted.note else []
        losses = {"loss_before": fitted.loss_before, "loss_after": fitted.loss_after}
        return fitted.value, {"method": method, **losses, "notes": notes}
    if is_multi_class:
        raise ValueError(f"calibration {method} fits each target by itself; a multi-class task takes temperature")
    found = fit_maps(logits, targets, task.targets, method, source=source)
    losses = {"loss_before": found.loss_before, "loss_after": found.loss_after}
    return 1.0, {"method": method, **losses, "notes": found.notes, "maps": found.maps}


def _choose_at(
    level: str,
    main: dict[str, Any] | None,
    outputs: _Outputs,
    targets: ArrayLike,
    ids: pd.DataFrame,
    *,
    task: TaskSettings,
    settings: EvaluateSettings,
    source: str,
) -> dict[str, Any]:
    """Return the operating point of one level; where validation cannot choose, that of the task's level, `main`."""
    predicted = outputs.probabilities
    point: dict[str, Any] = {"thresholds": {}, "normal_offset": 0.0, "notes": [], "kept": []}
    point["chosen_on"] = _counts(at_level(predicted, targets, ids, task, level).targets, task)
    of_main = f"of {plural_of(task.level)}"
    if settings.threshold in NORMAL_CLASS_RULES:
        found, reason = _choose_normal_offset(outputs.logits, targets, ids, task, settings.threshold, level, source)
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
