"""What the columns hold: label, patient, sex, age, place, device, site, visit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auscult.datasets.draft.proposal import Proposal
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
from auscult.datasets.readers.cells import UNKNOWN
from auscult.formatting.numbers import plural

MAX_LABELS = 24
MAX_CODES = 3
"""More numbers than these, in a column that nothing calls a label, are a measure."""
SURE = 4.0
_MAX_VALUES = {"device": 30, "site": 60, "place": 40, "visit": 40}


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
    is_numeric = all(re.fullmatch(r"-?\d+([.,]\d+)?", value) for value in counts)
    called = is_called(source.plain, "label")
    heard = sum(count for value, count in counts.items() if SOUNDS.search(value) or is_normal(value)) / counts.total()
    if (
        is_called(source.plain, "sex", "age", "born", "start", "end", "rater", "device")
        or (is_called(source.plain, "place", "visit", "site") and heard < 0.5)
        or (is_numeric and not called and n > MAX_CODES)
        or date_format(filled)
    ):
        return 0.0
    # An id or number of a label (`Lung Sound ID`) names the file, not the finding.
    return 3.0 * called + 3.0 * heard + 0.5 * (not is_numeric) - 2.0 * bool({"id", "nr"} & set(tokens(source.plain)))


def patient_score(source: Source, n_recordings: int) -> float:
    """Return how much a column looks like patients; 0 where it cannot be."""
    counts = distinct(source.filled)
    n = len(counts)
    is_other = is_called(source.plain, "sex", "age", "place", "visit", "device", "start", "end", "rater")
    if n < 2 or 2 * len(source.filled) < len(source.cells) or is_other or date_format(source.filled):
        return 0.0
    score = 4.0 if is_called(source.plain, "patient") else 2.0 * (tokens(source.plain) == ["id"])
    is_id = all(re.fullmatch(r"[A-Za-z]{1,6}[-_ ]?\d+|\d{1,10}(\.0)?", value) for value in counts)
    if not (is_id or score):
        return 0.0
    return score + is_id + (max(2, n_recordings / 100) < n < n_recordings)


class ColumnGuesser:
    """Finds what the columns hold that are left, and writes it into a proposal.

    Args:
        sources: The columns.
        codes: Field -> code -> meaning, of a codebook.
        proposal: Of the dataset.

    Attributes:
        left: The columns that nothing was made of yet, by name.
    """

    def __init__(self, sources: Sequence[Source], codes: Mapping[str, Mapping[str, str]], proposal: Proposal) -> None:
        self.left = {source.name: source for source in sources}
        self._codes = codes
        self._draft = proposal

    def first(self, role: str) -> Source | None:
        """Return the first column that is called so."""
        return next((source for source in self.left.values() if is_called(source.plain, role)), None)

    def take(self, *sources: Source) -> None:
        """Mark columns as used."""
        for source in sources:
            del self.left[source.name]

    def facts(self) -> None:
        """Add sex, age, device, site, place and visit."""
        self._sex()
        self._age_years()
        for role in _MAX_VALUES:
            self._text(role)

    def _text(self, role: str) -> None:
        for source in list(self.left.values()):
            n = len(distinct(source.filled))
            if is_called(source.plain, role) and 1 <= n <= _MAX_VALUES[role] and not date_format(source.filled):
                self._draft.put(role, source.name, f"{plural(n, 'value')} in {source.coverage}")
                self.take(source)
                return

    def _sex(self) -> None:
        source = self.first("sex")
        found = None if source is None else sex_values(source.filled, self._codes.get(source.plain, {}))
        if source is None or found is None:
            return
        values, odd = found
        note = f"{source.coverage} have one"
        if odd:
            shown = ", ".join(sorted(odd))
            note += f"; what {shown} means is not known: write female or male for null"
            self._draft.doubts.append(
                f"The sexes {shown} in column {source.name} are left unknown: say what they mean."
            )
        self._draft.put("sex", {"column": source.name, "values": values} if values else source.name, note)
        self.take(source)

    def _age_years(self) -> None:
        sources = [source for source in self.left.values() if is_called(source.plain, "age")]
        ages = [(source, found) for source in sources if (found := age_settings(source.plain, source.filled))]
        dates = {role: self._dates(role) for role in ("born", "at")}
        born, at = dates["born"], dates["at"]
        if born is not None and at is not None:
            form = date_format(born.filled)
            settings = {"born": born.name, "at": at.name, **({} if form == "auto" else {"date_format": form})}
            self._draft.put("age_years", settings, f"{born.coverage} have a date of birth")
            self.take(born, at)
        elif ages:
            source, found = ages[0]
            column = source.name if len(found) == 1 else {**found, "column": source.name}
            self._draft.put("age_years", column, f"{source.coverage} have one, read as {found.get('unit', 'years')}")
            self.take(source)

    def _dates(self, role: str) -> Source | None:
        sources = [source for source in self.left.values() if is_called(source.plain, role)]
        return next((source for source in sources if date_format(source.filled)), None)

    def boxes(self, sheet: Sheet) -> dict[str, Any]:
        """Return a label for each group of checkboxes."""
        labels: dict[str, Any] = {}
        for name, group in checkboxes(sheet).items():
            codes = {column: column.rpartition("___")[2] for column in group}
            boxes = {column: self._codes.get(name, {}).get(code, code) for column, code in codes.items()}
            labels[name] = {"checkboxes": boxes}
            if not any(is_normal(text) for text in boxes.values() if not text.isdigit()):
                question = f"What does it mean where no box of {name} is ticked?"
                switch = f"write `none: none` in place of `none: null` below `{name}`"
                is_heard = self._draft.means_absence(question, "nothing was heard", switch)
                labels[name]["none"] = "none" if is_heard else None
                note = "where no box is ticked; null: unknown, none: nothing was heard"
                self._draft.say(note, "columns", "labels", name, "none")
            self._draft.say(f"{len(group)} checkboxes", "columns", "labels", name)
            self.take(*(self.left[column] for column in group))
        return labels


def label_settings(source: Source) -> tuple[Any, str]:
    """Return how a label column is read, and a comment."""
    separator = find_separator([cell for cell in source.filled if not is_unknown(cell)])
    counts = parts_of(source.filled, separator)
    # What every column takes for unknown needs no word.
    strange = [value for value in counts if is_unknown(value) and value.casefold() not in UNKNOWN]
    shown = ", ".join(f"{value} ({count})" for value, count in counts.most_common(8))
    note = f"{source.coverage}: {shown}{', ...' if len(counts) > 8 else ''}"
    settings: dict[str, Any] = {"column": source.name}
    if separator is not None:
        settings["separator"] = separator.strip()
    if strange:
        settings["values"] = dict.fromkeys(strange)
        note += f"; unknown: {', '.join(strange)}"
    return (source.name if len(settings) == 1 else settings), note
