"""Text tables: which encoding and separator a file has, and its rows, one by one."""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from charset_normalizer import from_bytes

from auscult.config.columns import TableFile
from auscult.datasets.readers.reading import Fault
from auscult.errors import DataError

DELIMITERS = (",", ";", "\t", "|")
MAX_HEADER_ROW = 20
SAMPLE_BYTES = 1 << 16
MIN_EVIDENCE_BYTES = 20
"""Fewer bytes that are neither UTF-8 nor Western tell no alphabet: their rows are faults."""
_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_GUESSED = ["cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "mac_roman", "shift_jis", "gb18030", "big5", "euc_kr"]
"""What programs of the last decades wrote where it was not UTF-8."""
_WESTERN_SIGNS = (
    "\u20ac\u2013\u2014\u2018\u2019\u201c\u201d\u201e\u2026\u00b0\u00b1\u00b5\u00a0\u00a7\u00ab\u00bb\u00bd"
)


@dataclass(frozen=True)
class TextFormat:
    """How a text table is written; `is_guessed` tells whether its encoding was found by its looks alone."""

    encoding: str
    delimiter: str
    is_guessed: bool = False


def find_format(path: Path, settings: TableFile) -> TextFormat:
    """Find out how a table is written, as far as the settings do not say.

    Bytes that are no UTF-8 in a file that also holds letters in UTF-8 are damage, not another encoding: the file is
    read as UTF-8, and the rows that hold them are faults.
    """
    encoding, is_guessed = settings.encoding, False
    if encoding is None:
        encoding, is_guessed = find_encoding(_chunks(path))
    if settings.delimiter is not None:
        return TextFormat(encoding, "\t" if settings.delimiter == "tab" else settings.delimiter, is_guessed)
    with open(path, encoding=encoding, errors="surrogateescape", newline="") as stream:
        lines = stream.read(SAMPLE_BYTES).splitlines()[: MAX_HEADER_ROW + 30]
    return TextFormat(encoding, find_delimiter(lines), is_guessed)


def _chunks(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as stream:
        while chunk := stream.read(SAMPLE_BYTES):
            yield chunk


def find_encoding(chunks: Iterator[bytes]) -> tuple[str, bool]:
    """Return the encoding of a file, and whether it is a guess.

    >>> find_encoding(iter([b"sex;age"])), find_encoding(iter(["M\u00e4nnlich, \u00fcber 80".encode("cp1252")]))
    (('utf-8-sig', False), ('cp1252', True))
    """
    first = next(chunks, b"")
    for bom, name in _BOMS.items():
        if first.startswith(bom):
            return name, False
    decoder = codecs.getincrementaldecoder("utf-8")()
    strange = bytearray()
    chunk, has_utf8 = first, False
    while chunk:
        try:
            has_utf8 |= not decoder.decode(chunk).isascii()
        except UnicodeDecodeError as error:
            # The part before the fault may hold letters in UTF-8; the decoder keeps what hung over from the last chunk.
            has_utf8 |= not error.object[: error.start].isascii()
            decoder.reset()
            strange += chunk
            if len(strange) >= SAMPLE_BYTES:
                break
        chunk = next(chunks, b"")
    if not strange or has_utf8:
        return "utf-8-sig", False
    if strange.count(0) > len(strange) // 4:
        return "utf-16-le" if strange[1::2].count(0) > strange[::2].count(0) else "utf-16-be", True
    if _reads_as_western(bytes(strange)):
        return "cp1252", True
    if sum(byte > 127 for byte in strange) < MIN_EVIDENCE_BYTES:
        return "utf-8-sig", False
    best = from_bytes(bytes(strange), cp_isolation=_GUESSED).best()
    return ("cp1252" if best is None else best.encoding), True


def _reads_as_western(data: bytes) -> bool:
    """Tell whether all bytes beyond ASCII are what Western Windows writes: letters within words, and few signs."""
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        return False
    beyond = [character for character in text if not character.isascii()]
    words = re.findall(r"[^\W\d_]+", text)
    # A foreign alphabet read as Western gives words that hold nothing but accented letters.
    plain = sum(any(letter.isascii() for letter in word) for word in words)
    return all(c.isalpha() or c in _WESTERN_SIGNS for c in beyond) and 2 * plain > len(words)


def find_delimiter(lines: Sequence[str]) -> str:
    r"""Return what separates the cells: what most lines hold equally often, and at least once.

    >>> find_delimiter(["file;age", "a.wav;20,9", "b.wav;31,4"]), find_delimiter(["file\tnote", "a.wav\tx, y, z"])
    (';', '\t')
    """
    filled = [line for line in lines if line.strip()]
    best, most = ",", (0, 0)
    for delimiter in DELIMITERS:
        counts = Counter(len(row) for row in _parsed(filled, delimiter))
        several = [(n_lines, n_cells) for n_cells, n_lines in counts.items() if n_cells > 1]
        n_lines, n_cells = max(several, default=(0, 0))
        if (n_lines, n_cells) > most:
            best, most = delimiter, (n_lines, n_cells)
    return best


def _parsed(lines: Sequence[str], delimiter: str) -> Iterator[list[str]]:
    rows = csv.reader(lines, delimiter=delimiter)
    while True:
        try:
            yield next(rows)
        except StopIteration:
            return
        except csv.Error:
            continue


def read_lines(path: Path, encoding: str) -> Iterator[str]:
    """Yield a file's lines with their ends; a byte that does not fit the encoding comes as a lone surrogate."""
    with open(path, encoding=encoding, errors="surrogateescape", newline="") as stream:
        yield from stream


def parse_cells(lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str] | Fault]]:
    """Yield (line from 1, cells) of each row that is not blank; a row with broken quotes is a fault."""
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        number = rows.line_num + 1
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield number, Fault(number, f"not a row: {error}")
            continue
        if any(cell.strip() for cell in cells):
            yield number, cells


def find_row_fault(number: int, cells: Sequence[str], n_columns: int) -> Fault | None:
    """Return what is wrong with a row, None where nothing is."""
    if not all(is_text(cell) for cell in cells):
        return Fault(number, "not UTF-8: the row holds bytes that are no UTF-8 text")
    if len(cells) != n_columns:
        return Fault(number, f"columns: found {len(cells)} cells, expected {n_columns}")
    if any("\0" in cell for cell in cells):
        return Fault(number, "not text: the row holds a null character")
    return None


def is_text(text: str) -> bool:
    """Tell whether every byte of a text fitted its encoding."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def check_header(cells: Sequence[str], where: str) -> list[str]:
    """Return the names of the columns.

    Raises:
        DataError: A name is missing, stands twice, or is no text.
    """
    columns = [" ".join(cell.split()) for cell in cells]
    if not all(is_text(column) for column in columns):
        raise DataError(f"{where}: the header is not UTF-8 text; save the file as UTF-8, or say its `encoding`")
    if any(not column.isprintable() for column in columns):
        raise DataError(f"{where}: the header holds characters that cannot be printed: {columns}")
    if "" in columns or len(set(columns)) < len(columns):
        raise DataError(f"{where}: the header names a column twice, or one has no name: {columns}")
    return columns
