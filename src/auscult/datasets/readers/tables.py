"""Rows of a CSV, TSV, Parquet or Excel table as text by column; a broken row is a fault, not the end."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as arrow
from pyarrow import parquet

from auscult.datasets.readers.reading import Fault, MalformedError
from auscult.errors import DataError, unknown_name

Row = dict[str, str]
DELIMITERS = {".csv": ",", ".tsv": "\t"}


def read_rows(path: Path) -> tuple[list[str], Iterator[tuple[int, Row | Fault]]]:
    """Return the columns of a table, and its rows by number.

    A row's number is its line in a CSV or TSV, its place from 1 in a Parquet file.

    Raises:
        DataError: The file is missing, of another kind, or without a usable header.
    """
    suffix = path.suffix.lower()
    if suffix != ".parquet" and suffix not in DELIMITERS:
        raise DataError(f"{path}: found suffix {suffix!r}, expected .csv (commas), .tsv (tabs) or .parquet")
    if not path.is_file():
        raise DataError(f"{path}: no such file; `manifest` in the dataset's YAML must name a table below its root")
    rows = _read_parquet(path) if suffix == ".parquet" else parse_delimited(_lines(path), DELIMITERS[suffix], str(path))
    _, columns = next(rows)
    if isinstance(columns, Fault):
        raise DataError(f"{path}: {columns.reason}")
    return list(columns), rows


def require_rows(file: str, rows: Iterator[tuple[int, Row | Fault]]) -> Iterator[tuple[int, Row | Fault]]:
    """Pass the rows on.

    Raises:
        DataError: There is none.
    """
    empty = True
    for row in rows:
        empty = False
        yield row
    if empty:
        raise DataError(f"{file} has a header and no rows; expected at least one for each recording")


def check_columns(file: str, columns: list[str], wanted: Iterable[str], groups: list[str]) -> None:
    """Check that each wanted name is a column, or a group of the pattern, and not both.

    Raises:
        DataError: Naming the first that is not, and the nearest match.
    """
    for name in wanted:
        if name not in columns and name not in groups:
            hint = _separator_hint(columns)
            raise DataError(f"{file}: {unknown_name('column', name, [*columns, *groups])}{hint}")
        if name in columns and name in groups:
            raise DataError(f"{file}: {name!r} is a column and a group of the pattern; rename the group")


def _separator_hint(columns: list[str]) -> str:
    """Return what to do when all columns were read as one.

    >>> _separator_hint(["file", "label"]), _separator_hint(["file;label"])[:37]
    ('', '; the columns seem to be separated by')
    """
    for separator, name in ((";", "';'"), ("\t", "tabs"), (",", "','")):
        if len(columns) == 1 and separator in columns[0]:
            return f"; the columns seem to be separated by {name}; save it as .csv with commas, or as .tsv with tabs"
    return ""


def _lines(path: Path) -> Iterator[str]:
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
        yield from stream


def parse_delimited(lines: Iterable[str], delimiter: str, where: str) -> Iterator[tuple[int, Row | Fault]]:
    r"""Yield the header (a row whose keys are the columns), then each row that is not blank.

    Args:
        lines: Text decoded with `surrogateescape`: a byte that is no UTF-8 makes its row a fault.
        delimiter: Between cells.
        where: The file, for messages.

    Raises:
        DataError: There is no header, or it is empty in places, repeated or not UTF-8.

    >>> rows = list(parse_delimited(["path,label\r\n", "a.wav,1\r\n", "b.wav"], ",", "manifest.csv"))
    >>> rows[1], rows[2][1].reason
    ((2, {'path': 'a.wav', 'label': '1'}), 'columns: found 1 cells, expected 2')
    """
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    columns: list[str] | None = None
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            if columns is None:
                raise DataError(f"{where}: the header cannot be read ({error})") from None
            yield number, Fault(number, f"not a row: {error}")
            continue
        if not any(cell.strip() for cell in cells):
            continue
        if columns is None:
            columns = _check_header(cells, where)
            yield number, dict.fromkeys(columns, "")
            continue
        fault = _find_fault(number, cells, len(columns))
        yield number, fault or dict(zip(columns, cells, strict=True))
    if columns is None:
        raise DataError(f"{where}: the table is empty; expected a header and rows")


def _check_header(cells: list[str], where: str) -> list[str]:
    columns = [cell.strip() for cell in cells]
    if any(not column.isprintable() or not _is_utf8(column) for column in columns):
        raise DataError(f"{where}: the header is not UTF-8 text; save the file as UTF-8")
    if "" in columns or len(set(columns)) < len(columns):
        raise DataError(f"{where}: the header names a column twice, or one has no name: {columns}")
    return columns


def _find_fault(number: int, cells: list[str], n_columns: int) -> Fault | None:
    if not all(_is_utf8(cell) for cell in cells):
        return Fault(number, "not UTF-8: the row holds bytes that are no UTF-8 text")
    if len(cells) != n_columns:
        return Fault(number, f"columns: found {len(cells)} cells, expected {n_columns}")
    if any("\0" in cell for cell in cells):
        return Fault(number, "not text: the row holds a null character")
    return None


def _is_utf8(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _read_parquet(path: Path) -> Iterator[tuple[int, Row | Fault]]:
    try:
        with parquet.ParquetFile(path) as table:
            names = list(table.schema_arrow.names)
            yield 0, dict.fromkeys(_check_header(names, str(path)), "")
            number = 0
            for batch in table.iter_batches(batch_size=4096, use_threads=False):
                for values in batch.to_pylist():
                    number += 1
                    cells = [cell_text(values[name]) for name in names]
                    yield number, _find_fault(number, cells, len(names)) or dict(zip(names, cells, strict=True))
    except (OSError, arrow.ArrowInvalid) as error:
        raise DataError(f"{path}: not a readable Parquet table ({error})") from error


MAX_HEADER_ROW = 20
Cells = Sequence[str]


def read_sheet(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (row number from 1, cells as stripped text) of a workbook's first sheet; an empty cell is `""`.

    Raises:
        MalformedError: The file is no readable workbook.
    """
    import openpyxl  # noqa: PLC0415 (one second, needed by two readers alone)

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        try:
            rows = [[cell_text(cell) for cell in row] for row in book.worksheets[0].iter_rows(values_only=True)]
        finally:
            book.close()
    except Exception as error:
        # A damaged workbook raises whatever its zip, XML or styles break on; there is no common base class.
        raise MalformedError(f"not a workbook: {type(error).__name__}: {error}") from error
    yield from enumerate(rows, start=1)


def cell_text(cell: object) -> str:
    """Return a cell as text: a whole number without a decimal point, whatever type Excel stored it in.

    >>> cell_text(12.0), cell_text(" Uninterpretable "), cell_text(None), cell_text(0.5)
    ('12', 'Uninterpretable', '', '0.5')
    """
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def find_columns(rows: Iterable[tuple[int, Cells]], headings: Sequence[str]) -> tuple[int, dict[str, int]]:
    """Return the number of the header row and, for each heading, its column; case and outer blanks do not count.

    Raises:
        MalformedError: No row among the first 20 holds all headings, or one holds a heading twice.
    """
    wanted = [heading.lower() for heading in headings]
    first: list[str] = []
    for number, cells in rows:
        if number > MAX_HEADER_ROW:
            break
        found = [cell.strip().lower() for cell in cells]
        first = first or [cell for cell in cells if cell][:12]
        if all(heading in found for heading in wanted):
            twice = [heading for heading in headings if found.count(heading.lower()) > 1]
            if twice:
                raise MalformedError(f"header: row {number} holds {', '.join(twice)} more than once")
            return number, {heading: found.index(heading.lower()) for heading in headings}
    raise MalformedError(f"header: no row holds all of {', '.join(headings)}; the first row is {first}")


def cell_at(cells: Cells, column: int) -> str:
    """Return one cell; rows end at their last filled cell, what lies beyond is empty."""
    return cells[column] if column < len(cells) else ""
