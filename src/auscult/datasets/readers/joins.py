"""Tables of patients, visits or labels, whose columns are added to the rows that share a key with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from auscult.config.columns import JoinedTable
from auscult.config.dataset import FilesCsvDataset, LabelFoldersDataset, LabelImagesDataset, ManifestDataset
from auscult.datasets.readers.cells import known_text, tidy_id
from auscult.datasets.readers.reading import Fault
from auscult.datasets.readers.tables import check_columns, open_table, tidy
from auscult.errors import DataError
from auscult.storage.tables import Notice, Rejection


class Join:
    """One further table in memory: of each key the columns that are asked for, and nothing else.

    Args:
        root: The dataset's folder.
        settings: The table and its key.
        wanted: All columns of the dataset's settings; those that the table has are read.
        own: File and sheet of the recordings' own table. Joined to itself, it gives only what is asked of it by its
            name (`export.csv:sex`), for each row has all columns anyway.

    Raises:
        DataError: The table cannot be read, or lacks its key.
    """

    def __init__(
        self,
        root: Path,
        settings: JoinedTable,
        wanted: Iterable[str],
        *,
        own: tuple[str, str | int | None] | None = None,
    ) -> None:
        self._settings = settings
        self.file = settings.table
        self._is_own = own == (settings.table, settings.sheet)
        self.items: list[Rejection | Notice] = []
        table = open_table(root, settings.table, settings, [settings.key_column])
        check_columns(settings.table, table.columns, [settings.key_column], ())
        # A column may be asked for as `patients.csv:sex` where the recordings have one of that name too.
        self._names = {name: column for name in dict.fromkeys(wanted) if (column := self._column(name, table.columns))}
        self._rows: dict[str, tuple[str, ...]] = {}
        self._lines: dict[str, int] = {}
        self._contradicted: set[tuple[str, str]] = set()
        self._used: set[str] = set()
        self.items.extend(table.notices)
        for number, row in table.rows():
            self._add(number, row)

    def _column(self, name: str, columns: list[str]) -> str | None:
        prefix = f"{self.file}:"
        if self._is_own and not name.startswith(prefix):
            return None
        plain = tidy(name.removeprefix(prefix))
        is_key = plain == tidy(self._settings.key_column) and not name.startswith(prefix)
        return plain if plain in columns and not is_key else None

    def _add(self, number: int, row: Mapping[str, str] | Fault) -> None:
        if isinstance(row, Fault):
            self.items.append(Rejection(self.file, row.line, row.reason))
            return
        key = known_text(row[tidy(self._settings.key_column)])
        if key is None:
            reason = f"key: {self._settings.key_column} is empty; no recording can be joined to this row"
            self.items.append(Rejection(self.file, number, reason))
            return
        key = tidy_id(key)
        cells = tuple(row[column] for column in self._names.values())
        before = self._rows.setdefault(key, cells)
        first = self._lines.setdefault(key, number)
        if first == number or before == cells:
            return
        pairs = list(zip(self._names, before, cells, strict=True))
        differing = [name for name, a, b in pairs if a != b and known_text(a) and known_text(b)]
        self._contradicted.update((key, name) for name in differing)
        # Two rows that differ say nothing certain where they differ; an empty cell contradicts nothing.
        self._rows[key] = tuple(
            "" if (key, name) in self._contradicted else (a if known_text(a) else b) for name, a, b in pairs
        )
        if differing:
            text = f"differs from the rows before it, from line {first} on, in {', '.join(differing)}, "
            self.items.append(Notice("joined_twice", f"{self.file}:{number}", f"{text}which become unknown"))

    @property
    def columns(self) -> list[str]:
        """The asked-for names that this table answers."""
        return list(self._names)

    @property
    def on(self) -> str:
        """The column of the recordings that holds the key."""
        return self._settings.on

    def look_up(self, key: str | None) -> dict[str, str] | None:
        """Return the cells of a key, None where there is no such row."""
        tidy_key = "" if key is None else tidy_id(key)
        cells = self._rows.get(tidy_key)
        if cells is None:
            return None
        self._used.add(tidy_key)
        return dict(zip(self._names, cells, strict=True))

    def unused(self) -> Iterator[Notice]:
        """Yield a notice for each row that no recording was joined to."""
        for key, line in self._lines.items():
            if key not in self._used:
                yield Notice("joined_row_unused", f"{self.file}:{line}", f"no recording has the key {key!r}")


def own_table(
    settings: ManifestDataset | FilesCsvDataset | LabelFoldersDataset | LabelImagesDataset,
) -> tuple[str, str | int | None] | None:
    """Return the file and sheet that name the recordings, if a table does."""
    if isinstance(settings, LabelFoldersDataset | LabelImagesDataset):
        return None
    file = settings.manifest if isinstance(settings, ManifestDataset) else settings.info
    return None if file is None else (file, settings.table.sheet)


def refuse_double_columns(joins: Iterable[Join], columns: Iterable[str], file: str) -> None:
    """Check that each column that is asked for stands in one table only.

    Raises:
        DataError: Naming the column, its tables, and how to say which is meant.
    """
    owners = dict.fromkeys(map(tidy, columns), file)
    for join in joins:
        for name in join.columns:
            if tidy(name) in owners:
                raise DataError(
                    f"the column {name!r} stands in {owners[tidy(name)]} and in {join.file}; write "
                    f"`{join.file}:{name}` for that of {join.file}, or rename one"
                )
            owners[tidy(name)] = join.file
