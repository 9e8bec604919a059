"""The report's account of the recordings: what the data lack, and the flow from found to the subsets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auscult.formatting.numbers import plural
from auscult.plots.flow import draw_flow
from auscult.plots.inline import PageFigure, page_figure

STEPS = {
    "found": "found",
    "lost": "lost",
    "read": "read",
    "left_out": "left out",
    "used": "used",
    "train": "training",
    "val": "validation",
    "calibration": "calibration",
    "test": "test",
}


@dataclass(frozen=True)
class FlowView:
    """The flow of one split.

    Attributes:
        figure: The diagram, all datasets together.
        rows: Dataset -> (step, reason, recordings, patients, recordings of unknown patients), as texts.
    """

    figure: PageFigure
    rows: dict[str, list[tuple[str, str, str, str, str]]]


def lacks(audits: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the warnings of all splits, each once: what the data lack, without names of patients or files."""
    return list(dict.fromkeys(str(text) for audit in audits for text in audit["warnings"]))


def flow_view(audit: Mapping[str, Any], prefix: str) -> FlowView:
    """Return the flow of a split.

    Args:
        audit: Of the split; `flow` holds the rows of `<split>.flow.csv`.
        prefix: Of the figure's ids, unique on the page.
    """
    flow: list[dict[str, Any]] = audit["flow"]
    rows: dict[str, list[tuple[str, str, str, str, str]]] = {}
    for row in flow:
        numbers = (f"{row[name]:,}" for name in ("recordings", "patients", "patients_unknown"))
        recordings, patients, unknown = numbers
        entry = (STEPS[row["step"]], str(row["reason"]), recordings, patients, unknown)
        rows.setdefault(str(row["dataset"]), []).append(entry)
    n = {step: sum(int(row["recordings"]) for row in flow if row["step"] == step) for step in STEPS}
    caption = (
        f"{plural(n['found'], 'recording')} found, {n['lost']:,} lost, {n['left_out']:,} left out, {n['used']:,} used. "
        "Patients are those whom the data name."
    )
    return FlowView(page_figure(draw_flow(flow), prefix, "The way of the recordings", caption), rows)
