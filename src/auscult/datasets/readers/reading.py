"""What all readers share: the items that they yield, and strict readers of text, numbers and JSON."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from auscult.config import DatasetSettings
from auscult.storage.files import parse_json
from auscult.storage.tables import Event, Notice, Recording, Rejection

Item = Recording | Event | Rejection | Notice
Reader = Callable[[Path, str, DatasetSettings], Iterator[Item]]
"""(root, dataset name, settings) -> items. A recording comes before its events; all recordings of one dataset carry the
same label and attribute names, and no id comes twice. Paths are relative to the root, with `/`."""

Value = TypeVar("Value")

PATIENT_UNKNOWN = "patient_unknown"
"""Kind of the notice that nobody knows whose a recording is; its subject is the recording's id."""

SEXES = {"M": "male", "F": "female"}
MAX_AGE_YEARS = 130.0
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_BLANKS = re.compile(r" +")
_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


class MalformedError(ValueError):
    """Text that a parser cannot place; the message is the reason of a rejection."""


def patient_unknown(recording_id: str, because: str) -> Notice:
    """Say that a recording counts as a person of its own, `because` nothing tells whose it is."""
    return Notice(PATIENT_UNKNOWN, recording_id, f"{because}: it counts as a person of its own")


def not_understood(what: str, where: str) -> Notice:
    """Say that an optional fact, such as `age 'x'`, is taken as unknown."""
    return Notice("not_understood", what, f"{where}: taken as unknown")


@dataclass(frozen=True)
class Fault:
    """A line that could not be placed; `line` counts from 1, None means the file as a whole."""

    line: int | None
    reason: str


def decoded_lines(data: bytes) -> Iterator[tuple[int, str | Fault]]:
    r"""Yield (number from 1, text) for each line that is not blank; a Fault instead of text that is not UTF-8.

    Any of the three line ends, a byte order mark and a last line without an end are taken.

    >>> list(decoded_lines(b"\r\n101,URTI\r\n102,Healthy"))
    [(2, '101,URTI'), (3, '102,Healthy')]
    """
    if data.startswith(_UTF16_BOMS):
        yield 1, Fault(None, "not UTF-8: the file is UTF-16; save it as UTF-8")
        return
    for number, line in enumerate(data.removeprefix(_BOM).splitlines(), start=1):
        try:
            text = line.decode("utf-8").strip(" \t")
        except UnicodeDecodeError as error:
            yield number, Fault(number, f"not UTF-8: byte 0x{line[error.start]:02x} at position {error.start + 1}")
            continue
        if text:
            yield number, text


def parse_lines(data: bytes, parse: Callable[[int, str], Value]) -> tuple[list[Value], list[Fault]]:
    """Parse each line that holds something; a line that cannot be decoded or parsed becomes a fault.

    Args:
        data: The file's bytes.
        parse: Takes the line's number (from 1) and text; raises `MalformedError` with the reason.
    """
    values: list[Value] = []
    faults: list[Fault] = []
    for number, text in decoded_lines(data):
        if isinstance(text, Fault):
            faults.append(text)
            continue
        try:
            values.append(parse(number, text))
        except MalformedError as error:
            faults.append(Fault(number, str(error)))
    return values, faults


def split_fields(text: str) -> list[str]:
    r"""Split a line at tabs, or else at commas, or else at blanks: the first of them that it holds.

    >>> split_fields("0.036\t0.579\t0\t0"), split_fields("101, URTI"), split_fields("101 3 F")
    (['0.036', '0.579', '0', '0'], ['101', 'URTI'], ['101', '3', 'F'])
    """
    for separator in ("\t", ","):
        if separator in text:
            return [field.strip(" ") for field in text.split(separator)]
    # Not `split()`: it would also drop control characters, which have no place in a line.
    return _BLANKS.split(text)


def parse_number(text: str, name: str) -> float:
    """Read a plain decimal number; Python's `float` also takes `nan`, `1_0` and other scripts' digits.

    Raises:
        MalformedError: It is not one, or not finite.
    """
    if not _NUMBER.fullmatch(text):
        raise MalformedError(f"not a number: {name} is {text!r}")
    value = float(text)
    if not math.isfinite(value):
        raise MalformedError(f"not a number: {name} {text!r} is too large")
    return value


def parse_age(text: str) -> float:
    """Read an age in years.

    Raises:
        MalformedError: It is no number from 0 to 130.
    """
    age_years = parse_number(text, "age")
    if not 0 <= age_years <= MAX_AGE_YEARS:
        raise MalformedError(f"age: {text!r} does not lie between 0 and {MAX_AGE_YEARS:g} years")
    return age_years


def parse_code(text: str, codes: dict[str, str], name: str) -> str:
    """Return what `text` stands for in `codes`.

    Raises:
        MalformedError: It is no known code.
    """
    if text not in codes:
        raise MalformedError(f"unknown {name}: {text!r}; known: {', '.join(codes)}")
    return codes[text]


def read_file(path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        MalformedError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise MalformedError(f"unreadable: {error.strerror or error}") from None


class KeyedValues(Generic[Value]):
    """Facts by key (a patient, say) from one or more files; a contradiction leaves the fact unknown."""

    def __init__(self, noun: str) -> None:
        self.noun = noun
        self._values: dict[str, tuple[Value, str, int]] = {}
        self._contradicted: set[str] = set()

    def add(self, key: str, value: Value, file: str, line: int) -> Rejection | None:
        """Keep `value` for `key`, or return why not: the key stands in this file already, or another file differs."""
        if key not in self._values:
            self._values[key] = (value, file, line)
            return None
        first, first_file, first_line = self._values[key]
        if first == value and first_file != file:
            return None
        where = f"line {first_line}" if first_file == file else f"{first_file}, line {first_line}"
        if first == value:
            return Rejection(file, line, f"duplicate {self.noun}: {key} stands on {where} already")
        self._contradicted.add(key)
        reason = f"duplicate {self.noun}: {key} stands on {where} already with another value; both are left out"
        return Rejection(file, line, reason)

    def get(self, key: str) -> Value | None:
        """Return the value of `key`; None when it is absent or contradicted."""
        if key in self._contradicted or key not in self._values:
            return None
        return self._values[key][0]

    def where(self, key: str) -> tuple[str, int]:
        """Return the file and line that first spoke of `key`."""
        _, file, line = self._values[key]
        return file, line

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def parse_object(data: bytes) -> dict[str, Any]:
    """Read a UTF-8 document that holds one JSON object.

    Raises:
        MalformedError: It is not UTF-8, not JSON, not an object, or says a key twice.

    >>> parse_object(b'{"a": ["1", 2]}')
    {'a': ['1', 2]}
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedError(f"not UTF-8: byte 0x{data[error.start]:02x} at position {error.start + 1}") from None
    try:
        value = parse_json(text)
    except ValueError as error:
        # A plain ValueError comes from an integer of more digits than Python converts.
        raise MalformedError(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise MalformedError(f"not JSON: found {type(value).__name__}, expected an object")
    return value
