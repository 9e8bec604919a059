"""What lies in a folder: recordings, tables with their headers, files beside recordings, and the rest."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from python_calamine import CalamineError, CalamineWorkbook

from auscult.config.columns import TableFile
from auscult.datasets.folder import is_audio, is_document, split_name, walk_files
from auscult.datasets.readers.bounds import check_workbook
from auscult.datasets.readers.delimited import MAX_HEADER_ROW, find_format, parse_cells, read_lines
from auscult.datasets.readers.reading import Fault, MalformedError
from auscult.datasets.readers.tables import Row, open_table, tidy
from auscult.datasets.readers.workbooks import read_sheet
from auscult.errors import DataError
from auscult.formatting.numbers import plural

TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".tab")
WORKBOOK_SUFFIXES = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
ANNOTATION_SUFFIXES = (".txt", ".csv", ".tsv", ".json", ".textgrid")
MAX_TABLES = 40
MAX_ROWS = 200_000
MAX_TABLE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Sheet:
    """A table, or one sheet of a workbook, with its rows as a reader sees them.

    Attributes:
        file: Relative to the root.
        sheet: Its name; None for the first, which needs no name.
        columns: Their names.
        rows: Cells by column.
    """

    file: str
    sheet: str | None
    columns: list[str]
    rows: list[Row]

    @property
    def title(self) -> str:
        """The file, and the sheet where it must be named."""
        return self.file if self.sheet is None else f"{self.file}, sheet {self.sheet}"

    def cells(self, column: str) -> list[str]:
        """Return a column's cells without outer blanks; empty ones are left out."""
        return [text for row in self.rows if (text := row[column].strip())]


@dataclass(frozen=True)
class Survey:
    """What a folder holds.

    Attributes:
        root: The folder.
        audio: Recordings, relative to it.
        sheets: Its tables.
        beside: Annotation file -> the recording whose name it bears.
        unused: Files that nothing was made of, with the reason.
    """

    root: Path
    audio: list[str]
    sheets: list[Sheet]
    beside: dict[str, str]
    unused: dict[str, str] = field(default_factory=dict)


def survey(root: Path) -> Survey:
    """Look at every name below a folder and into its tables.

    Raises:
        DataError: It is no folder, or holds no recording.
    """
    if not root.is_dir():
        raise DataError(f"{root}: there is no such folder; name the folder that holds your recordings")
    files = list(walk_files(root))
    audio = [file for file in files if is_audio(file)]
    if not audio:
        suffixes = sorted({split_name(file)[1] or "none" for file in files})
        of = f"; suffixes: {', '.join(suffixes)}" if files else ""
        raise DataError(f"{root}: no recording that can be read in {plural(len(files), 'file')}{of}")
    rest = [file for file in files if not is_audio(file)]
    beside = _beside(audio, rest)
    unused: dict[str, str] = {}
    sheets: list[Sheet] = []
    for file in rest:
        if file in beside:
            continue
        suffix = split_name(file)[1]
        if is_document(file) or suffix not in (*TEXT_SUFFIXES, *WORKBOOK_SUFFIXES, ".parquet"):
            unused[file] = "neither a recording that is read nor a table"
        elif len(sheets) >= MAX_TABLES:
            unused[file] = f"only {MAX_TABLES} tables are looked at"
        else:
            try:
                sheets += _open_sheets(root, file)
            except (DataError, MalformedError, CalamineError, OSError, UnicodeError) as error:
                unused[file] = str(error).replace(f"{root}/", "")
    return Survey(root, audio, sheets, beside, unused)


def _beside(audio: Sequence[str], rest: Sequence[str]) -> dict[str, str]:
    """Return annotation file -> recording, for the files that bear a recording's name, with or without an ending."""
    by_stem: dict[str, list[str]] = defaultdict(list)
    for file in audio:
        by_stem[split_name(file)[0].casefold()].append(file)
    found: dict[str, str] = {}
    for file in rest:
        stem, suffix = split_name(file)
        if suffix not in ANNOTATION_SUFFIXES:
            continue
        text = stem.casefold()
        while text and text not in by_stem:
            text = re.sub(r"(^|[\W_]+)[^\W_]*$", "", text)
        if text:
            found[file] = by_stem[text][0]
    return found


def _open_sheets(root: Path, file: str) -> Iterator[Sheet]:
    path = root / file
    if path.stat().st_size > MAX_TABLE_BYTES:
        raise DataError(f"{file}: too large to look at")
    suffix = split_name(file)[1]
    if suffix not in WORKBOOK_SUFFIXES:
        yield _open(root, file, None, [] if suffix == ".parquet" else _text_head(path))
        return
    check_workbook(path)
    with CalamineWorkbook.from_path(path) as book:
        names = book.sheet_names
    for number, name in enumerate(names):
        head = [cells for _, cells in islice(read_sheet(path, name), MAX_HEADER_ROW)]
        if sum(any(cells) for cells in head) > 1:
            yield _open(root, file, name if number else None, head)


def _text_head(path: Path) -> list[list[str]]:
    text = find_format(path, TableFile())
    rows = islice(parse_cells(read_lines(path, text.encoding), text.delimiter), MAX_HEADER_ROW)
    return [cells for _, cells in rows if not isinstance(cells, Fault)]


def _open(root: Path, file: str, sheet: str | None, head: list[list[str]]) -> Sheet:
    table = open_table(root, file, TableFile(sheet=sheet), find_header(head))
    rows = [row for _, row in islice(table.rows(), MAX_ROWS) if not isinstance(row, Fault)]
    if not rows:
        raise DataError(f"{file}: a header and no rows")
    return Sheet(file, sheet, table.columns, rows)


def find_header(head: Sequence[Sequence[str]]) -> list[str]:
    """Return the names in the first row that is nearly as full as any and holds words.

    >>> find_header([["Station 4", "", ""], ["Pat", "Alter", "Befund"], ["1", "20,9", "RG"]])
    ['Pat', 'Alter', 'Befund']
    """
    most = max((sum(bool(cell.strip()) for cell in cells) for cells in head), default=0)
    for cells in head:
        names = [tidy(cell) for cell in cells if cell.strip()]
        words = [name for name in names if not re.fullmatch(r"[\d.,:\-/ ]+", name)]
        if names and len(names) >= 0.7 * most and len(words) >= 0.7 * len(names) and len(set(names)) == len(names):
            return names
    return []
