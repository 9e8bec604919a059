"""Annotation files of rows: which delimiter and header they have, and the cells of each row."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from auscult.config.annotations import AnnotationSettings, Column
from auscult.datasets.readers.annotation_marks import Mark, MarkReader, Marks
from auscult.datasets.readers.delimited import is_text
from auscult.datasets.readers.reading import Fault, MalformedError
from auscult.errors import nearest

_DELIMITERS = {"tab": "\t", "semicolon": ";", "pipe": "|", "comma": ",", "blanks": " "}
"""By name, the likeliest first: a comma may be a decimal mark, a blank may stand within a label."""
_START_WORD = re.compile(r"(?i)[^a-z]*(?:start|begin|onset|from|tmin|xmin|t0\b).*")
_END_WORD = re.compile(r"(?i)[^a-z]*(?:end|stop|finish|offset|to\b|until|tmax|xmax|t1\b|dur|length).*")
_DIGITS = re.compile(r"[0-9]+")
_BLANKS = re.compile(r"[ \t]+")
_SAMPLE_LINES = 200
_SHOWN_FAULTS = 20
Line = tuple[int, str]
"""A line's number from 1, and its text."""


@dataclass(frozen=True)
class _Layout:
    """How the rows are written: the delimiter, the place of each column from 0, and the header's number of cells."""

    delimiter: str
    places: dict[Column, int]
    n_columns: int | None
    label: Column | None

    @property
    def last(self) -> int:
        return max(self.places.values())

    @property
    def label_is_last(self) -> bool:
        return self.label is not None and self.places[self.label] == (self.n_columns or self.last + 1) - 1


def read_table(lines: Sequence[Line], settings: AnnotationSettings, reader: MarkReader) -> Marks:
    """Return the marks of a table.

    Args:
        lines: Those that are not blank.
        settings: Of the columns, delimiter, decimal mark and header.
        reader: Of the cells.

    Raises:
        MalformedError: A column is missing, the rows can be read in two ways, or hardly one of them can be read.
    """
    layout = _find_layout(lines, settings, reader)
    rows = lines if layout.n_columns is None else lines[1:]
    split: list[tuple[int, list[str]]] = []
    faults: list[Fault] = []
    for number, text in rows:
        try:
            split.append((number, _split_row(text, layout)))
        except MalformedError as error:
            faults.append(Fault(number, str(error)))
    _refuse_two_readings(split, layout, settings)
    counts = Counter(len(cells) for _, cells in split if len(cells) > layout.last)
    n_cells = layout.n_columns or (counts.most_common(1)[0][0] if counts else layout.last + 1)
    marks: list[Mark] = []
    for number, cells in split:
        try:
            if len(cells) != n_cells:
                raise MalformedError(f"columns: found {len(cells)} cells, expected {n_cells}")
            marks.append(reader.read({column: cells[place] for column, place in layout.places.items()}, number))
        except MalformedError as error:
            faults.append(Fault(number, str(error)))
    faults.sort(key=lambda fault: fault.line or 0)
    if not marks and len(faults) > _SHOWN_FAULTS:
        first = faults[0]
        raise MalformedError(f"not a table: none of {len(faults)} rows is read; line {first.line}: {first.reason}")
    return Marks(marks, faults, {})


def _find_layout(lines: Sequence[Line], settings: AnnotationSettings, reader: MarkReader) -> _Layout:
    """Return the layout by which most rows have two times; the likeliest delimiter where several do."""
    names = [settings.delimiter] if settings.delimiter != "auto" else list(_DELIMITERS)
    if settings.delimiter == "auto" and settings.decimal == "comma":
        names.remove("comma")
    layouts: list[_Layout] = []
    reasons: list[str] = []
    for name in names:
        if name != names[-1] and not any(_DELIMITERS[name] in text for _, text in lines[:_SAMPLE_LINES]):
            continue
        try:
            layouts.append(_lay_out(lines[0][1], _DELIMITERS[name], settings))
        except MalformedError as error:
            reasons.append(str(error))
    if not layouts:
        raise MalformedError(reasons[0])
    # Where tabs separate the cells, blanks (which a tab is too) do so as well: they must read far more rows.
    return max(
        layouts,
        key=lambda layout: (
            _count_times(lines[:_SAMPLE_LINES], layout, settings, reader) / (2 if layout.delimiter == " " else 1)
        ),
    )


def _lay_out(first: str, delimiter: str, settings: AnnotationSettings) -> _Layout:
    """Return the layout that a delimiter gives the first row.

    Raises:
        MalformedError: A column that the settings name is not there.
    """
    columns = settings.columns
    label = None if settings.flags else settings.kind
    cells = _split_cells(first, delimiter)
    folded = [cell.casefold() for cell in cells]
    placed: dict[Column, int] = {column: column - 1 for column in columns if isinstance(column, int)}
    named = [column for column in columns if isinstance(column, str)]
    has_header = settings.header
    if has_header == "auto":
        times = [placed.get(column) for column in columns[:2]]
        words = [cells[place] if place is not None and place < len(cells) else None for place in times]
        patterns = zip((_START_WORD, _END_WORD), words, strict=True)
        has_header = bool(named) or all(word is not None and pattern.fullmatch(word) for pattern, word in patterns)
    if named and not has_header:
        raise MalformedError(f"header: the settings say that there is none, and name the column {named[0]!r}")
    for name in named:
        wanted = name.strip().casefold()
        if folded.count(wanted) != 1:
            close = nearest(wanted, folded)
            hint = f"; did you mean {cells[folded.index(close)]!r}?" if close else ""
            times = "no column" if wanted not in folded else "two columns"
            raise MalformedError(f"header: {times} {name!r}, found {', '.join(map(repr, cells[:12]))}{hint}")
        placed[name] = folded.index(wanted)
    if has_header and max(placed.values()) >= len(cells):
        raise MalformedError(f"header: found {len(cells)} columns, expected at least {max(placed.values()) + 1}")
    return _Layout(delimiter, placed, len(cells) if has_header else None, label)


def _count_times(lines: Sequence[Line], layout: _Layout, settings: AnnotationSettings, reader: MarkReader) -> int:
    ((name, end),) = settings.ends.items()
    count = 0
    for _, text in lines:
        try:
            cells = _split_row(text, layout)
            reader.time_s(cells[layout.places[settings.start]], "start")
            reader.time_s(cells[layout.places[end]], name)
        except (MalformedError, IndexError):
            continue  # counted only: the row's fault is named when it is read
        count += 1
    return count


def _split_row(text: str, layout: _Layout) -> list[str]:
    """Return the cells of a row; with blanks between them, a last label may hold blanks, and an empty one be absent."""
    if not is_text(text):
        raise MalformedError("not UTF-8: the line holds bytes that are no UTF-8 text; say the `encoding`")
    if "\0" in text:
        raise MalformedError("not text: the line holds a null character")
    n_columns = layout.n_columns or layout.last + 1
    cells = _split_cells(text, layout.delimiter, n_columns - 1 if layout.label_is_last else 0)
    if layout.delimiter in "\t " and layout.label_is_last and len(cells) == n_columns - 1:
        cells.append("")
    return cells


def _split_cells(text: str, delimiter: str, max_splits: int = 0) -> list[str]:
    if delimiter == " ":
        return _BLANKS.split(text.strip(" \t"), max_splits)
    try:
        cells = next(csv.reader([text], delimiter=delimiter, strict=True, skipinitialspace=True), [""])
    except csv.Error as error:
        raise MalformedError(f"not a row: {error}") from None
    return [cell.strip() for cell in cells]


def _refuse_two_readings(rows: Sequence[tuple[int, list[str]]], layout: _Layout, settings: AnnotationSettings) -> None:
    """Refuse whole numbers between commas with cells to spare: `1,5,2,5,Wheeze` is 1 to 5 s, or 1.5 to 2.5 s."""
    if layout.delimiter != "," or layout.n_columns or settings.delimiter != "auto" or settings.decimal != "auto":
        return
    if any("." in cells[place] for _, cells in rows for place in (0, 1) if place < len(cells)):
        return
    for number, cells in rows:
        if len(cells) > layout.last + 1 and all(_DIGITS.fullmatch(cell) for cell in cells[:3]):
            text = ",".join(cells)
            raise MalformedError(
                f"ambiguous: the commas of line {number}, {text!r}, separate cells or are decimal marks; "
                "say `delimiter: comma`, or save the file with another delimiter"
            )
