"""The report's table of what a model finds by maps; here of events in time, of a task of type `events`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from auscult.config import TaskSettings
from auscult.formatting.numbers import Number, number_of
from auscult.metrics.events import MACRO, MICRO
from auscult.reports.jobs import JobResult

COLUMNS = (
    ("F1", "by_event", "f1"),
    ("precision", "by_event", "precision"),
    ("recall", "by_event", "recall"),
    ("error rate", "by_event", "error_rate"),
    ("F1 of segments", "by_segment", "f1"),
    ("IoU of frames", "objects", "iou"),
)
_NAMES = {MICRO: "all kinds together", MACRO: "mean over kinds"}


@dataclass(frozen=True)
class MapRow:
    """One kind of event or object, or all of them, in one part of the test set.

    Attributes:
        part: Of the test set; empty for the whole.
        kind: Its name.
        counts: True ones, those found, patients with a true one; empty for all kinds.
        numbers: In the order of the table's columns.
    """

    part: str
    kind: str
    counts: tuple[str, str, str]
    numbers: list[Number]


@dataclass(frozen=True)
class MapTable:
    """The events or objects of one job.

    Attributes:
        title: What they are.
        columns: Names of the numbers.
        rows: The whole test set, then its parts.
        above: What is counted, in words.
        below: How they are read from maps, and where each of them stands.
    """

    title: str
    columns: list[str]
    rows: list[MapRow]
    above: str
    below: str


def event_table(job: JobResult, task: TaskSettings) -> MapTable | None:
    """Return the events of a job; None of a task that finds none."""
    if not task.finds_events:
        return None
    found: dict[str, Any] = job.metrics["events"]
    parts = {name.removeprefix("test").removeprefix(":"): section for name, section in found.items() if name != "val"}
    rows = [
        _row(part, section, view, task)
        for part, section in parts.items()
        for view in (*task.targets, *((MICRO, MACRO) if len(task.targets) > 1 else ()))
    ]
    psds = [(part, number_of(section["psds"], section["psds"]["reason"])) for part, section in parts.items()]
    return MapTable(
        title="Events in time",
        columns=[name for name, _, _ in COLUMNS],
        rows=rows,
        above=f"Test set. A true event and one found are a hit with {_rule(task)}. Unknown stretches count for "
        "nothing. Segments of a grid and frames are judged one by one.",
        below=f"PSDS (hits at all thresholds, Bilen et al. 2020): {'; '.join(_psds_text(*one) for one in psds)}. How "
        f"events are read, chosen on validation: {'; '.join(_decoding(job, task))}. Each event stands in events.csv, "
        "beside this page.",
    )


def _psds_text(part: str, value: Number) -> str:
    text = f"undefined, {value.reason}" if value.value is None else value.text
    return f"{part} {text}" if part else text


def _row(part: str, section: dict[str, Any], view: str, task: TaskSettings) -> MapRow:
    n = section["n"].get(view)
    counts = ("", "", "") if n is None else (f"{n['true']:,}", f"{n['found']:,}", f"{n['patients']:,}")
    estimates = [section[by][view][name] for _, by, name in COLUMNS]
    name = view if view in task.targets else _NAMES[view]
    return MapRow(part, name, counts, [number_of(one, one["reason"]) for one in estimates])


def _rule(task: TaskSettings) -> str:
    collars = task.event_settings.collars
    if collars.offset_s is None:
        return f"onsets at most {collars.onset_s:g} s apart; offsets do not count"
    share = (
        f" or {collars.offset_share:.0%} of the true event's length, whichever is more" if collars.offset_share else ""
    )
    return f"onsets at most {collars.onset_s:g} s apart, offsets {collars.offset_s:g} s{share}"


def _decoding(job: JobResult, task: TaskSettings) -> list[str]:
    texts: list[str] = []
    for kind in task.targets:
        one = job.model["event_decoding"][kind]
        parts = [f"probability {one['threshold']:.2g}"]
        parts += [f"median over {one['median_s']:g} s"] if one["median_s"] else []
        parts += [f"gaps up to {one['merge_s']:g} s closed"] if one["merge_s"] else []
        parts += [f"at least {one['least_s']:g} s long"] if one["least_s"] else []
        parts += [f"cut at boundaries of probability {one['boundary']:g}"] if one["boundary"] else []
        texts.append(f"{kind}: {', '.join(parts)}")
    return texts
