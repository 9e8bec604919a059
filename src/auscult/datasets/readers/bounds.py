"""What a table may take when it is unpacked: bombs are refused before anything parses them."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as arrow
import pyarrow.compute as pc
from pyarrow import parquet

from auscult.datasets.readers.reading import MalformedError

MAX_UNPACKED_BYTES = 256 << 20
MAX_CELLS = 10_000_000
"""Of a sheet, empty ones between the filled ones too: a workbook's library holds them all."""
MAX_ROWS = 10_000_000
MAX_CELL_BYTES = 1 << 17
"""One long text that is stored once gives as many copies as there are rows that refer to it."""

_READ_BYTES = 1 << 20
_OVERLAP_BYTES = 64
_REFERENCE = re.compile(rb'\br="([A-Z]{1,3})(\d{1,7})"')


def check_workbook(path: Path) -> None:
    """Refuse a workbook that unpacks to more than 256 MiB, spans ten million cells, or holds a text of 128 KiB.

    What the file claims is not believed: it is unpacked, piece by piece, and counted. Files that are no zip pass: an
    .xls cannot hold more.

    Raises:
        MalformedError: It is too large, or a damaged zip.
    """
    if not zipfile.is_zipfile(path):
        return
    n_bytes = 0
    try:
        with zipfile.ZipFile(path) as book:
            for part in book.infolist():
                corner = (0, 0)
                for before, piece in _unpacked(book, part):
                    n_bytes += len(piece)
                    if n_bytes > MAX_UNPACKED_BYTES:
                        raise MalformedError(
                            f"it unpacks to more than {MAX_UNPACKED_BYTES >> 20} MiB; save the table alone, as CSV"
                        )
                    if not part.filename.endswith(".xml"):
                        continue
                    if _has_long_text(piece):
                        raise MalformedError(
                            f"{part.filename}: a text of more than {MAX_CELL_BYTES:,} bytes; remove it"
                        )
                    corner = _corner(before + piece, corner)
                    if corner[0] * corner[1] > MAX_CELLS:
                        raise MalformedError(
                            f"{part.filename} has a cell in row {corner[0]:,} and one in column {corner[1]:,}, which "
                            f"spans more than {MAX_CELLS:,} cells; delete what lies far outside, or save it as CSV"
                        )
    except MalformedError:
        raise
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise MalformedError(f"not a workbook: {error}") from error


def _unpacked(book: zipfile.ZipFile, part: zipfile.ZipInfo) -> Iterator[tuple[bytes, bytes]]:
    """Yield a part in pieces, each behind the end of the one before; the size that it claims is not believed."""
    part.file_size = MAX_UNPACKED_BYTES + 2 * _READ_BYTES  # at its end the sum is checked, which a part of it has not
    before = b""
    with book.open(part) as file:
        while piece := file.read(_READ_BYTES):
            yield before, piece
            before = piece[-_OVERLAP_BYTES:]


def _has_long_text(piece: bytes) -> bool:
    """Tell whether as many bytes as a cell may have, counted from a multiple of it, hold no `<`."""
    starts = range(0, len(piece) - MAX_CELL_BYTES + 1, MAX_CELL_BYTES)
    return any(piece.find(b"<", start, start + MAX_CELL_BYTES) < 0 for start in starts)


def _corner(piece: bytes, corner: tuple[int, int]) -> tuple[int, int]:
    """Return the last row and the last column that a sheet names so far."""
    last_row, last_column = corner
    for letters, digits in _REFERENCE.findall(piece):
        last_row, last_column = max(last_row, int(digits)), max(last_column, _number(letters))
    return last_row, last_column


def _number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = 26 * number + letter - 64
    return number


def check_parquet(table: parquet.ParquetFile) -> None:
    """Refuse a Parquet table that claims more than ten million rows or 256 MiB.

    Raises:
        MalformedError: It is too large.
    """
    facts = table.metadata
    n_bytes = sum(facts.row_group(index).total_byte_size for index in range(facts.num_row_groups))
    if facts.num_rows > MAX_ROWS or n_bytes > MAX_UNPACKED_BYTES:
        raise MalformedError(
            f"it holds {facts.num_rows:,} rows and unpacks to {n_bytes / 2**20:,.0f} MiB; expected at most "
            f"{MAX_ROWS:,} rows and {MAX_UNPACKED_BYTES >> 20} MiB: keep the columns that the dataset's YAML names"
        )


def long_columns(table: parquet.ParquetFile) -> list[str]:
    """Return the columns of text and bytes, to be read as dictionaries: a long text is then held once."""
    fields = (arrow.types.is_string, arrow.types.is_large_string, arrow.types.is_binary, arrow.types.is_large_binary)
    return [field.name for field in table.schema_arrow if any(is_kind(field.type) for is_kind in fields)]


def check_cells(batch: arrow.RecordBatch) -> None:
    """Refuse rows with a text that no table of recordings holds.

    Raises:
        MalformedError: A cell is too long.
    """
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if isinstance(column, arrow.DictionaryArray):
            lengths = pc.call_function("binary_length", [column.dictionary])
            longest = pc.call_function("max", [lengths]).as_py() or 0
            if longest > MAX_CELL_BYTES:
                raise MalformedError(
                    f"column {name!r}: a cell of {longest:,} bytes, expected at most {MAX_CELL_BYTES:,}; drop it"
                )
