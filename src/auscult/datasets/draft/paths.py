"""Which column of a table leads to the recordings, and how."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from auscult.datasets.draft.survey import Sheet
from auscult.datasets.draft.words import fold
from auscult.datasets.folder import is_audio, split_name
from auscult.datasets.readers.locate import clean_path

N_TRIED = 60
MIN_SHARE = 0.5
MIN_SHARE_OF_FILES = 0.6


class AudioIndex:
    """Finds recordings by path, or by a name that one of them alone has."""

    def __init__(self, audio: Sequence[str]) -> None:
        self.audio = list(audio)
        self._paths = set(audio)
        self._by_name: dict[str, set[str]] = defaultdict(set)
        for file in audio:
            self._by_name[fold(file.rsplit("/", 1)[-1])].add(file)
            self._by_name[fold(split_name(file)[0])].add(file)

    def find(self, cell: str, template: str | None = None) -> str | None:
        """Return the recording that a cell means, None where it means none or several."""
        text = clean_path(cell)
        if template is not None:
            text = template.replace("{}", text)
        if text in self._paths:
            return text
        if template is not None or not text:
            return None
        name = text.rsplit("/", 1)[-1]
        files = self._by_name.get(fold(name), set())
        if not files and is_audio(name):
            files = self._by_name.get(fold(split_name(name)[0]), set())
        return next(iter(files)) if len(files) == 1 else None

    def template(self, values: Sequence[str]) -> str | None:
        """Return the path, with `{}` for the value, that leads from most of the values to a file each."""
        forms: Counter[str] = Counter()
        tried = list(dict.fromkeys(value for value in values if len(value) > 1))[:N_TRIED]
        for value in tried:
            forms.update({file.replace(value, "{}", 1) for file in self.audio if value in file and "{}" not in file})
        best, count = next(iter(forms.most_common(1)), ("", 0))
        return best if count > 1 and count >= MIN_SHARE * len(tried) else None


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


def guess_path(sheets: Sequence[Sheet], index: AudioIndex) -> PathGuess | None:
    """Return the column that leads to most recordings, None where none leads to half of what it says."""
    found: list[PathGuess] = []
    for sheet in sheets:
        plain = [guess for name in sheet.columns if (guess := _try(sheet, name, None, index)) is not None]
        found += plain
        every = frozenset[str]().union(*(guess.files for guess in plain))
        if len(plain) > 1 and sum(len(guess.files) for guess in plain) == len(every):
            columns = tuple(guess.column for guess in plain)
            n_filled, n_found = sum(guess.n_filled for guess in plain), sum(guess.n_found for guess in plain)
            found.append(PathGuess(sheet, columns, None, every, n_filled, n_found))
        for name in () if plain else sheet.columns:
            template = index.template(sheet.cells(name))
            guess = None if template is None else _try(sheet, name, template, index)
            # Else it is a key that some names begin with, such as the patient's.
            if guess is not None and len(guess.files) >= MIN_SHARE_OF_FILES * len(index.audio):
                found.append(guess)
    return max(found, key=lambda guess: (len(guess.files), guess.template is None, guess.n_found), default=None)


def _try(sheet: Sheet, column: str, template: str | None, index: AudioIndex) -> PathGuess | None:
    cells = sheet.cells(column)
    files = [file for cell in cells if (file := index.find(cell, template)) is not None]
    if len(files) < MIN_SHARE * len(cells) or len(set(files)) < 2:
        return None
    return PathGuess(sheet, (column,), template, frozenset(files), len(cells), len(files))
