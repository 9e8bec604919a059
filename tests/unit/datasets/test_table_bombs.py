"""Tables that unpack to far more than they take are refused before anything parses them."""

import io
import zipfile
from pathlib import Path

import openpyxl
import pyarrow as arrow
import pytest
from pyarrow import parquet

from auscult.config.columns import TableFile
from auscult.datasets.readers import bounds
from auscult.datasets.readers.tables import open_table
from auscult.errors import DataError

MIB = 1 << 20
SHEET = "xl/worksheets/sheet1.xml"


def workbook(path: Path, **parts: bytes) -> None:
    """A whole workbook, some parts of it replaced."""
    whole = io.BytesIO()
    book = openpyxl.Workbook()
    book.active.append(["file", "who"])
    book.active.append(["a.wav", "P1"])
    book.save(whole)
    replaced = {"sheet": SHEET, "strings": "xl/sharedStrings.xml"}
    new = {replaced[name]: content for name, content in parts.items()}
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name in {*old.namelist(), *new}:
            made.writestr(name, new[name] if name in new else old.read(name))


def read(path: Path) -> list[dict[str, str]]:
    return [row for _, row in open_table(path.parent, path.name, TableFile(), ["file"]).rows()]


def refused(path: Path, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        read(path)


def sheet(cells: str) -> bytes:
    head = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
    return f"{head}{cells}</sheetData></worksheet>".encode()


@pytest.fixture(autouse=True)
def _small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_UNPACKED_BYTES", 8 * MIB)
    monkeypatch.setattr(bounds, "MAX_ROWS", 100_000)


def test_a_small_workbook_is_read_and_one_that_unpacks_to_far_more_is_not(tmp_path: Path) -> None:
    workbook(tmp_path / "fine.xlsx")
    assert read(tmp_path / "fine.xlsx") == [{"file": "a.wav", "who": "P1"}]
    workbook(tmp_path / "bomb.xlsx", sheet=b"<a/>" * (10 * MIB // 4))
    assert (tmp_path / "bomb.xlsx").stat().st_size < MIB / 10
    refused(tmp_path / "bomb.xlsx", "unpacks to more than 8 MiB")


def test_the_size_that_a_part_claims_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "bomb.xlsx"
    workbook(path, sheet=b"<a/>" * (10 * MIB // 4))
    content = path.read_bytes()
    true_size = (10 * MIB).to_bytes(4, "little")
    assert content.count(true_size) == 2
    path.write_bytes(content.replace(true_size, (400).to_bytes(4, "little")))
    refused(path, "unpacks to more than 8 MiB")


def test_a_cell_far_outside_and_a_text_without_end_are_refused(tmp_path: Path) -> None:
    first = '<row r="1"><c r="A1"><v>1</v></c></row>'
    workbook(tmp_path / "far.xlsx", sheet=sheet(f'{first}<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'))
    refused(tmp_path / "far.xlsx", r"row 1,048,576 and one in column 16,384")
    workbook(tmp_path / "long.xlsx", strings=b"<sst><si><t>" + b"a" * MIB + b"</t></si></sst>")
    refused(tmp_path / "long.xlsx", "a text of more than 131,072 bytes")


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"file": arrow.array(["x" * MIB] * 500).dictionary_encode()}, "a cell of 1,048,576 bytes"),
        ({"file": arrow.nulls(100_001, arrow.string())}, "100,001 rows"),
        ({"file": arrow.array(["a"]), "wide": arrow.array([bytes(10 * MIB)])}, "unpacks to 10 MiB"),
    ],
    ids=["one text, many rows", "rows", "column"],
)
def test_parquet_bombs_are_refused(tmp_path: Path, columns: dict[str, arrow.Array], reason: str) -> None:
    path = tmp_path / "bomb.parquet"
    parquet.write_table(arrow.table(columns), path, compression="zstd")
    assert path.stat().st_size < 1 << 20
    refused(path, reason)
