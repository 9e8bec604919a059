"""Files in the idx format of MNIST and its kin, plain or gzip: pictures and their labels, read a row at a time.

A file opens with two zero bytes, the type of its values and the number of its dimensions; each dimension follows as
four bytes, big-endian, then the values, the last dimension fastest. A picture is named by its row: `file#17`.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from auscult.errors import DataError

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

ENCODING = "IDX/L"
"""Of such a picture, as the tables name it."""
ROW_MARK = "#"
UNSIGNED_BYTES = 0x08
"""Type of the values that are read; the others (signed bytes, integers, floats) have no known white."""
MAX_SIDE_PX = 8192
MAX_BYTES = 8 << 30
"""Of a file's values: ten times the largest published set. More is taken for a damaged header or an archive bomb."""
_MAX_GZIP_RATIO = 1032
"""Deflate makes no more bytes of one (RFC 1951: 258 bytes from two bits)."""
_GZIP_MARK = b"\x1f\x8b"
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class IdxHeader:
    """What a file says of itself.

    Attributes:
        sizes: Of each dimension; the first one counts pictures or labels.
        n_header_bytes: Before the values.
    """

    sizes: tuple[int, ...]
    n_header_bytes: int

    @property
    def n_rows(self) -> int:
        """How many pictures or labels there are."""
        return self.sizes[0]

    @property
    def n_row_bytes(self) -> int:
        """Of one picture or label."""
        return math.prod(self.sizes[1:])


def row_path(file: str, row: int) -> str:
    """Return what a picture of an idx file is called, as a path.

    >>> row_path("train-images-idx3-ubyte.gz", 17)
    'train-images-idx3-ubyte.gz#17'
    """
    return f"{file}{ROW_MARK}{row}"


def split_row(path: Path) -> tuple[Path, int]:
    """Return the file and the row that a path of `row_path` means."""
    file, _, row = str(path).rpartition(ROW_MARK)
    return Path(file), int(row)


def check_idx(path: Path, n_dimensions: int) -> IdxHeader:
    """Read a file to its end, a megabyte at a time, and return its header.

    Args:
        path: The file.
        n_dimensions: It must have so many: 3 of pictures, 1 of labels.

    Raises:
        DataError: It is no idx file of unsigned bytes, is cut or damaged, or holds more than it says.
    """
    with _opened(path) as file, _faults_of(path):
        header = _read_header(path, file, n_dimensions)
        left = header.n_rows * header.n_row_bytes
        while left:
            found = len(file.read(min(left, _BLOCK_BYTES)))
            if not found:
                raise DataError(
                    f"{path}: cut: its header promises {_extent(header)}, {left:,} bytes of them are missing; download "
                    "it again"
                )
            left -= found
        if file.read(1):
            raise DataError(
                f"{path}: it goes on behind the {_extent(header)} that its header promises; download it again"
            )
    return header


def read_labels(path: Path) -> Iterator[int]:
    """Yield the labels of a file that `check_idx` has checked."""
    with _opened(path) as file, _faults_of(path):
        _read_header(path, file, 1)
        while block := file.read(_BLOCK_BYTES):
            yield from block


class IdxPictures:
    """Pictures of idx files by their row; rising rows of a file are read as they come, falling ones from its start.

    A file is closed behind its last row, and where another one is read.
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self._file: BufferedIOBase | None = None
        self._header = IdxHeader((0, 0, 0), 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file that is open."""
        if self._file is not None:
            self._file.close()
        self._path = self._file = None

    def read(self, path: Path) -> NDArray[np.uint8]:
        """Return a picture, shape [height, width].

        Args:
            path: As `row_path` names it.

        Raises:
            DataError: There is no such file or row, or it cannot be read.
        """
        file_path, row = split_row(path)
        with _faults_of(file_path):
            if self._file is None or file_path != self._path:
                self.close()
                self._file, self._path = _opened(file_path), file_path
                self._header = _read_header(file_path, self._file, 3)
            header = self._header
            if row >= header.n_rows:
                raise DataError(f"{file_path}: it has no row {row}, only {header.n_rows:,}; run ingest again")
            self._file.seek(header.n_header_bytes + row * header.n_row_bytes)
            values = self._file.read(header.n_row_bytes)
            if len(values) < header.n_row_bytes:
                raise DataError(f"{file_path}: cut: row {row} is not whole; download it again")
            if row == header.n_rows - 1:
                self.close()
        return np.frombuffer(values, dtype=np.uint8).reshape(header.sizes[1:])


def _opened(path: Path) -> BufferedIOBase:
    """Open a file, to be read as if it were not compressed.

    Raises:
        DataError: There is none.
    """
    try:
        with path.open("rb") as file:
            is_gzip = file.read(2) == _GZIP_MARK
        return gzip.open(path) if is_gzip else path.open("rb")
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror})") from error


class _faults_of:  # noqa: N801 (a context manager, used as a function)
    """Turn what gzip raises on damaged files into errors that say what to do."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, EOFError):
            raise DataError(f"{self._path}: cut: the gzip archive ends before its end; download it again") from error
        if isinstance(error, gzip.BadGzipFile | zlib.error):
            raise DataError(f"{self._path}: damaged: it cannot be unpacked ({error}); download it again") from error


def _read_header(path: Path, file: BufferedIOBase, n_dimensions: int) -> IdxHeader:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\x00\x00":
        raise DataError(
            f"{path}: magic: it begins with {magic.hex(' ') or 'nothing'}, an idx file with 00 00 08 "
            f"{n_dimensions:02d}; is it the right file, whole?"
        )
    if magic[2] != UNSIGNED_BYTES:
        raise DataError(
            f"{path}: type: its values are of type 0x{magic[2]:02x}; expected 0x08, unsigned bytes from 0 to 255"
        )
    if magic[3] != n_dimensions:
        what = "pictures (number, height, width)" if n_dimensions == 3 else "labels (number)"
        raise DataError(f"{path}: dimensions: it has {magic[3]}, {what} have {n_dimensions}")
    sizes_bytes = file.read(4 * n_dimensions)
    if len(sizes_bytes) < 4 * n_dimensions:
        raise DataError(f"{path}: cut: its header ends before its {n_dimensions} dimensions; download it again")
    header = IdxHeader(tuple(np.frombuffer(sizes_bytes, dtype=">u4").tolist()), 4 + 4 * n_dimensions)
    _check_sizes(path, header)
    return header


def _check_sizes(path: Path, header: IdxHeader) -> None:
    """Refuse sizes that no such file can have, before memory is taken for them."""
    if 0 in header.sizes or max(header.sizes[1:], default=1) > MAX_SIDE_PX:
        raise DataError(
            f"{path}: size: its header says {_extent(header)}; expected 1 or more, of at most {MAX_SIDE_PX} pixels a "
            "side"
        )
    n_bytes = header.n_rows * header.n_row_bytes
    if n_bytes > MAX_BYTES:
        raise DataError(
            f"{path}: size: its header says {_extent(header)}, {n_bytes:,} bytes; at most {MAX_BYTES:,} are taken"
        )
    n_there = path.stat().st_size
    if n_bytes > n_there * _MAX_GZIP_RATIO:
        raise DataError(
            f"{path}: cut: its header says {_extent(header)}, {n_bytes:,} bytes, which no file of {n_there:,} bytes "
            "holds; download it again"
        )


def _extent(header: IdxHeader) -> str:
    """Return what a file holds in words."""
    if len(header.sizes) == 1:
        return f"{header.n_rows:,} labels"
    return f"{header.n_rows:,} pictures of {header.sizes[2]} x {header.sizes[1]} pixels"
