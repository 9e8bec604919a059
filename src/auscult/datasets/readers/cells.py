"""What the cells of a row say: ids, labels, ages, sexes; what an optional cell says oddly is unknown, and counted."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from auscult.config.columns import AgeColumn, Columns, LabelColumn, SexColumn, TextColumn, TimeColumn, ValueMap
from auscult.config.task import fold_label
from auscult.datasets.readers.reading import MAX_AGE_YEARS, MalformedError, parse_number
from auscult.errors import DataError, nearest
from auscult.storage.tables import Notice

SEX_WORDS = {"f": "female", "female": "female", "m": "male", "male": "male"}
UNKNOWN = ("", "na", "n/a", "nan", "null", "<na>", "?")
"""What stands for an unknown value, in small letters: what R, pandas and people write. `none` is a real label."""
DAYS_PER_YEAR = 365.25
_UNITS_PER_YEAR = {"years": 1.0, "months": 12.0, "weeks": DAYS_PER_YEAR / 7, "days": DAYS_PER_YEAR}
_UNIT_WORDS = {
    **dict.fromkeys(("y", "yr", "yrs", "year", "years", "a"), "years"),
    **dict.fromkeys(("mo", "mos", "month", "months"), "months"),
    **dict.fromkeys(("w", "wk", "wks", "week", "weeks"), "weeks"),
    **dict.fromkeys(("d", "day", "days"), "days"),
}
_AGE = re.compile(r"(?P<number>[^a-z]*[0-9.,])\s*(?P<unit>[a-z]*)\.?")
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")
_GROUPED = re.compile(r"[+-]?[0-9]{1,3},[0-9]{3}")
_DATE_FORMATS = ("%Y-%m-%d", "%d.%m.%Y")
_TICKED = {
    **dict.fromkeys(("1", "true", "yes", "checked", "x"), True),
    **dict.fromkeys(("0", "false", "no", "unchecked"), False),
}
Decimal = Literal[".", ","] | None


def known_text(cell: str, unknown: Iterable[str] = UNKNOWN) -> str | None:
    """Return a cell's text without outer blanks, in Unicode's composed form; None where it says that nothing is known.

    >>> known_text(" Wheeze "), known_text("N/A"), known_text("none")
    ('Wheeze', None, 'none')
    """
    text = cell.strip()
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    return None if text.casefold() in unknown else text


def parse_decimal(text: str, name: str, decimal: Decimal = None) -> float:
    """Read a number whose mark is a point or a comma.

    Args:
        text: The cell.
        name: Of the value, for messages.
        decimal: The mark; None: a point, or a comma that cannot stand between thousands.

    Raises:
        MalformedError: It is none, or one that could be read in two ways.

    >>> parse_decimal("20,9", "age"), parse_decimal("20.9", "age"), parse_decimal("1,250", "age", ",")
    (20.9, 20.9, 1.25)
    """
    if decimal == ",":
        return parse_number(text.replace(".", "").replace(",", "."), name)
    if decimal is None and _DECIMAL_COMMA.fullmatch(text):
        if _GROUPED.fullmatch(text):
            raise MalformedError(f"not a number: {name} {text!r} is two numbers; say the table's `decimal`")
        return parse_number(text.replace(",", "."), name)
    return parse_number(text, name)


def tidy_id(text: str) -> str:
    """Return an id as it is kept: composed Unicode, and a whole number as Excel or pandas writes it without its `.0`.

    >>> tidy_id("7.0"), tidy_id(" 019 "), tidy_id("M\u0075\u0308ller")
    ('7', '019', 'Müller')
    """
    text = unicodedata.normalize("NFC", text.strip())
    whole, point, zeros = text.partition(".")
    return whole if point and whole.isascii() and whole.isdigit() and zeros and not zeros.strip("0") else text


class Cells:
    """Reads the cells of rows as the settings' columns say, and counts what it had to leave unknown.

    Args:
        columns: What holds what.
        decimal: The decimal mark of the table.
    """

    def __init__(self, columns: Columns, decimal: Decimal) -> None:
        self._columns = columns
        self._decimal: Decimal = decimal
        self._unknown = frozenset((*UNKNOWN, *(text.strip().casefold() for text in columns.unknown)))
        self._meanings: dict[int, ValueMap] = {}
        self._met: dict[str, Counter[str]] = {}
        self._odd: dict[str, Counter[str]] = {}

    def text(self, row: Mapping[str, str], column: str) -> str | None:
        """Return a cell's text, None where it is unknown."""
        return known_text(row[column], self._unknown)

    def patient(self, row: Mapping[str, str], columns: Sequence[str]) -> str | None:
        """Return a patient's id; None where a part of it is unknown."""
        parts = [self.text(row, column) for column in columns]
        return None if None in parts else "-".join(tidy_id(part) for part in parts if part is not None)

    def mapped(self, row: Mapping[str, str], source: TextColumn | None, name: str) -> str | None:
        """Return a text with the source's values applied."""
        text = None if source is None else self.text(row, source.column)
        return text if text is None or source is None else self._map(text, source.values, name)

    def sex(self, row: Mapping[str, str], source: SexColumn | None) -> str | None:
        """Return `female`, `male`, or None for what is unknown or odd."""
        text = None if source is None else self.text(row, source.column)
        if text is None or source is None:
            return None
        meant = self._map(text, source.values, "sex")
        if meant is None:
            return None
        sex = SEX_WORDS.get(meant.casefold())
        return self._leave_unknown("sex", text) if sex is None else sex

    def age_years(self, row: Mapping[str, str], source: AgeColumn | None) -> float | None:
        """Return an age in years; None for what is unknown or odd."""
        if source is None:
            return None
        if source.column is not None:
            text = self.text(row, source.column)
            try:
                return None if text is None else parse_age_text(text, source.unit, self._decimal)
            except MalformedError:
                return self._leave_unknown("age", str(text))
        born, at = (self.text(row, name) for name in source.names)
        if born is None or at is None:
            return None
        try:
            days = (parse_date(at, source.date_format) - parse_date(born, source.date_format)).days
        except MalformedError:
            return self._leave_unknown("age", f"{born} to {at}")
        age_years = days / DAYS_PER_YEAR
        return age_years if 0 <= age_years <= MAX_AGE_YEARS else self._leave_unknown("age", f"{born} to {at}")

    def label(self, row: Mapping[str, str], source: LabelColumn, name: str) -> str | None:
        """Return a label's value, several joined by `+`; None where it is unknown."""
        if source.checkboxes:
            return self._ticked(row, source, name)
        text = self.text(row, source.names[0])
        if text is None:
            return None
        parts = [text] if source.separator is None else [part.strip() for part in text.split(source.separator)]
        meant = [self._map(part, source.values, name) for part in parts if part]
        # One part that is unknown leaves open what the recording holds: the others alone would deny it.
        if not meant or None in meant:
            return None
        return "+".join(dict.fromkeys(part for part in meant if part is not None))

    def _ticked(self, row: Mapping[str, str], source: LabelColumn, name: str) -> str | None:
        ticks: dict[str, bool | None] = {}
        for column, value in source.checkboxes.items():
            text = self.text(row, column)
            ticks[value] = None if text is None else _TICKED.get(fold_label(text))
            if text is not None and ticks[value] is None:
                self._leave_unknown(name, f"{column} = {text}")
        ticked = [value for value, is_ticked in ticks.items() if is_ticked]
        if None in ticks.values():
            return None
        return "+".join(ticked) if ticked else source.none

    def time_s(self, row: Mapping[str, str], source: TimeColumn) -> float:
        """Return a time in seconds.

        Raises:
            MalformedError: It is none.
        """
        value = parse_decimal(self.text(row, source.column) or "", source.column, self._decimal)
        return value / 1000 if source.unit == "ms" else value

    def frequency_hz(self, row: Mapping[str, str], column: str | None) -> float | None:
        """Return a frequency, None where there is none.

        Raises:
            MalformedError: The cell holds something else.
        """
        text = None if column is None else self.text(row, column)
        return None if column is None or text is None else parse_decimal(text, column, self._decimal)

    def _map(self, text: str, values: ValueMap, name: str) -> str | None:
        if not values:
            return text
        folded = fold_label(text)
        self._met.setdefault(name, Counter())[folded] += 1
        # The settings hold the map as long as this reads: it is folded once, and not for each cell.
        meant = self._meanings.get(id(values))
        if meant is None:
            meant = self._meanings[id(values)] = {fold_label(key): value for key, value in values.items()}
        return meant.get(folded, text)

    def _leave_unknown(self, name: str, text: str) -> None:
        self._odd.setdefault(name, Counter())[text] += 1

    def notices(self) -> list[Notice]:
        """Return a notice for each cell that was left unknown because it could not be understood."""
        remedies = {
            "sex": "`values` of columns.sex maps words",
            "age": "`unit`, `decimal` or `date_format` may be missing",
        }
        return [
            Notice("not_understood", f"{name} {text!r}", f"taken as unknown; {remedies.get(name, 'expected 0 or 1')}")
            for name, texts in self._odd.items()
            for text, count in texts.most_common()
            for _ in range(count)
        ]

    def check_values(self, dataset: str) -> None:
        """Check that the tables hold every value that a map names.

        Raises:
            DataError: A map names a value that was never met: it is misspelt, or the wrong column.
        """
        sources = {
            **{name: getattr(self._columns, name) for name in ("site", "device", "sex", "event")},
            **self._columns.labels,
            **self._columns.attributes,
        }
        for name, source in sources.items():
            if source is None:
                continue
            met = self._met.get(name, Counter[str]())
            allowed = {fold_label(value) for value in source.may_be_absent}
            absent = [key for key in source.values if fold_label(key) not in met and fold_label(key) not in allowed]
            if absent:
                close = nearest(fold_label(absent[0]), met)
                hint = f"; did you mean {close!r}?" if close else ";"
                present = ", ".join(f"{value} ({count})" for value, count in sorted(met.items())) or "nothing"
                raise DataError(
                    f"{dataset}: the values of {name!r} name {absent[0]!r}, which column {source.names[0]!r} does not "
                    f"hold{hint} it holds {present}. Correct it, or name it under `may_be_absent`, if it may come later"
                )


def parse_age_text(text: str, unit: str, decimal: Decimal) -> float:
    """Return an age in years from a number, with a unit of its own or in `unit`.

    Raises:
        MalformedError: It is no age from 0 to 130 years.

    >>> parse_age_text("18 months", "years", None), parse_age_text("20,9", "years", None)
    (1.5, 20.9)
    """
    match = _AGE.fullmatch(text.casefold().strip())
    if match is None or (match["unit"] and match["unit"] not in _UNIT_WORDS):
        raise MalformedError(f"age: {text!r} is no number of {unit}")
    number = parse_decimal(match["number"].strip(), "age", decimal)
    age_years = number / _UNITS_PER_YEAR[_UNIT_WORDS.get(match["unit"], unit)]
    if not 0 <= age_years <= MAX_AGE_YEARS:
        raise MalformedError(f"age: {text!r} does not lie between 0 and {MAX_AGE_YEARS:g} years")
    return age_years


def parse_date(text: str, date_format: str | None) -> dt.date:
    """Return a date; a time of day behind it does not matter.

    Raises:
        MalformedError: It is written in none of the known forms.

    >>> parse_date("2024-12-31 08:30", None) == parse_date("31.12.2024", None) == parse_date("12/31/2024", "%m/%d/%Y")
    True
    """
    for known in (date_format,) if date_format else _DATE_FORMATS:
        for part in (text, text.split("T", maxsplit=1)[0].split(" ", maxsplit=1)[0]):
            try:
                return dt.datetime.strptime(part, known).date()
            except ValueError:
                continue
    raise MalformedError(f"date: {text!r} is not written as {date_format or '2024-12-31 or 31.12.2024'}")
