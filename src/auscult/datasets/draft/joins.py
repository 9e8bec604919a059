"""Which further tables belong to the recordings, and by which key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from auscult.datasets.draft.columns import Source
from auscult.datasets.draft.filenames import NameGuess
from auscult.datasets.draft.paths import PathGuess
from auscult.datasets.draft.survey import Sheet
from auscult.datasets.draft.words import is_called
from auscult.datasets.readers.cells import tidy_id

MIN_OVERLAP = 0.6
MIN_UNIQUE = 0.9


@dataclass
class Joined:
    """A further table.

    Attributes:
        sheet: The table.
        on: Column or group of the recordings that holds the key.
        key: The key's column in the table.
        is_group: Whether `on` is a part of the files' names.
        sources: What it says of each recording.
        comment: How many recordings have a row.
        used: Whether the settings name a column of it.
    """

    sheet: Sheet
    on: str
    key: str
    is_group: bool
    sources: list[Source]
    comment: str
    used: bool = field(default=False)

    @property
    def settings(self) -> dict[str, Any]:
        """The entry of `join`."""
        made: dict[str, Any] = {"table": self.sheet.file, "on": self.on}
        if self.key != self.on:
            made["key"] = self.key
        if self.sheet.sheet is not None:
            made["sheet"] = self.sheet.sheet
        return made


@dataclass(frozen=True)
class _Key:
    name: str
    is_group: bool
    values: list[str]


def find_joins(sheets: Sequence[Sheet], path: PathGuess | None, names: NameGuess) -> list[Joined]:
    """Return each further table whose key column holds what most recordings say in a column or in their name."""
    taken: set[str] = set()
    if path is not None:
        # A table's rows come in another order than the files: its own columns alone can be keys.
        rows = path.sheet.rows
        keys = [_Key(name, False, [tidy_id(row[name]) for row in rows]) for name in path.sheet.columns if name != path.column]
        taken |= set(path.sheet.columns)
    else:
        keys = [_Key(part.group, True, [tidy_id(value) for value in part.values]) for part in names.parts]
    found: list[Joined] = []
    for sheet in sheets:
        if path is not None and sheet is path.sheet:
            continue
        joined = _join(sheet, keys, taken)
        if joined is not None:
            taken |= {source.name for source in joined.sources}
            found.append(joined)
    return found


def _join(sheet: Sheet, keys: Sequence[_Key], taken: set[str]) -> Joined | None:
    best: tuple[float, _Key, str] | None = None
    for column in sheet.columns:
        cells = [tidy_id(cell) for cell in sheet.cells(column)]
        if len(cells) < 2 or len(set(cells)) < MIN_UNIQUE * len(cells):
            continue
        known = set(cells)
        for key in keys:
            values = {value for value in key.values if value}
            if len(values) < 2:
                continue
            overlap = len(values & known) / len(values)
            score = overlap + 0.2 * is_called(column, "patient") + 0.1 * (column == key.name)
            if overlap >= MIN_OVERLAP and (best is None or score > best[0]):
                best = (score, key, column)
    if best is None:
        return None
    _, key, column = best
    by_key = {tidy_id(row[column]): row for row in sheet.rows}
    rows = [by_key.get(value) for value in key.values]
    sources = [
        Source(name, name, ["" if row is None else row[name] for row in rows])
        for name in sheet.columns
        if name != column and name not in taken
    ]
    n_found = sum(row is not None for row in rows)
    return Joined(sheet, key.name, column, key.is_group, sources, f"{n_found} of {len(rows)} recordings have a row")
