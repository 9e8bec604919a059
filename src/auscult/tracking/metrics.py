"""Metrics as a tracking page takes them: of each epoch from `metrics.jsonl`, of the test set from `metrics.json`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auscult.config import TaskSettings
from auscult.errors import DataError
from auscult.storage.files import parse_json
from auscult.tracking.params import safe_name

TIMINGS = frozenset({"train/epoch_s", "train/data_wait_share", "train/samples_per_s"})
"""They differ whenever an epoch is trained again, which is then the same epoch."""
HEADLINE_GROUPS = ("macro", "four_class", "multi_class")
"""Groups of a summary that speak of all targets together."""

Logged = dict[tuple[str, int], set[float]]
"""What a store holds: metric and step -> values; two values are a double point."""
Epochs = dict[int, Mapping[str, Any]]
"""Epoch -> its line of `metrics.jsonl`."""


@dataclass(frozen=True)
class Point:
    """One value of one metric, at one step and one time."""

    key: str
    value: float
    step: int
    timestamp_ms: int


def read_epochs(path: Path) -> Epochs:
    """Read `metrics.jsonl`; a repeated epoch counts as last written.

    Raises:
        DataError: A line is no JSON object with a whole `epoch`.
    """
    epochs: Epochs = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = parse_json(line)
            epoch = record["epoch"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}:{number}: found {line[:80]!r}, expected a JSON object with `epoch`") from error
        if not isinstance(epoch, int) or isinstance(epoch, bool) or epoch < 0:
            raise DataError(f"{path}:{number}: found epoch {epoch!r}, expected a whole number from 0")
        epochs[epoch] = record
    return epochs


def epoch_points(epoch: int, row: Mapping[str, Any], time_ms: int) -> list[Point]:
    """Return every number of an epoch; nulls are left out."""
    numbers = {metric_name(key): finite(value) for key, value in row.items() if key != "epoch"}
    return [Point(key, value, epoch, time_ms) for key, value in sorted(numbers.items()) if value is not None]


def read_history(path: Path, times_ms: Mapping[int, int] | None = None) -> list[Point]:
    """Read `metrics.jsonl` as points, by step and name.

    Args:
        path: The file; its own time is that of the last epoch.
        times_ms: Epoch -> when it was first seen. Earlier epochs are counted back by `epoch_s` where the lines hold it.

    Raises:
        DataError: A line is no JSON object with a whole `epoch`.
    """
    epochs = read_epochs(path)
    points: list[Point] = []
    time_ms = float(path.stat().st_mtime_ns // 1_000_000)
    for epoch in sorted(epochs, reverse=True):
        time_ms = float((times_ms or {}).get(epoch, time_ms))
        points += epoch_points(epoch, epochs[epoch], int(time_ms))
        time_ms -= 1000 * (finite(epochs[epoch].get("epoch_s")) or 0.0)
    return sorted(points, key=lambda point: (point.step, point.key))


def agree(logged: Logged, points: Iterable[Point], *, so_far: bool = False) -> bool:
    """Tell whether all that is logged is among `points`, once, with the same value: one training logged both.

    Timings are not compared.

    Args:
        logged: What the store holds.
        points: Of the training.
        so_far: The training goes on: epochs that it has not reached again may have been logged before it was
            interrupted, unless it starts from nothing.

    >>> agree({("train/loss", 1): {0.5}}, [Point("train/loss", 0.5, 1, 0), Point("train/loss", 0.4, 2, 0)])
    True
    >>> agree({("train/loss", 2): {0.5}}, [Point("train/loss", 0.5, 1, 0)])
    False
    >>> agree({("train/loss", 2): {0.5}}, [Point("train/loss", 0.5, 1, 0)], so_far=True)
    True
    """
    wanted = {(point.key, point.step): point.value for point in points}
    last = max((step for _, step in wanted), default=-1)
    return all(
        len(values) == 1 and (key in TIMINGS or values == {wanted.get((key, step))})
        for (key, step), values in logged.items()
        if not (so_far and wanted and step > last)
    )


def lacking(logged: Logged, points: Sequence[Point]) -> list[Point]:
    """Return those of `points` whose metric has no value at their step yet."""
    return [point for point in points if (point.key, point.step) not in logged]


def final_points(outcome: Mapping[str, Any], task: TaskSettings, timestamp_ms: int) -> list[Point]:
    """Return the test set's metrics, the thresholds and the best epoch.

    They stand at step 0: only then does MLflow draw them as bars side by side, and not as single points of curves.

    Raises:
        DataError: `metrics.json` lacks the test set or the best epoch.
    """
    test, best_epoch = outcome.get("test"), outcome.get("best_epoch")
    if not isinstance(test, Mapping) or not isinstance(best_epoch, int):
        raise DataError(f"metrics.json: found the keys {sorted(outcome)}, expected `test` and a whole `best_epoch`")
    flat = flatten_summary(test, "test", task.type, task.level)
    thresholds = outcome.get("thresholds")
    if isinstance(thresholds, Mapping):
        named = dict(thresholds)
    else:
        # A multi-class task picks the likeliest class and has none.
        named = dict(zip(task.targets, thresholds or [], strict=False))
    for target, value in named.items():
        number = finite(value)
        if number is not None:
            flat[metric_name(f"val/threshold/{target}")] = number
    flat["train/best_epoch"] = float(best_epoch)
    return [Point(key, value, 0, timestamp_ms) for key, value in flat.items()]


def flatten_summary(summary: Mapping[str, Any], subset: str, task_type: str, level: str) -> dict[str, float]:
    """Return a summary as `<subset>/<level>/<target>/<metric>` -> number; undefined numbers are left out.

    A metric with an interval gives three numbers: `auroc`, `auroc_low`, `auroc_high`. Counts and the confusion matrix
    are given where the task is judged, at `level`. What stands at that level for all targets together (for a binary
    task: its one target) comes once more, without interval, as `<subset>/<metric>`: the short name that runs are
    compared by.

    Args:
        summary: level -> target or group -> metric -> `{"value", "low", "high"}`, number, or mapping of numbers.
        subset: `test` or `val`.
        task_type: `binary`, `multi_label` or `multi_class`.
        level: The task's level.

    >>> pneumonia = {"auroc": {"value": 0.9, "low": 0.8, "high": None}, "confusion": {"tp": 3}}
    >>> flatten_summary({"patient": {"pneumonia": pneumonia}}, "test", "binary", "patient") == {
    ...     "test/auroc": 0.9,
    ...     "test/patient/pneumonia/auroc": 0.9,
    ...     "test/patient/pneumonia/auroc_low": 0.8,
    ...     "test/patient/pneumonia/confusion/tp": 3.0,
    ... }
    True
    """
    flat: dict[str, float] = {}
    for name, groups in summary.items():
        if not isinstance(groups, Mapping):
            continue
        for group, metrics in groups.items():
            # The mean over the one target of a binary task says nothing new.
            if not isinstance(metrics, Mapping) or (task_type == "binary" and group == "macro"):
                continue
            speaks_for_all = task_type == "binary" or group in HEADLINE_GROUPS
            for parts, number in _numbers(metrics):
                if name != level and len(parts) > 1:
                    continue
                flat["/".join([subset, *(safe_name(part) for part in (name, group, *parts))])] = number
                if name == level and speaks_for_all and len(parts) == 1 and not parts[0].endswith(("_low", "_high")):
                    flat.setdefault(f"{subset}/{safe_name(parts[0])}", number)
    return dict(sorted(flat.items()))


def _numbers(value: Mapping[str, Any], parents: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], float]]:
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            if "value" in inner:
                for bound, ending in (("value", ""), ("low", "_low"), ("high", "_high")):
                    number = finite(inner.get(bound))
                    if number is not None:
                        yield (*parents, f"{key}{ending}"), number
            else:
                yield from _numbers(inner, (*parents, str(key)))
        else:
            number = finite(inner)
            if number is not None:
                yield (*parents, str(key)), number


def finite(value: Any) -> float | None:
    """Return a number that a chart can show, or None: for null, text, lists, truth values, NaN and infinities."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def metric_name(name: str) -> str:
    """Return a metric's name in MLflow's characters (`@` and the like become `_`); a bare name belongs to training.

    >>> metric_name("val/recall@0.9"), metric_name("lr")
    ('val/recall_0.9', 'train/lr')
    """
    parts = [safe_name(part) for part in name.split("/") if part]
    # Charts are grouped by what stands before the slash.
    return "/".join(parts if len(parts) > 1 else ["train", *parts])
