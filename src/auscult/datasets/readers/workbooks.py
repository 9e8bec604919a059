"""Excel and ODS workbooks as rows of text."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from auscult.datasets.readers.bounds import check_workbook
from auscult.datasets.readers.delimited import MAX_HEADER_ROW
from auscult.datasets.readers.reading import MalformedError
from auscult.errors import nearest

Cells = Sequence[str]


def read_sheet(path: Path, sheet: str | int | None = None) -> Iterator[tuple[int, list[str]]]:
    """Yield (row number from 1, cells as stripped text) of a workbook's sheet; an empty cell is `""`.

    Args:
        path: The workbook.
        sheet: Its name, or its number from 1; None: the first.

    Raises:
        MalformedError: The file is no readable workbook or too large, or has no such sheet.
    """
    from python_calamine import CalamineError, CalamineWorkbook  # noqa: PLC0415 (needed by few readers)

    check_workbook(path)
    try:
        with CalamineWorkbook.from_path(path) as book:
            name = _sheet_name(book.sheet_names, sheet)
            rows = book.get_sheet_by_name(name).to_python(skip_empty_area=False)
    except (CalamineError, OSError) as error:
        raise MalformedError(f"not a workbook: {error}") from error
    for number, row in enumerate(rows, start=1):
        yield number, [cell_text(cell) for cell in row]


def _sheet_name(names: Sequence[str], sheet: str | int | None) -> str:
    if not names:
        raise MalformedError("not a workbook: it holds no sheet")
    if isinstance(sheet, str):
        if sheet not in names:
            close = nearest(sheet, names)
            hint = f", did you mean {close!r}?" if close else ";"
            raise MalformedError(f"sheet: there is no {sheet!r}{hint} there are {', '.join(names)}")
        return sheet
    number = 1 if sheet is None else sheet
    if number > len(names):
        raise MalformedError(f"sheet: there is no number {number}; there are {', '.join(names)}")
    return names[number - 1]


def cell_text(cell: object) -> str:
    """Return a cell as text: a whole number without a decimal point, a date in ISO form, whatever type it is stored in.

    >>> cell_text(12.0), cell_text(" Uninterpretable "), cell_text(None), cell_text(0.5)
    ('12', 'Uninterpretable', '', '0.5')
    >>> cell_text(dt.datetime(2024, 12, 31)), cell_text(dt.datetime(2024, 12, 31, 8, 30)), cell_text(True)
    ('2024-12-31', '2024-12-31 08:30:00', 'true')
    """
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, dt.datetime) and cell.time() == dt.time():
        return cell.date().isoformat()
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
