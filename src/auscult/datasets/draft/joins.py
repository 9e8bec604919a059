"""Which further tables belong to the recordings, and by which key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auscult.datasets.draft.columns import Source
from auscult.datasets.draft.filenames import NameGuess
from auscult.datasets.draft.paths import PathGuess
from auscult.datasets.draft.survey import Sheet
from auscult.datasets.draft.words import is_called
from auscult.datasets.readers.cells import tidy_id

MIN_OVERLAP = 0.6
MIN_UNIQUE = 0.9


@dataclass(frozen=True)
class Joined:
    """A further table.

    Attributes:
        sheet: The table.
        on: The key of the recordings: a column of their table, or a group of their names where there is none.
        key: Its column in the table.
        sources: What it says of each recording.
        comment: How many recordings have a row.
    """

    sheet: Sheet
    on: str
    key: str
    sources: list[Source]
    comment: str

    @property
    def settings(self) -> dict[str, Any]:
        """The entry of `join`."""
        made: dict[str, Any] = {"table": self.sheet.file, "on": self.on}
        if self.key != self.on:
            made["key"] = self.key
        if self.sheet.sheet is not None:
            made["sheet"] = self.sheet.sheet
        return made


def find_joins(sheets: Sequence[Sheet], path: PathGuess | None, names: NameGuess) -> list[Joined]:
    """Return each further table whose key column holds what most recordings say in a column or in their name."""
    taken: set[str] = set()
    if path is None:
        keys = {part.group: part.values for part in names.parts}
    else:
        # A table's rows come in another order than the files: its own columns alone can be keys.
        keys = {name: [row[name] for row in path.sheet.rows] for name in path.sheet.columns if name != path.column}
        taken |= set(path.sheet.columns)
    keys = {name: [tidy_id(value) for value in values] for name, values in keys.items()}
    found: list[Joined] = []
    for sheet in sheets:
        joined = None if path is not None and sheet is path.sheet else _join(sheet, keys, taken)
        if joined is not None:
            taken |= {source.name for source in joined.sources}
            found.append(joined)
    return found


def _join(sheet: Sheet, keys: Mapping[str, list[str]], taken: set[str]) -> Joined | None:
    best: tuple[float, str, str] | None = None
    for column in sheet.columns:
        cells = [tidy_id(cell) for cell in sheet.cells(column)]
        known = set(cells)
        if len(cells) < 2 or len(known) < MIN_UNIQUE * len(cells):
            continue
        for on, texts in keys.items():
            values = {text for text in texts if text}
            overlap = len(values & known) / len(values) if len(values) > 1 else 0.0
            score = overlap + 0.2 * is_called(column, "patient") + 0.1 * (column == on)
            if overlap >= MIN_OVERLAP and (best is None or score > best[0]):
                best = (score, on, column)
    if best is None:
        return None
    _, on, column = best
    by_key = {tidy_id(row[column]): row for row in sheet.rows}
    rows = [by_key.get(text) for text in keys[on]]
    names = [name for name in sheet.columns if name != column and name not in taken]
    sources = [Source(name, name, ["" if row is None else row[name] for row in rows]) for name in names]
    n_found = sum(row is not None for row in rows)
    return Joined(sheet, on, column, sources, f"{n_found} of {len(rows)} recordings have a row")
