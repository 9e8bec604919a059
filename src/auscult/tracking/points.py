"""Points of metrics: an epoch's numbers as a tracking page takes them, each at one step and one time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auscult.errors import DataError
from auscult.tracking.flatten import finite, metric_name

Logged = dict[tuple[str, int], set[float]]
"""What a store holds: metric and step -> values; two values are a double point."""


@dataclass(frozen=True)
class Point:
    """One value of one metric."""

    key: str
    value: float
    step: int
    timestamp_ms: int


def read_epochs(path: Path) -> dict[int, Mapping[str, Any]]:
    """Read `metrics.jsonl`: epoch -> its line; a repeated epoch counts as last written.

    Raises:
        DataError: A line is no JSON object with a whole `epoch`.
    """
    epochs: dict[int, Mapping[str, Any]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            epoch = record["epoch"]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
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


def agree(logged: Logged, points: Iterable[Point]) -> bool:
    """Tell whether all that is logged is among `points`, once, with the same value: a run that may be gone on with.

    >>> agree({("train/loss", 1): {0.5}}, [Point("train/loss", 0.5, 1, 0), Point("train/loss", 0.4, 2, 0)])
    True
    >>> agree({("train/loss", 2): {0.5}}, [Point("train/loss", 0.5, 1, 0)])
    False
    """
    wanted = {(point.key, point.step): point.value for point in points}
    return all(place in wanted and values == {wanted[place]} for place, values in logged.items())


def lacking(logged: Logged, points: Sequence[Point]) -> list[Point]:
    """Return those of `points` whose metric has no value at their step yet."""
    return [point for point in points if (point.key, point.step) not in logged]
