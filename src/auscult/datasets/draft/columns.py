"""What the columns of one table hold: label, patient, sex, age, place, rater, times."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auscult.datasets.draft.survey import Sheet
from auscult.datasets.draft.values import (
    age_settings,
    checkboxes,
    date_format,
    distinct,
    find_separator,
    parts_of,
    sex_values,
)
from auscult.datasets.draft.words import SOUNDS, is_called, is_normal, is_unknown, tokens
from auscult.formatting.numbers import plural

MAX_LABELS = 24
SURE = 4.0


@dataclass(frozen=True)
class Source:
    """A column, wherever it stands, and what it says of each recording.

    Attributes:
        name: As the YAML names it.
        plain: As the table heads it, without the mark of a wide table.
        cells: Its cells, one for each row; empty ones too.
    """

    name: str
    plain: str
    cells: list[str]

    @property
    def filled(self) -> list[str]:
        """The cells that say something."""
        return [cell for cell in self.cells if cell.strip()]

    @property
    def coverage(self) -> str:
        """How many rows say something, in words."""
        return f"{len(self.filled)} of {len(self.cells)} rows"


def label_score(source: Source) -> float:
    """Return how much a column looks like what is to be learnt; 0 where it cannot be."""
    filled = [cell for cell in source.filled if not is_unknown(cell)]
    counts = parts_of(filled, find_separator(filled))
    n = len(counts)
    if not 2 <= n <= MAX_LABELS or n > 0.6 * len(filled):
        return 0.0
    if any(is_called(source.plain, role) for role in ("sex", "age", "born", "start", "end", "rater", "device")):
        return 0.0
    is_numeric = all(re.fullmatch(r"-?\d+([.,]\d+)?", value) for value in counts)
    called = is_called(source.plain, "label")
    if date_format(filled) or (is_numeric and not called and n > 3):
        return 0.0
    heard = sum(count for value, count in counts.items() if SOUNDS.search(value) or is_normal(value))
    score = 3.0 * called + 3.0 * (heard / sum(counts.values())) + (0.0 if is_numeric else 0.5)
    if any(is_called(source.plain, role) for role in ("place", "visit", "site")) and heard < 0.5 * sum(counts.values()):
        return 0.0
    # An id or number of a label (`Lung Sound ID`) names the file, not the finding.
    return score - 2.0 * bool({"id", "nr", "number"} & set(tokens(source.plain)))


def patient_score(source: Source, *, n_recordings: int) -> float:
    """Return how much a column looks like patients; 0 where it cannot be."""
    filled = source.filled
    counts = distinct(filled)
    n = len(counts)
    if n < 2 or len(filled) < 0.5 * len(source.cells) or date_format(filled):
        return 0.0
    score = 0.0
    if is_called(source.plain, "patient"):
        score += 4.0
    elif "id" in tokens(source.plain) and len(tokens(source.plain)) == 1:
        score += 2.0
    if all(re.fullmatch(r"[A-Za-z]{1,6}[-_ ]?\d+|\d{1,10}(\.0)?", value) for value in counts):
        score += 1.0
    elif score == 0:
        return 0.0
    if n < n_recordings and n > max(2, n_recordings / 100):
        score += 1.0
    return score


class ColumnGuesser:
    """Finds what the columns hold that are left, and writes it into a section `columns`.

    Args:
        sources: The columns.
        codes: Field -> code -> meaning, of a codebook.
        say: Comments on a guess, at a place below `columns`.
    """

    def __init__(
        self, sources: Sequence[Source], codes: Mapping[str, Mapping[str, str]], say: Callable[..., None]
    ) -> None:
        self.left = {source.name: source for source in sources}
        self._codes = codes
        self._say = say
        self.doubts: list[str] = []

    def facts(self, columns: dict[str, Any]) -> None:
        """Add sex, age, site, device, place and visit."""
        for role in ("sex", "age_years", "device", "site"):
            if role not in columns:
                found = getattr(self, f"_{role}")()
                if found is not None:
                    columns[role] = found
        for role in ("place", "visit"):
            for source in self._called(role):
                values = distinct(source.filled)
                if 1 < len(values) <= 40 and not date_format(source.filled) and role not in columns.get("attributes", {}):
                    columns.setdefault("attributes", {})[role] = source.name
                    self._say(f"{plural(len(values), 'value')} in {source.coverage}", "columns", "attributes", role)
                    del self.left[source.name]
                    break

    def _called(self, role: str) -> list[Source]:
        return [source for source in self.left.values() if is_called(source.plain, role)]

    def _sex(self) -> Any:
        for source in self._called("sex"):
            found = sex_values(source.filled, self._codes.get(source.plain, {}))
            if found is None:
                continue
            values, odd = found
            note = f"{source.coverage} have one"
            if odd:
                shown = ", ".join(sorted(odd))
                note += f"; what {shown} means is not known: write female or male for null"
                self.doubts.append(f"The sexes {shown} in column {source.name} are left unknown: say what they mean.")
            self._say(note, "columns", "sex")
            del self.left[source.name]
            return {"column": source.name, "values": values} if values else source.name
        return None

    def _age_years(self) -> Any:
        born, at = self._dates("born"), self._dates("at")
        if born is not None and at is not None:
            form = date_format(born.filled)
            self._say(f"{born.coverage} have a date of birth", "columns", "age_years")
            del self.left[born.name], self.left[at.name]
            return {"born": born.name, "at": at.name, **({} if form in ("auto", None) else {"date_format": form})}
        for source in self._called("age"):
            found = age_settings(source.plain, source.filled)
            if found is not None:
                found["column"] = source.name
                unit = found.get("unit", "years")
                self._say(f"{source.coverage} have one, read as {unit}", "columns", "age_years")
                del self.left[source.name]
                return source.name if set(found) == {"column"} else found
        return None

    def _dates(self, role: str) -> Source | None:
        return next((source for source in self._called(role) if date_format(source.filled)), None)

    def _device(self) -> Any:
        return self._text("device", 30)

    def _site(self) -> Any:
        return self._text("site", 60)

    def _text(self, role: str, most: int) -> Any:
        for source in self._called(role):
            values = distinct(source.filled)
            if 1 <= len(values) <= most and not is_called(source.plain, "place"):
                self._say(f"{plural(len(values), 'value')} in {source.coverage}", "columns", role)
                del self.left[source.name]
                return source.name
        return None

    def boxes(self, sheet: Sheet | None) -> dict[str, Any]:
        """Return a label for each group of checkboxes."""
        labels: dict[str, Any] = {}
        for name, group in ({} if sheet is None else checkboxes(sheet)).items():
            if not all(column in self.left for column in group):
                continue
            meaning = self._codes.get(name, {})
            boxes = {column: meaning.get(column.rpartition("___")[2], column.rpartition("___")[2]) for column in group}
            has_normal = any(is_normal(text) for text in boxes.values() if not text.isdigit())
            labels[name] = {"checkboxes": boxes} | ({} if has_normal else {"none": "none"})
            note = f"{len(group)} checkboxes"
            if not has_normal:
                note += "; no tick says `none`: leave `none` out if forms were left empty"
                self.doubts.append(f"No tick in {name}___* is read as `none` found: true only if every form was filled in.")
            self._say(note, "columns", "labels", name)
            for column in group:
                del self.left[column]
        return labels


def label_settings(source: Source) -> tuple[Any, str]:
    """Return how a label column is read, and a comment."""
    filled = source.filled
    separator = find_separator([cell for cell in filled if not is_unknown(cell)])
    counts = parts_of(filled, separator)
    strange = [value for value in counts if is_unknown(value) and value.casefold() not in ("?", "na", "n/a", "nan", "null")]
    shown = ", ".join(f"{value} ({count})" for value, count in counts.most_common(8))
    note = f"{source.coverage}: {shown}{', ...' if len(counts) > 8 else ''}"
    settings: dict[str, Any] = {"column": source.name}
    if separator is not None:
        settings["separator"] = separator.strip()
    if strange:
        settings["values"] = dict.fromkeys(strange)
        note += f"; unknown: {', '.join(strange)}"
    return (source.name if len(settings) == 1 else settings), note


def find_wide(columns: Sequence[str]) -> tuple[str, list[str]] | None:
    """Return the form of several columns' names with `{position}` in it, and what it stands for in each.

    >>> find_wide(["file_RU", "file_LL"])
    ('file_{position}', ['RU', 'LL'])
    """
    start = min(map(len, columns))
    first = columns[0]
    before = next((n for n in range(start) if len({name[n] for name in columns}) > 1), start)
    # Not within a word: file_RU and file_RL differ in all of RU and RL.
    while before and first[before - 1].isalnum():
        before -= 1
    after = 0
    while after < start - before and len({name[-after - 1] for name in columns}) == 1:
        after += 1
    while after and first[len(first) - after].isalnum():
        after -= 1
    values = [name[before : len(name) - after] for name in columns]
    if not (first[:before] or first[len(first) - after :]) or not all(values) or len(set(values)) < len(values):
        return None
    return f"{first[:before]}{{position}}{first[len(first) - after :] if after else ''}", values
