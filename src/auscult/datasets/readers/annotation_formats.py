"""The formats of annotation files, told by their content: TextGrid, JSON, Audacity's label tracks, and tables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from auscult.config.annotations import AnnotationSettings, Column
from auscult.config.task import fold_label
from auscult.datasets.readers.annotation_marks import Cell, Mark, MarkReader, Marks, read_band
from auscult.datasets.readers.annotation_tables import Line, read_table
from auscult.datasets.readers.delimited import SAMPLE_BYTES, find_encoding, is_text
from auscult.datasets.readers.reading import Fault, MalformedError, parse_number, parse_object
from auscult.datasets.readers.textgrid import BINARY_START, is_textgrid, parse_textgrid
from auscult.errors import nearest

_LINE_END = re.compile(r"\r\n|\r|\n")
_FREQUENCIES = re.compile(r"\\(?:\t.*)?")


def read_marks(data: bytes, settings: AnnotationSettings, sample_rate_hz: int | None) -> Marks | None:
    """Return the marks of an annotation file; None where it holds no line.

    Args:
        data: The file's bytes.
        settings: Of the annotations.
        sample_rate_hz: Of the recording, for `unit: samples`.

    Raises:
        MalformedError: The file as a whole cannot be read.
    """
    if data.startswith(BINARY_START):
        raise MalformedError("TextGrid: this is Praat's binary form; save it as a text file or short text file")
    text, notes = _decode(data, settings.encoding)
    lines = [(number, line) for number, line in enumerate(_LINE_END.split(text), 1) if line.strip()]
    if not lines:
        return None
    name = _tell_format(text, lines) if settings.format == "auto" else settings.format
    if name in ("audacity", "textgrid") and settings.unit != "s":
        raise MalformedError(f"unit: {name} files count in seconds, the settings say {settings.unit}")
    if name in ("json", "textgrid") and not is_text(text):
        raise MalformedError("not UTF-8: the file holds bytes that are no UTF-8 text; say the `encoding`")
    if name == "textgrid":
        found = _read_textgrid(text, settings)
    elif name == "json":
        found = _read_json(text, settings, MarkReader(settings, sample_rate_hz))
    elif name == "audacity":
        found = _read_audacity(lines, settings)
    else:
        found = read_table(lines, settings, MarkReader(settings, sample_rate_hz))
    return Marks(found.marks, found.faults, notes | found.notes)


def _decode(data: bytes, encoding: str | None) -> tuple[str, dict[str, str]]:
    """Return a file's text and notes; in UTF-8, a byte that does not fit comes as a lone surrogate."""
    is_guessed = False
    if encoding is None:
        chunks = (data[start : start + SAMPLE_BYTES] for start in range(0, len(data), SAMPLE_BYTES))
        encoding, is_guessed = find_encoding(chunks)
    try:
        text = data.decode(encoding, "surrogateescape" if encoding == "utf-8-sig" else "strict")
    except UnicodeError as error:
        raise MalformedError(f"encoding: the file is no {encoding} text ({error}); say its `encoding`") from None
    notes = {"encoding_guessed": f"not UTF-8, read as {encoding}; say the `encoding`"} if is_guessed else {}
    return text.removeprefix("\ufeff"), notes


def _tell_format(text: str, lines: Sequence[Line]) -> str:
    if is_textgrid(text):
        return "textgrid"
    if lines[0][1].lstrip().startswith(("{", "[")):
        return "json"
    return "audacity" if any(_FREQUENCIES.fullmatch(line) for _, line in lines) else "table"


def _read_audacity(lines: Sequence[Line], settings: AnnotationSettings) -> Marks:
    """Read a label track: start, end and label between tabs.

    A line that opens with a backslash holds the frequencies of the label before it, -1 where it has none.
    """
    reader = MarkReader(AnnotationSettings(files=settings.files, decimal=settings.decimal), None)
    marks: list[Mark] = []
    faults: list[Fault] = []
    last = 0
    for number, line in lines:
        cells = line.split("\t", 2)
        try:
            if _FREQUENCIES.fullmatch(line):
                if marks and marks[-1].line == last:
                    marks[-1] = _within_band(marks[-1], cells[1:])
                continue
            last = number
            if not is_text(line):
                raise MalformedError("not UTF-8: the line holds bytes that are no UTF-8 text; say the `encoding`")
            if len(cells) < 2:
                raise MalformedError("columns: found no tab, expected start, end and label between tabs")
            start, end, label = (*cells, "")[:3]
            marks.append(reader.read({1: start.strip(), 2: end.strip(), 3: label}, number))
        except MalformedError as error:
            faults.append(Fault(number, str(error)))
    return Marks(marks, faults, {})


def _within_band(mark: Mark, cells: Sequence[str]) -> Mark:
    """Return a mark with the two frequencies of a label track."""
    if len(cells) < 2:
        return mark
    low_hz, high_hz = read_band(*(parse_number(cell.strip().replace(",", "."), "frequency") for cell in cells))
    return replace(mark, low_hz=low_hz, high_hz=high_hz)


def _read_textgrid(text: str, settings: AnnotationSettings) -> Marks:
    grid = parse_textgrid(text)
    wanted = {fold_label(tier) for tier in settings.tiers or grid.tiers}
    missing = wanted - {fold_label(tier) for tier in grid.tiers}
    if missing:
        known = ", ".join(map(repr, grid.tiers)) or "none"
        raise MalformedError(f"tiers: the file has no {', '.join(map(repr, sorted(missing)))}; it has {known}")
    marks = [
        Mark(interval.start_s, interval.end_s, (interval.text,), (), interval.line)
        for interval in grid.intervals
        if fold_label(interval.tier) in wanted
    ]
    left_out = [tier for tier in grid.tiers if fold_label(tier) not in wanted]
    notes = {"tier_not_read": f"`tiers` leaves out {', '.join(map(repr, left_out))}"} if left_out else {}
    return Marks(marks, [], notes)


def _read_json(text: str, settings: AnnotationSettings, reader: MarkReader) -> Marks:
    columns = settings.columns
    marks: list[Mark] = []
    faults: list[Fault] = []
    for number, event in enumerate(_find_events(text, settings.events), 1):
        where = f"event {number}: "
        try:
            marks.append(reader.read(dict(_pick(event, columns)), None, where))
        except MalformedError as error:
            faults.append(Fault(None, _after_class(str(error), where)))
    return Marks(marks, faults, {})


def _after_class(reason: str, where: str) -> str:
    """Return a reason that says where, and still opens with its class."""
    kind, colon, rest = reason.partition(": ")
    return f"{kind}{colon}{where}{rest}"


def _find_events(text: str, path: str | None) -> list[object]:
    is_object = text.lstrip().startswith("{")
    document = parse_object(text.encode() if is_object else f'{{"events":{text}}}'.encode())
    value: object = document
    if not is_object:
        if len(document) != 1:
            raise MalformedError("not JSON: found text after the document's end")
        value = document["events"]
    for key in [] if path is None else path.split("."):
        if not isinstance(value, dict) or key not in value:
            raise MalformedError(f"events: {path!r} leads nowhere at {key!r}{_say_keys(value, key)}")
        value = value[key]
    if not isinstance(value, list):
        where = "the document" if path is None else repr(path)
        raise MalformedError(f"events: {where} is no list; say with `events` where it lies{_say_keys(value, '')}")
    return value


def _pick(event: object, columns: Sequence[Column]) -> Iterator[tuple[Column, Cell]]:
    """Yield each column with what an object or a list holds for it."""
    for column in columns:
        if isinstance(event, dict) and isinstance(column, str):
            if column not in event:
                raise MalformedError(f"columns: no key {column!r}{_say_keys(event, column)}")
            yield column, event[column]
        elif isinstance(event, list) and isinstance(column, int):
            if column > len(event):
                raise MalformedError(f"columns: found {len(event)} values, expected at least {column}")
            yield column, event[column - 1]
        else:
            expected = "a list, for a column by number" if isinstance(column, int) else "an object, for a key"
            found = json.dumps(event)[:80]
            raise MalformedError(f"columns: found {found}, expected {expected}, {column!r}{_say_keys(event, '')}")


def _say_keys(value: object, wanted: str) -> str:
    if not isinstance(value, dict):
        return ""
    keys = [str(key) for key in value]
    close = nearest(wanted, keys)
    return f"; did you mean {close!r}?" if close else f"; its keys: {', '.join(map(repr, keys[:12]))}"
