"""Writing and changing .xlsx files that are the same bytes whenever they are written."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openpyxl import Workbook, load_workbook

Cell = str | int | float | None

_EPOCH = (1980, 1, 1, 0, 0, 0)
_MODIFIED = re.compile(rb"(<dcterms:(?:created|modified)[^>]*>)[^<]*(<)")


def write_xlsx(path: Path, rows: list[list[Cell]], extra: Mapping[str, Cell] | None = None) -> None:
    """Write one sheet.

    Args:
        path: The file.
        rows: Cells by row, the header first.
        extra: Further cells by their address, such as `{"J2": "legend"}`.
    """
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    for row in rows:
        sheet.append(row)
    for address, value in (extra or {}).items():
        sheet[address] = value
    _save(book, path)


class Sheet:
    """The first sheet of a file, cells by row and heading, to be changed and saved.

    Args:
        path: An .xlsx with its headings in row 1.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._book = load_workbook(path)
        self._sheet: Any = self._book.active
        self._columns = {cell.value: cell.column for cell in self._sheet[1] if cell.value is not None}

    @property
    def n_rows(self) -> int:
        """Number of the last row that holds anything."""
        return self._sheet.max_row

    def read(self, row: int, heading: str) -> Any:
        """Return a cell."""
        return self._sheet.cell(row, self._columns[heading]).value

    def write(self, row: int, heading: str, value: Cell) -> None:
        """Set a cell."""
        self._sheet.cell(row, self._columns[heading]).value = value

    def save(self) -> None:
        """Write the file anew."""
        _save(self._book, self._path)


def _save(book: Workbook, path: Path) -> None:
    buffer = io.BytesIO()
    book.save(buffer)
    path.write_bytes(without_times(buffer.getvalue()))


def without_times(document: bytes) -> bytes:
    """Return a zipped office document with all its time stamps set to a fixed one."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(document)) as old, zipfile.ZipFile(result, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "docProps/core.xml":
                content = _MODIFIED.sub(rb"\g<1>2000-01-01T00:00:00Z\g<2>", content)
            info = zipfile.ZipInfo(name, _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            new.writestr(info, content)
    return result.getvalue()
