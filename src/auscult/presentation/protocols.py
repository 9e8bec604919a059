"""The two protocols side by side, for `report.txt` and `report.html`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from auscult.config import TaskSettings
from auscult.presentation.blocks import headline
from auscult.presentation.numbers import Number

_OF_DECISIONS = {"icbhi_score", "balanced_accuracy"}
"""Epochs are compared before there are thresholds: decisions are then taken at 0.5."""
OPTIMISTIC = "best on test (optimistic)"


@dataclass(frozen=True)
class ProtocolTable:
    """Two protocols for print.

    Attributes:
        metric: By which the second chose its epoch.
        chosen_epoch: Of validation.
        best_epoch: Of the test part; None where the metric is undefined there.
        rows: Metric, validation-chosen, best on test, gap; the last two are undefined without a best epoch.
        gap_text: The gap in one sentence.
    """

    metric: str
    chosen_epoch: int
    best_epoch: int | None
    rows: list[tuple[str, Number, Number, Number]]
    gap_text: str


def protocol_table(metrics: Mapping[str, Any], task: TaskSettings) -> ProtocolTable | None:
    """Return the table of `metrics.json`'s `protocols`; None where they were not asked for.

    Args:
        metrics: The content of `metrics.json`.
        task: What was predicted.
    """
    found = metrics.get("protocols")
    if found is None:
        return None
    level = metrics["test"][task.level]
    chosen, best = found["validation_chosen"], found["best_on_test"]
    sections = [chosen["views"], None if best is None else best["views"], found["gap"]]
    columns = [None if section is None else _headline(section, level, task) for section in sections]
    absent = Number(None, reason=f"{found['metric']} is undefined on the test part in every epoch")
    rows = [
        (name, number, *(absent if column is None else column[name] for column in columns[1:]))
        for name, number in (columns[0] or {}).items()
    ]
    return ProtocolTable(
        metric=found["metric"],
        chosen_epoch=chosen["epoch"],
        best_epoch=None if best is None else best["epoch"],
        rows=[(name, one, two, gap) for name, one, two, gap in rows],
        gap_text=_gap_text(found),
    )


def _headline(section: Mapping[str, Any], level: Mapping[str, Any], task: TaskSettings) -> dict[str, Number]:
    merged = {view: {**of_view, **section.get(view, {})} for view, of_view in level.items()}
    return headline({task.level: merged}, task)


def _gap_text(found: Mapping[str, Any]) -> str:
    chosen, best = found["validation_chosen"]["epoch"], found["best_on_test"]
    if best is None:
        return "No epoch has this score on the test part."
    if best["epoch"] == chosen:
        return f"Here both are epoch {chosen}: nothing was to be gained."
    of_epoch = {entry["epoch"]: entry["test"] for entry in found["epochs"]}
    is_percent = found["metric"] == "icbhi_score"
    one, two = (Number(of_epoch[epoch], is_percent=is_percent) for epoch in (chosen, best["epoch"]))
    if one.value is None or two.value is None:
        return f"In epoch {chosen} the score is undefined on the test part."
    gap = Number(two.value - one.value, is_percent=is_percent)
    at = " at a threshold of 0.5" if found["metric"] in _OF_DECISIONS else ""
    return (
        f"By {found['metric']}{at}, epoch {best['epoch']} has {two.value_text} on the test part and epoch {chosen} "
        f"{one.value_text}: choosing on test would add {gap.value_text}."
    )
