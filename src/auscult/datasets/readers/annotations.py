"""Recordings with an annotation file beside each, and cycle files: start s, end s, crackle 0|1, wheeze 0|1."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from auscult.datasets.folder import is_audio, is_document, split_name
from auscult.datasets.readers.reading import (
    Fault,
    Item,
    MalformedError,
    parse_lines,
    parse_number,
    read_file,
    split_fields,
)
from auscult.storage.tables import Event, Notice, Recording, Rejection


def check_interval(start_s: float, end_s: float) -> None:
    """Check that an interval can lie in a recording.

    Raises:
        MalformedError: It starts before 0, or does not end after its start.
    """
    if start_s < 0:
        raise MalformedError(f"negative time: the event starts at {start_s:g} s")
    if end_s < start_s:
        raise MalformedError(f"reversed: the event ends at {end_s:g} s, before its start at {start_s:g} s")
    if end_s == start_s:
        raise MalformedError(f"zero length: the event starts and ends at {start_s:g} s")


@dataclass(frozen=True)
class Placed:
    """A recording, and what its annotation file gave."""

    recording: Recording
    annotations: Iterable[Item]


def read_pairs(
    files: Iterable[str], annotation_ending: str, noun: str, place: Callable[[str, str | None], Placed]
) -> Iterator[Item]:
    """Yield the recordings among `files` with what their annotation files hold; each file is placed or rejected.

    Args:
        files: Relative paths.
        annotation_ending: What follows the recording's stem in its annotation file's name (`.txt`, `_label.txt`).
        noun: What such a file is called in messages.
        place: Makes the recording of an audio file and its annotation file (None where there is none), or raises
            MalformedError with the reason why it cannot.
    """
    sounds: list[str] = []
    annotations: dict[str, str] = {}
    for file in files:
        name = file.rsplit("/", 1)[-1]
        if is_document(file):
            continue
        if is_audio(file):
            sounds.append(file)
        elif not name.lower().endswith(annotation_ending):
            yield Rejection(file, None, f"not part of the layout: expected a recording and {annotation_ending}")
        elif (stem := name[: -len(annotation_ending)]) in annotations:
            yield Rejection(file, None, f"duplicate {noun}: {annotations[stem]} has the same name and was read")
        else:
            annotations[stem] = file
    seen: dict[str, str] = {}
    for file in sounds:
        stem, _ = split_name(file)
        try:
            placed = place(file, annotations.get(stem))
            recording_id = placed.recording.recording_id
            if recording_id in seen:
                raise MalformedError(f"duplicate id: {recording_id} is {seen[recording_id]} already")
        except MalformedError as error:
            yield Rejection(file, None, str(error))
            continue
        seen[recording_id] = file
        yield placed.recording
        yield from placed.annotations
        if stem not in annotations:
            reason = f"missing {noun}: no {stem}{annotation_ending}; the recording stays, what it holds is unknown"
            yield Rejection(file, None, reason)
    stems = {split_name(file)[0] for file in sounds}
    for stem, file in annotations.items():
        if stem not in stems:
            yield Rejection(file, None, f"missing wav: no recording {stem} for this {noun}")


OVERLAP_TOLERANCE_S = 0.05
"""Neighbouring cycles may overlap by so much: times are rounded, and clicked by hand."""


@dataclass(frozen=True)
class Cycle:
    """One line of a cycle file."""

    line: int
    start_s: float
    end_s: float
    has_crackle: bool
    has_wheeze: bool


def parse_cycles(data: bytes) -> tuple[list[Cycle], list[Fault]]:
    r"""Read a cycle file; every line that is not blank becomes a cycle or a fault.

    >>> cycles, faults = parse_cycles(b"0.5\t2.0\t0\t1\n2.0\t1.0\t0\t0\n")
    >>> [(cycle.start_s, cycle.end_s, cycle.has_wheeze) for cycle in cycles]
    [(0.5, 2.0, True)]
    >>> faults[0].reason
    'reversed: the cycle ends at 1.0 s, before its start at 2.0 s'
    """
    cycles, faults = parse_lines(data, _parse_line)
    return _without_overlaps(cycles, faults)


def _parse_line(number: int, text: str) -> Cycle:
    fields = split_fields(text)
    if len(fields) != 4:
        raise MalformedError(f"columns: found {len(fields)}, expected 4 (start, end, crackle, wheeze)")
    start_s = parse_number(fields[0], "start")
    end_s = parse_number(fields[1], "end")
    if start_s < 0:
        raise MalformedError(f"negative time: the cycle starts at {fields[0]} s")
    if end_s < start_s:
        raise MalformedError(f"reversed: the cycle ends at {fields[1]} s, before its start at {fields[0]} s")
    if end_s == start_s:
        raise MalformedError(f"zero length: the cycle starts and ends at {fields[0]} s")
    for name, flag in zip(("crackle", "wheeze"), fields[2:], strict=True):
        if flag not in ("0", "1"):
            raise MalformedError(f"flag: {name} is {flag!r}, expected 0 or 1")
    return Cycle(number, start_s, end_s, fields[2] == "1", fields[3] == "1")


def _without_overlaps(cycles: list[Cycle], faults: list[Fault]) -> tuple[list[Cycle], list[Fault]]:
    """Keep the cycles in the order of their starts; one that reaches back into a kept one by too much is a fault."""
    kept: list[Cycle] = []
    for cycle in sorted(cycles, key=lambda cycle: (cycle.start_s, cycle.line)):
        if kept and kept[-1].end_s - cycle.start_s > OVERLAP_TOLERANCE_S:
            before = kept[-1]
            reason = (
                f"overlap: starts at {cycle.start_s:g} s, the cycle of line {before.line} ends at {before.end_s:g} s"
            )
            faults.append(Fault(cycle.line, reason))
        else:
            kept.append(cycle)
    return kept, sorted(faults, key=lambda fault: fault.line or 0)


def read_cycle_folder(
    root: Path, files: Iterable[str], describe: Callable[[str], Recording], source: str
) -> Iterator[Item]:
    """Yield the recordings of `files` with the events of the cycle files of the same stem.

    Args:
        root: The dataset's folder.
        files: Relative to `root`.
        describe: Makes the recording of an audio file, or raises MalformedError with the reason why it cannot.
        source: Who marked the cycles, for the events table.
    """

    def place(file: str, cycle_file: str | None) -> Placed:
        recording = describe(file)
        if cycle_file is None:
            return Placed(recording, ())
        return Placed(recording, _read_cycle_file(root, cycle_file, recording.recording_id, source))

    yield from read_pairs(files, ".txt", "cycle file", place)


def _read_cycle_file(root: Path, file: str, recording_id: str, source: str) -> Iterator[Item]:
    try:
        cycles, faults = parse_cycles(read_file(root / file))
    except MalformedError as error:
        yield Rejection(file, None, str(error))
        return
    for fault in faults:
        yield Rejection(file, fault.line, fault.reason)
    if not cycles and not faults:
        yield Notice("empty_cycle_file", file, "the cycle file holds no line; what the recording holds is unknown")
    for cycle in cycles:
        kinds = ["cycle", *(["crackle"] if cycle.has_crackle else []), *(["wheeze"] if cycle.has_wheeze else [])]
        for kind in kinds:
            yield Event(recording_id, cycle.start_s, cycle.end_s, kind, source, file, cycle.line)
