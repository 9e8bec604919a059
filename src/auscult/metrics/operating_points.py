"""Where decisions are taken at each level, as `model.json` says it: thresholds, and the weight of a normal class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from auscult.config.task import LEVELS
from auscult.errors import DataError

if TYPE_CHECKING:
    from auscult.config.task import TaskSettings


@dataclass(frozen=True)
class LevelPoint:
    """Where decisions are taken at one level.

    Attributes:
        thresholds: One a target; empty for a multi-class task, which predicts the most probable class.
        normal_shift: What is added to the logit of the normal class of a clip, beyond what the model's probabilities
            hold already, which is the offset of the task's level.
    """

    thresholds: tuple[float, ...]
    normal_shift: float = 0.0


def points_of(described: Mapping[str, Any], task: TaskSettings) -> dict[str, LevelPoint]:
    """Return the operating point of each level.

    A model of an earlier version has one, chosen at the task's level: it holds at every level.

    Args:
        described: `model.json`, or `metrics.json`: `thresholds`, `normal_offset` and `operating_points`.
        task: Its targets.

    Raises:
        DataError: A level has not one threshold for each target, or what stands for the task's level differs from what
            stands for all.
    """
    stored = described.get("operating_points")
    offset = _point(described, "the model", task).normal_shift
    if not stored:
        return dict.fromkeys(LEVELS, LevelPoint(_point(described, "the model", task).thresholds))
    points: dict[str, LevelPoint] = {}
    for level in LEVELS:
        if level not in stored:
            raise DataError(f"operating_points: found levels {sorted(stored)}, expected {', '.join(LEVELS)}")
        point = _point(stored[level], f"level {level}", task)
        points[level] = LevelPoint(point.thresholds, point.normal_shift - offset)
    if points[task.level] != LevelPoint(_point(described, "the model", task).thresholds):
        raise DataError(
            f"operating_points: thresholds and normal_offset of level {task.level} differ from those of the model; "
            "both say where the task is decided: change both, or neither"
        )
    return points


def _point(stored: Mapping[str, Any], where: str, task: TaskSettings) -> LevelPoint:
    """Return what stands in one place, its offset as it is."""
    found = stored.get("thresholds")
    expected = [] if task.type == "multi_class" else list(task.targets)
    if not isinstance(found, dict) or (expected and set(found) != set(expected)):
        raise DataError(
            f"found thresholds {found!r} for {where}, expected one for each of {expected}; train the model again"
        )
    return LevelPoint(tuple(float(found[target]) for target in expected), float(stored.get("normal_offset", 0.0)))


def as_points(points: Mapping[str, LevelPoint] | Sequence[float]) -> Mapping[str, LevelPoint]:
    """Return operating points by level; thresholds alone hold at every level.

    >>> as_points([0.4])["patient"]
    LevelPoint(thresholds=(0.4,), normal_shift=0.0)
    """
    if isinstance(points, Mapping):
        return points
    return dict.fromkeys(LEVELS, LevelPoint(tuple(float(value) for value in points)))
