"""How the cells of a column are read: sexes, ages, dates, labels with separators, checkboxes, codebooks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from auscult.datasets.draft.survey import Sheet
from auscult.datasets.draft.words import FEMALE, MALE, fold, is_unknown
from auscult.datasets.readers.cells import SEX_WORDS, parse_age_text, parse_date
from auscult.datasets.readers.reading import MalformedError

SEPARATORS = (";", "|", ",", "/", "&", " und ", " and ")
UNITS = {"months": r"mon|\bmo\b|_m\b", "weeks": r"week|woche", "days": r"day|tag"}
DATE_FORMATS = (None, "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%y", "%Y/%m/%d")
MIN_AGES = 0.6
MIN_DATES = 0.8
MAX_VALUES = 20
MAX_SEXES = 8


def distinct(cells: Sequence[str]) -> Counter[str]:
    """Return the values of a column as they are first written, and how often each stands there, case aside."""
    written: dict[str, str] = {}
    return Counter(written.setdefault(fold(cell), cell.strip()) for cell in cells)


def sex_values(cells: Sequence[str], codes: Mapping[str, str]) -> tuple[dict[str, str | None], list[str]] | None:
    """Return the map from what stands there to sexes, and the values that stay unknown; None: these are no sexes.

    Args:
        cells: Of the column.
        codes: What a codebook says of its values, if there is one.
    """
    values = distinct(cells)
    meant: dict[str, str | None] = {}
    odd: list[str] = []
    for value in values:
        word = fold(codes.get(value, value))
        if word in FEMALE or word in MALE:
            if fold(value) not in SEX_WORDS:
                meant[value] = "female" if word in FEMALE else "male"
        elif not is_unknown(value):
            odd.append(value)
            meant[value] = None
    n_odd = sum(values[value] for value in odd)
    if len(values) > MAX_SEXES or (2 * n_odd > len(cells) and set(odd) - {"0", "1", "2", "9"}):
        return None
    return meant, odd


def age_settings(name: str, cells: Sequence[str]) -> dict[str, Any] | None:
    """Return how a column of ages is read; None where its cells are no ages."""
    unit = next((unit for unit, words in UNITS.items() if re.search(words, fold(name))), "years")
    if _share_read(cells, lambda cell: parse_age_text(cell, unit, None)) < MIN_AGES:
        return None
    return {"column": name} if unit == "years" else {"column": name, "unit": unit}


def date_format(cells: Sequence[str]) -> str | None:
    """Return how a column's dates are written (`auto` for the forms that need no word), None where it holds none."""
    for form in DATE_FORMATS:
        if _share_read(cells, lambda cell, form=form: parse_date(cell, form)) >= MIN_DATES:
            return form or "auto"
    return None


def _share_read(cells: Sequence[str], parse: Callable[[str], object]) -> float:
    n_read = 0
    for cell in cells:
        try:
            parse(cell)
            n_read += 1
        except MalformedError:
            continue
    return n_read / len(cells) if cells else 0.0


def find_separator(cells: Sequence[str]) -> str | None:
    """Return what stands between several values in a cell: the parts of such cells also stand alone.

    >>> find_separator(["Giemen; RG", "RG", "Giemen", "normal"]), find_separator(["heart failure", "copd"])
    (';', None)
    """
    known = {fold(cell) for cell in cells}
    for separator in SEPARATORS:
        parts = [part.strip() for cell in known if separator in cell for part in cell.split(separator)]
        alone = sum(part in known for part in parts)
        is_meant = 2 * alone >= len(parts) or separator in ";|"
        if parts and all(parts) and is_meant and len(set(parts)) <= MAX_VALUES:
            return separator
    return None


def parts_of(cells: Sequence[str], separator: str | None) -> Counter[str]:
    """Return the single findings of a column and how many cells name each."""
    if separator is None:
        return distinct(cells)
    return distinct([part.strip() for cell in cells for part in cell.split(separator) if part.strip()])


def checkboxes(sheet: Sheet) -> dict[str, list[str]]:
    """Return the groups of checkbox columns (`sound___1`, `sound___2`) by their common name."""
    groups: dict[str, list[str]] = {}
    for name in sheet.columns:
        field, mark, _ = name.rpartition("___")
        if mark and {fold(cell) for cell in sheet.cells(name)} <= {"0", "1", "checked", "unchecked"}:
            groups.setdefault(field, []).append(name)
    return groups


def codebook(sheets: Sequence[Sheet]) -> dict[str, dict[str, str]]:
    """Return field -> code -> meaning of a REDCap data dictionary among the tables, empty where there is none."""
    found: dict[str, dict[str, str]] = {}
    for sheet in sheets:
        choices = next((name for name in sheet.columns if fold(name).startswith("choices")), None)
        fields = next((name for name in sheet.columns if "field name" in fold(name)), None)
        if choices is None or fields is None:
            continue
        for row in sheet.rows:
            pairs = [part.partition(",") for part in row[choices].split("|") if "," in part]
            found[row[fields].strip()] = {code.strip(): text.strip() for code, _, text in pairs}
    return found
