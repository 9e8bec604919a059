"""A delimited text file, line by line, to be damaged; what is not touched keeps its bytes."""

from __future__ import annotations

import csv
import io
import posixpath
from pathlib import Path

Cells = dict[str, str]


class RowFile:
    """A CSV or TSV whose rows are single lines, with its header on the first.

    Args:
        path: The file; the suffix `.tsv` means tabs.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._delimiter = "\t" if path.suffix == ".tsv" else ","
        content = path.read_bytes()
        self._end = b"\r\n" if b"\r\n" in content else b"\n"
        self._lines = content.removesuffix(self._end).split(self._end)
        self.columns = self._split(self._lines[0].removeprefix(b"\xef\xbb\xbf"))

    def rows(self) -> list[tuple[int, Cells]]:
        """Return each row's line and cells by column; blank lines are no rows, nor are damaged ones."""
        found: list[tuple[int, Cells]] = []
        for line, content in enumerate(self._lines[1:], start=2):
            try:
                cells = self._split(content)
            except (UnicodeDecodeError, csv.Error):
                continue
            if len(cells) == len(self.columns):
                found.append((line, dict(zip(self.columns, cells, strict=True))))
        return found

    def lines_of(self, column: str, value: str) -> list[int]:
        """Return the lines whose cell holds `value`; a path may be spelt in several ways."""
        return [line for line, cells in self.rows() if posixpath.normpath(cells[column]) == value]

    def cells(self, line: int) -> Cells:
        """Return the cells of a line by column."""
        return dict(zip(self.columns, self._split(self._lines[line - 1]), strict=True))

    def raw(self, line: int) -> bytes:
        """Return the bytes of a line, without its end."""
        return self._lines[line - 1]

    def write(self, line: int, cells: Cells) -> None:
        """Write a line anew."""
        self._lines[line - 1] = self._join(cells)

    def write_raw(self, line: int, content: bytes) -> None:
        """Write a line anew, whatever it is."""
        self._lines[line - 1] = content

    def append(self, cells: Cells) -> int:
        """Add a line; return its number."""
        self._lines.append(self._join(cells))
        return len(self._lines)

    def save(self) -> None:
        """Write the file."""
        self.path.write_bytes(self._end.join(self._lines) + self._end)

    def _split(self, content: bytes) -> list[str]:
        return next(csv.reader([content.decode("utf-8")], delimiter=self._delimiter, strict=True), [])

    def _join(self, cells: Cells) -> bytes:
        stream = io.StringIO()
        csv.writer(stream, delimiter=self._delimiter, lineterminator="").writerow(
            [cells[column] for column in self.columns]
        )
        return stream.getvalue().encode("utf-8")
