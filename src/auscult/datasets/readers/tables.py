"""Rows of a CSV, TSV, Excel, ODS or Parquet table as text by column; a broken row is a fault, not the end."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as arrow
from pyarrow import parquet

from auscult.config.columns import TableFile
from auscult.datasets.readers.bounds import check_cells, check_parquet, long_columns
from auscult.datasets.readers.delimited import (
    MAX_HEADER_ROW,
    TextFormat,
    check_header,
    find_format,
    find_row_fault,
    parse_cells,
    read_lines,
)
from auscult.datasets.readers.reading import Fault, MalformedError
from auscult.datasets.readers.workbooks import cell_text, read_sheet
from auscult.errors import DataError, unknown_name
from auscult.storage.tables import Notice

Row = dict[str, str]
Numbered = tuple[int, list[str] | Fault]
_WORKBOOK_MAGIC = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_PARQUET_MAGIC = b"PAR1"


class _Source:
    """The rows of a table's file, whatever kind it is; what kind, and how it is written, is found once."""

    def __init__(self, path: Path, settings: TableFile) -> None:
        self._path = path
        self.text: TextFormat | None = None
        self._sheet: list[Numbered] = []
        with _as_data_error(path):
            with open(path, "rb") as stream:
                magic = stream.read(4)
            self._is_parquet = magic == _PARQUET_MAGIC
            if magic in _WORKBOOK_MAGIC:
                # A workbook is read as a whole in any case.
                self._sheet = [(number, cells) for number, cells in read_sheet(path, settings.sheet) if any(cells)]
            elif not self._is_parquet:
                self.text = find_format(path, settings)

    def cells(self) -> Iterator[Numbered]:
        """Yield (line or row from 1, cells) of each row that is not blank."""
        with _as_data_error(self._path):
            if self._is_parquet:
                yield from _parquet_cells(self._path)
            elif self.text is not None:
                yield from parse_cells(read_lines(self._path, self.text.encoding), self.text.delimiter)
            else:
                yield from self._sheet


@contextmanager
def _as_data_error(path: Path) -> Generator[None]:
    try:
        yield
    except MalformedError as error:
        raise DataError(f"{path}: {error}") from error
    except (OSError, UnicodeError, arrow.ArrowInvalid) as error:
        raise DataError(f"{path}: not a readable table ({error})") from error


@dataclass(frozen=True)
class Table:
    """A table whose header was found.

    Attributes:
        file: Its path relative to the root, for messages.
        columns: Their names; a column without a name is left out.
        notices: How it was read, where that is worth a word.
    """

    file: str
    columns: list[str]
    notices: list[Notice]
    _source: _Source
    _header_row: int
    _places: list[int]
    _n_cells: int

    def rows(self) -> Iterator[tuple[int, Row | Fault]]:
        """Yield (line or row from 1, cells by column), reading the file anew.

        Raises:
            DataError: The file has become unreadable.
        """
        for number, cells in self._source.cells():
            if number <= self._header_row:
                continue
            fault = cells if isinstance(cells, Fault) else find_row_fault(number, cells, self._n_cells)
            if isinstance(cells, Fault) or fault is not None:
                yield number, fault or Fault(number, "not a row")
                continue
            yield number, {name: cells[place] for name, place in zip(self.columns, self._places, strict=True)}


def open_table(root: Path, file: str, settings: TableFile, wanted: Iterable[str] = ()) -> Table:
    """Find a table's header: the row that the settings name, or the first of 20 that holds all `wanted` columns.

    Args:
        root: The dataset's folder.
        file: The table, relative to it.
        settings: How it is written, where that is not found out.
        wanted: Columns that the header holds; those that it lacks are the business of `check_columns`.

    Raises:
        DataError: The file is missing or unreadable, or without a usable header.
    """
    path = root / file
    if not path.is_file():
        raise DataError(f"{path}: no such file; the dataset's YAML must name a table below its root")
    source = _Source(path, settings)
    head = list(islice(source.cells(), MAX_HEADER_ROW))
    number, cells = _find_header(head, settings, {tidy(name) for name in wanted}, str(path))
    named = [(place, name) for place, name in enumerate(map(tidy, cells)) if name]
    columns = check_header([name for _, name in named], str(path))
    places = [place for place, _ in named]
    return Table(file, columns, _notices(file, source.text), source, number, places, len(cells))


def _find_header(
    head: Sequence[Numbered], settings: TableFile, wanted: set[str], where: str
) -> tuple[int, Sequence[str]]:
    rows = [(number, cells) for number, cells in head if not isinstance(cells, Fault)]
    if settings.header_row is not None:
        for number, cells in rows:
            if number == settings.header_row:
                return number, cells
        raise DataError(f"{where}: header_row is {settings.header_row}, and that row is empty or not there")
    for number, cells in rows:
        if wanted and wanted <= {tidy(cell) for cell in cells}:
            return number, cells
    if head and isinstance(head[0][1], Fault):
        raise DataError(f"{where}: the header cannot be read ({head[0][1].reason})")
    if not rows:
        raise DataError(f"{where}: the table is empty; expected a header and rows")
    return rows[0]


def tidy(name: str) -> str:
    """Return a column's name with single blanks; no-break spaces and line ends in a heading are blanks too."""
    return " ".join(name.split())


def _parquet_cells(path: Path) -> Iterator[Numbered]:
    with parquet.ParquetFile(path) as table:
        check_parquet(table)
        texts = long_columns(table)
    with parquet.ParquetFile(path, read_dictionary=texts) as table:
        names = list(table.schema_arrow.names)
        yield 0, names
        number = 0
        for batch in table.iter_batches(batch_size=4096, use_threads=False):
            check_cells(batch)
            for values in batch.to_pylist():
                number += 1
                yield number, [cell_text(values[name]) for name in names]


def _notices(file: str, text: TextFormat | None) -> list[Notice]:
    if text is None or not text.is_guessed:
        return []
    words = f"the table is not UTF-8; it was read as {text.encoding}, by its looks: `encoding` in the YAML says it"
    return [Notice("table_encoding", file, words)]


def check_columns(file: str, columns: list[str], wanted: Iterable[str], groups: Iterable[str]) -> None:
    """Check that each wanted name is a column, or a group of the pattern, and not both.

    Raises:
        DataError: Naming the first that is not, and the nearest match.
    """
    names = list(groups)
    for name in wanted:
        if tidy(name) not in columns and name not in names:
            raise DataError(f"{file}: {unknown_name('column', name, [*columns, *names])}")
        if tidy(name) in columns and name in names:
            raise DataError(f"{file}: {name!r} is a column and a group of the pattern; rename the group")
