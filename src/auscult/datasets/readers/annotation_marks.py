"""One mark of an annotation file before its labels are read, and how its times are written."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from auscult.config.annotations import AnnotationSettings, Column
from auscult.config.task import fold_label
from auscult.datasets.readers.cells import parse_decimal
from auscult.datasets.readers.reading import Fault, MalformedError, parse_number

_CLOCK = re.compile(r"(?:(?P<hours>[0-9]+):)?(?P<minutes>[0-9]{1,2}):(?P<seconds>[0-9]{1,2}(?:[.,][0-9]+)?)")
Cell = str | int | float | list[object] | None
"""What one cell holds: text in tables, any of these in JSON."""


@dataclass(frozen=True)
class Mark:
    """What a row, an object or an interval says; a start that is also the end makes it a point.

    Attributes:
        start_s: From the recording's start.
        end_s: From the recording's start.
        labels: As written; None where the rows have none.
        flagged: The kinds whose column of 0 and 1 holds a 1.
        line: From 1; None in JSON.
        where: Opens its messages where there is no line, such as `event 3: `.
        low_hz: Lowest frequency, None where it is not said.
        high_hz: Highest frequency, None where it is not said.
    """

    start_s: float
    end_s: float
    labels: tuple[str, ...] | None
    flagged: tuple[str, ...] = ()
    line: int | None = None
    where: str = ""
    low_hz: float | None = None
    high_hz: float | None = None


@dataclass(frozen=True)
class Marks:
    """The marks of a file, the lines that are none, and notes: kind of notice -> its text."""

    marks: list[Mark]
    faults: list[Fault]
    notes: dict[str, str]


class MarkReader:
    """Reads marks from cells as the settings say.

    Args:
        settings: Columns, unit and decimal mark.
        sample_rate_hz: Of the recording, for `unit: samples`.

    Raises:
        MalformedError: The unit is samples, and nobody says their rate.
    """

    def __init__(self, settings: AnnotationSettings, sample_rate_hz: int | None) -> None:
        self._settings = settings
        self._per_second = 1000.0 if settings.unit == "ms" else 1.0
        if settings.unit == "samples":
            rate_hz = settings.sample_rate_hz or sample_rate_hz
            if rate_hz is None:
                raise MalformedError("unit: the recording's sample rate is unknown; give `sample_rate_hz`")
            self._per_second = float(rate_hz)

    def read(self, cells: Mapping[Column, Cell], line: int | None, where: str = "") -> Mark:
        """Return the mark of a row.

        Raises:
            MalformedError: A time is none, or a flag is neither 0 nor 1.
        """
        settings = self._settings
        start_s = self.time_s(cells[settings.start], "start")
        ((name, column),) = settings.ends.items()
        end_s = self.time_s(cells[column], name) + (start_s if name == "duration" else 0.0)
        if not math.isfinite(end_s):
            raise MalformedError("not a number: start and duration are too large")
        flagged = tuple(kind for kind, flag in settings.flags.items() if _read_flag(cells[flag], kind))
        bounds = {name: self._frequency(cells[column], name) for name, column in settings.bands.items()}
        low_hz, high_hz = read_band(bounds.get("low_hz"), bounds.get("high_hz"))
        if settings.flags or settings.kind is None:
            return Mark(start_s, end_s, None, flagged, line, where, low_hz, high_hz)
        label = cells[settings.kind]
        labels = tuple(_text(part) for part in label) if isinstance(label, list) else (_text(label),)
        return Mark(start_s, end_s, labels, (), line, where, low_hz, high_hz)

    def _frequency(self, cell: Cell, name: str) -> float | None:
        text = _text(cell)
        if not text:
            return None
        return self._parse(text, name) if isinstance(cell, str) else parse_number(text, name)

    def time_s(self, cell: Cell, name: str) -> float:
        """Return a time in seconds.

        Raises:
            MalformedError: It is none in the unit that the settings say.
        """
        text = _text(cell)
        if self._settings.unit == "hh:mm:ss":
            return _parse_clock(text, name)
        if _CLOCK.fullmatch(text):
            raise MalformedError(f"not a number: {name} is {text!r}; say `unit: hh:mm:ss`")
        number = self._parse(text, name) if isinstance(cell, str) else parse_number(text, name)
        return number / self._per_second

    def _parse(self, text: str, name: str) -> float:
        decimal = self._settings.decimal
        if decimal == "point":
            return parse_number(text, name)
        # Nobody groups the thousands of seconds: `1,250` are 1.25 s, but 1,250 ms or samples may be either.
        if decimal == "comma" or (self._settings.unit == "s" and "," in text):
            if "." in text or text.count(",") > 1:
                raise MalformedError(f"not a number: {name} is {text!r}, expected one comma as the decimal mark")
            return parse_number(text.replace(",", "."), name)
        return parse_decimal(text, name)


def read_band(low_hz: float | None, high_hz: float | None) -> tuple[float | None, float | None]:
    """Return the frequencies that bound an event; below 0 they are not known, as Audacity writes it.

    Raises:
        MalformedError: The band ends where it begins, or before.

    >>> read_band(200.0, 800.0), read_band(-1.0, 800.0)
    ((200.0, 800.0), (None, 800.0))
    """
    low_hz, high_hz = (None if value is None or value < 0 else value for value in (low_hz, high_hz))
    if low_hz is not None and high_hz is not None and high_hz <= low_hz:
        raise MalformedError(f"band: it ends at {high_hz:g} Hz, and must end above its start at {low_hz:g} Hz")
    return low_hz, high_hz


def _parse_clock(text: str, name: str) -> float:
    """Return the seconds of a time on the clock.

    >>> _parse_clock("00:01:02,250", "start"), _parse_clock("1:02.5", "start")
    (62.25, 62.5)
    """
    match = _CLOCK.fullmatch(text)
    if match is None:
        raise MalformedError(f"not a time: {name} is {text!r}, expected hh:mm:ss")
    minutes = parse_number(match["minutes"], name)
    seconds = parse_number(match["seconds"].replace(",", "."), name)
    if minutes >= 60 or seconds >= 60:
        raise MalformedError(f"not a time: {name} {text!r} has 60 minutes or seconds, or more")
    return 3600 * parse_number(match["hours"] or "0", name) + 60 * minutes + seconds


def _read_flag(cell: Cell, kind: str) -> bool:
    text = fold_label(_text(cell))
    if text not in ("0", "1"):
        raise MalformedError(f"flag: {kind} is {_text(cell)!r}, expected 0 or 1")
    return text == "1"


def _text(cell: object) -> str:
    """Return a cell's text; true and false are 1 and 0.

    Raises:
        MalformedError: It is a list or an object.
    """
    if isinstance(cell, bool):
        return str(int(cell))
    if cell is None or isinstance(cell, str | int | float):
        return "" if cell is None else str(cell).strip()
    raise MalformedError(f"not a value: found {type(cell).__name__}, expected a number or text")
