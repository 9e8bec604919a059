"""Where decisions are taken at each level, in words: for tables, reports and the model card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from auscult.config import TaskSettings
from auscult.config.task import LEVELS
from auscult.formatting.metric_tables import Block
from auscult.formatting.numbers import metric_text, plural, plural_of

DECISION = "Decision at"
"""Heads the row or the line that says where decisions are taken."""
_CHOSEN_ON = {
    "val": "validation",
    "calibration": "the calibration subset",
    "out_of_fold": "out-of-fold validation",
    "recalibration": "the patients set apart for recalibration",
}
CALIBRATIONS = {
    "temperature": "temperature scaling",
    "platt": "Platt scaling",
    "isotonic": "isotonic regression",
}
OUT_OF_FOLD = "out of fold, each patient is judged by the trainings that did not learn from them"
"""Said of an ensemble whose members have validation sets of their own."""


@dataclass(frozen=True)
class PointRow:
    """The operating point of one level.

    Attributes:
        level: `clip`, `recording` or `patient`.
        values: One a target (or one, of the normal class).
        chosen_on: What validation holds at this level; empty where it is not known.
        notes: What a reader has to know of the choice.
    """

    level: str
    values: list[str]
    chosen_on: str
    notes: list[str]


def chosen_on_text(described: Mapping[str, Any]) -> str:
    """Return what calibration, operating points and conformal sets were chosen on.

    Args:
        described: `metrics.json` or `model.json`.

    >>> chosen_on_text({"chosen_on": "out_of_fold"}), chosen_on_text({})
    ('out-of-fold validation', 'validation')
    """
    return _CHOSEN_ON[described.get("chosen_on") or "val"]


def calibration_text(described: Mapping[str, Any]) -> str:
    """Return how probabilities are calibrated, with what was fitted; empty where they are not.

    Args:
        described: `metrics.json` or `model.json`.

    >>> calibration_text({"temperature": 1.4})
    'temperature 1.400'
    >>> fitted = {"target": "ill", "slope": 0.8, "intercept": -0.25}
    >>> calibration_text({"calibration": {"method": "platt", "maps": [fitted]}})
    'Platt scaling (slope 0.800, intercept −0.250)'
    """
    found = described.get("calibration") or {}
    if "maps" not in found:
        temperature = described.get("temperature", 1.0)
        return "" if temperature == 1 else f"temperature {metric_text(temperature)}"
    maps = found["maps"]
    texts = [_map_text(one) if len(maps) == 1 else f"{one['target']}: {_map_text(one)}" for one in maps]
    return f"{CALIBRATIONS[found['method']]} ({'; '.join(texts)})"


def _map_text(one: Mapping[str, Any]) -> str:
    if "slope" in one:
        slope, intercept = (metric_text(one[name]) for name in ("slope", "intercept"))
        return f"slope {slope}, intercept {intercept}"
    n_knots = one.get("n_knots") or len(one.get("logits", ()))
    return plural(n_knots, "knot") if n_knots else "not calibrated"


def decision_text(metrics: Mapping[str, Any], task: TaskSettings, level: str, targets: tuple[str, ...]) -> str:
    """Return where targets are predicted positive at a level; of several the names too.

    Args:
        metrics: `metrics.json` or `model.json`.
        task: What is predicted.
        level: `clip`, `recording` or `patient`.
        targets: Some of the task's; not read for a multi-class task.

    Returns:
        Such as `0.412`, `crackle 0.300, wheeze 0.250` or, of a multi-class task, `+1.200 normal` (added to the logit of
        the normal class) or `most probable`.
    """
    point = _point(metrics, level)
    if task.type == "multi_class":
        offset = float(point.get("normal_offset", 0.0))
        sign = "" if offset < 0 else "+"
        return f"{sign}{metric_text(offset)} {task.normal_class}" if offset else "most probable"
    values = point["thresholds"]
    if len(targets) == 1:
        return metric_text(values[targets[0]])
    return ", ".join(f"{target} {metric_text(values[target])}" for target in targets)


def decided_by(block: Block, task: TaskSettings) -> tuple[str, ...]:
    """Return the targets whose thresholds decide a view."""
    if block.key == "four_class" and task.four_class is not None:
        return (task.four_class.crackle, task.four_class.wheeze)
    return (block.name,) if block.key == "target" else task.targets


def point_rows(metrics: Mapping[str, Any], task: TaskSettings) -> list[PointRow]:
    """Return the operating point of each level; none of a multi-class task that weighs no class.

    Args:
        metrics: `metrics.json`.
        task: What is predicted.
    """
    if task.type == "multi_class" and not any(_point(metrics, level).get("normal_offset") for level in LEVELS):
        return []
    rows: list[PointRow] = []
    for level in LEVELS:
        point = _point(metrics, level)
        names = task.targets[:1] if task.type == "multi_class" else task.targets
        values = [decision_text(metrics, task, level, (name,)) for name in names]
        # Of a shared point, in `metrics` itself, `chosen_on` says on which subset, and nobody counted.
        counted = "" if is_shared(metrics) else _chosen_on(point, task)
        rows.append(PointRow(level, values, counted, list(point.get("notes", []))))
    return rows


def point_heads(task: TaskSettings) -> list[str]:
    """Return the headings of `PointRow.values`."""
    if task.type == "multi_class":
        return [f"Added to the logit of {task.normal_class}"]
    return [f"Threshold of {target}" for target in task.targets]


def is_shared(metrics: Mapping[str, Any]) -> bool:
    """Whether one operating point, chosen at the task's level, holds at every level: of models of earlier versions."""
    return not metrics.get("operating_points")


def shared_note(task: TaskSettings) -> str:
    """Return what a reader has to know of a model that has one operating point."""
    return (
        f"chosen at the level of {plural_of(task.level)} and applied at every level: the model comes from an earlier "
        "version; training it again chooses one for each level"
    )


def _point(metrics: Mapping[str, Any], level: str) -> Mapping[str, Any]:
    return metrics if is_shared(metrics) else metrics["operating_points"][level]


def _chosen_on(point: Mapping[str, Any], task: TaskSettings) -> str:
    held = point.get("chosen_on")
    if held is None:
        return ""
    if task.type == "multi_class":
        return ", ".join(f"{name} {count:,}" for name, count in held.items())
    texts = [f"{found['positive']:,} / {found['negative']:,}" for found in held.values()]
    if len(set(texts)) == 1:
        return texts[0]
    return "; ".join(f"{name} {text}" for name, text in zip(held, texts, strict=True))
