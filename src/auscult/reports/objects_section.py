"""The report's table of objects found in pictures, of a task of type `objects`."""

from __future__ import annotations

from typing import Any

from auscult.config import TaskSettings
from auscult.formatting.numbers import number_of
from auscult.reports.events_section import MapRow, MapTable
from auscult.reports.jobs import JobResult

COLUMNS = (
    ("F1", "separated", "f1"),
    ("precision", "separated", "precision"),
    ("recall", "separated", "recall"),
    ("IoU of objects", "objects", "iou"),
    ("IoU of boundaries", "boundaries", "iou"),
)


def object_table(job: JobResult, task: TaskSettings) -> MapTable | None:
    """Return the objects of a job; None of a task that finds none."""
    if not task.finds_objects:
        return None
    found: dict[str, Any] = job.metrics["objects"]
    parts = {name.removeprefix("test").removeprefix(":"): section for name, section in found.items() if name != "val"}
    rows: list[MapRow] = []
    for part, section in parts.items():
        n = section["n"]
        estimates = [section[by][name] for _, by, name in COLUMNS]
        numbers = [number_of(one, one["reason"]) for one in estimates]
        counts = (f"{n['true']:,}", f"{n['found']:,}", f"{n['patients']:,}")
        rows.append(MapRow(part, task.targets[0], counts, numbers))
    return MapTable(
        title="Objects in pictures",
        columns=[name for name, _, _ in COLUMNS],
        rows=rows,
        above="Test set. A true object and one found are a hit where their intersection is at least "
        f"{task.object_settings.match_iou:g} of their union. IoU: intersection over union of pixels. What was too hard "
        "to annotate counts for nothing.",
        below=f"How objects are read, chosen on validation: {_decoding(job)}. Each picture stands in objects.csv, "
        "beside this page.",
    )


def _decoding(job: JobResult) -> str:
    one = job.model["object_decoding"]
    parts = [f"probability {one['threshold']:.2g}"]
    parts += [f"cut at boundaries of probability {one['boundary']:g}"] if one["boundary"] else []
    parts += [f"at least {one['least_px']} pixels"] if one["least_px"] > 1 else []
    return ", ".join(parts)
