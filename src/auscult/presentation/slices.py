"""Slices of the test part as one table, for `report.txt` and `report.html`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auscult.config import TaskSettings
from auscult.presentation.numbers import METRIC_NAMES, Number


@dataclass(frozen=True)
class SliceRow:
    """One slice.

    Attributes:
        by: What was sliced by.
        value: Which slice.
        patients: How many.
        counts: Positive / negative of each target at the task's level; of a multi-class task what is known.
        numbers: One a column of the table.
    """

    by: str
    value: str
    patients: str
    counts: list[str]
    numbers: list[Number]


@dataclass(frozen=True)
class SliceTable:
    """Slices for print.

    Attributes:
        counts: Headings.
        metrics: Headings.
        rows: The slices that were judged.
        too_small: The others, in words; empty where there are none.
    """

    counts: list[str]
    metrics: list[str]
    rows: list[SliceRow]
    too_small: str


def slice_table(slices: Sequence[Mapping[str, Any]], task: TaskSettings) -> SliceTable:
    """Return the table of `metrics.json`'s `slices`.

    Args:
        slices: From `evaluation.slices.slice_metrics`.
        task: What was predicted.
    """
    names = list(dict.fromkeys(name for entry in slices if entry["metrics"] is not None for name in entry["metrics"]))
    multi_class = task.type == "multi_class"
    counts = [f"{task.level}s"] if multi_class else [f"{target} +/−" for target in task.targets]
    rows: list[SliceRow] = []
    too_small: dict[str, list[str]] = {}
    for entry in slices:
        n, metrics = entry["n"], entry["metrics"]
        if metrics is None:
            too_small.setdefault(entry["by"], []).append(entry["value"])
            continue
        cells = [f"{n['known']:,}"] if multi_class else [_balance(n[target]) for target in task.targets]
        numbers = [_number(name, metrics[name]) for name in names]
        rows.append(SliceRow(entry["by"], entry["value"], f"{n['patients']:,}", cells, numbers))
    words = "; ".join(f"{by} {', '.join(values)}" for by, values in too_small.items())
    return SliceTable(counts, [_heading(name, task) for name in names], rows, words)


def _balance(counts: Mapping[str, int]) -> str:
    return f"{counts['positive']:,} / {counts['negative']:,}"


def _number(name: str, found: Mapping[str, float | None]) -> Number:
    reason = "" if found["value"] is not None else "one class only"
    return Number(found["value"], found["low"], found["high"], reason, is_percent=name == "icbhi_score")


def _heading(name: str, task: TaskSettings) -> str:
    for target in task.targets:
        if len(task.targets) > 1 and name.startswith(f"{target}_"):
            return f"{METRIC_NAMES[name.removeprefix(f'{target}_')]}, {target}"
    return "ICBHI score" if name == "icbhi_score" else METRIC_NAMES[name]
