"""Which column of a table leads to the recordings, and how."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from posixpath import normpath

from auscult.datasets.draft.survey import Sheet
from auscult.datasets.readers.locate import FileNames, clean_path

N_TRIED = 60
MIN_SHARE = 0.5
MIN_SHARE_OF_FILES = 0.6


@dataclass(frozen=True)
class PathGuess:
    """A column of paths, or several of a table with several recordings in a row.

    Attributes:
        sheet: Its table.
        columns: Their names.
        template: Where a cell is only a part of the path.
        files: The recordings that they lead to.
        n_filled: Cells that are not empty.
        n_found: Those that lead to a recording.
    """

    sheet: Sheet
    columns: tuple[str, ...]
    template: str | None
    files: frozenset[str]
    n_filled: int
    n_found: int

    @property
    def column(self) -> str:
        """The first column."""
        return self.columns[0]


def guess_path(sheets: Sequence[Sheet], audio: Sequence[str]) -> PathGuess | None:
    """Return the column that leads to most recordings, None where none leads to half of what it says."""
    found: list[PathGuess] = []
    paths, names = frozenset(audio), FileNames(audio)

    def find(text: str) -> str | None:
        if text in paths:
            return text
        files = names.like(text)
        return files[0] if len(files) == 1 else None

    for sheet in sheets:
        plain = [guess for name in sheet.columns if (guess := _try(sheet, name, None, find)) is not None]
        found += plain
        every = frozenset[str]().union(*(guess.files for guess in plain))
        if len(plain) > 1 and sum(len(guess.files) for guess in plain) == len(every):
            columns = tuple(guess.column for guess in plain)
            n_filled, n_found = sum(guess.n_filled for guess in plain), sum(guess.n_found for guess in plain)
            found.append(PathGuess(sheet, columns, None, every, n_filled, n_found))
        for name in () if plain else sheet.columns:
            template = _template(sheet.cells(name), audio)
            guess = (
                None if template is None else _try(sheet, name, template, lambda text: text if text in paths else None)
            )
            # Else it is a key that some names begin with, such as the patient's.
            if guess is not None and len(guess.files) >= MIN_SHARE_OF_FILES * len(audio):
                found.append(guess)
    return max(found, key=lambda guess: (len(guess.files), guess.template is None, guess.n_found), default=None)


def _template(values: Sequence[str], audio: Sequence[str]) -> str | None:
    """Return the path, with `{}` for the value, that leads from most of the values to a file each."""
    forms: Counter[str] = Counter()
    tried = list(dict.fromkeys(value for value in values if len(value) > 1))[:N_TRIED]
    for value in tried:
        forms.update({file.replace(value, "{}", 1) for file in audio if value in file and "{}" not in file})
    best, count = next(iter(forms.most_common(1)), ("", 0))
    return best if count > 1 and count >= MIN_SHARE * len(tried) else None


def _try(sheet: Sheet, column: str, template: str | None, find: Callable[[str], str | None]) -> PathGuess | None:
    cells = [clean_path(cell) for cell in sheet.cells(column)]
    texts = [normpath(cell) if template is None else template.replace("{}", cell) for cell in cells]
    files = [file for text in texts if (file := find(text)) is not None]
    if len(files) < MIN_SHARE * len(cells) or len(set(files)) < 2:
        return None
    return PathGuess(sheet, (column,), template, frozenset(files), len(cells), len(files))
