"""Excel sheets as rows of text, and columns found by their headings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from auscult.corpora.reading import MalformedError

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
