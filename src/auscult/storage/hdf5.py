"""Row stores in HDF5: one row a clip, written in blocks, whole or not there, and checked when read.

A store holds row datasets of equal length, a group `table` with one dataset per column of `tables.CLIPS`, and the
attributes `format`, `settings` (JSON), `n_rows`, `table_crc32` (JSON) and `complete`, which is set last.

A digest of the whole file stands in front of it (`storage.seal`) and is checked before HDF5 parses anything, once a
process. Chunks carry no checksum of their own: checking these took longer than the digest does. Stores of earlier
versions have such checksums and no digest; HDF5 allows none on texts of variable length: their CRC-32 stands in
`table_crc32`.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
import pandas as pd
from h5py import h5s
from numpy.typing import ArrayLike, NDArray

from auscult.errors import DataError, is_from_outside
from auscult.storage.files import atomic_path, store_key
from auscult.storage.seal import SEAL_BYTES, damage_of, seal
from auscult.storage.tables import CLIPS, validate

TEXT_COLUMNS = ("clip_id", "recording_id", "patient_id", "dataset")
NUMBER_COLUMNS = {"start_s": np.float64, "end_s": np.float64, "n_valid": np.int64}
# Reading one clip touches one chunk and no other clip, unless clips are so short that a chunk's own cost outweighs.
_SMALLEST_CHUNK_BYTES = 32_768
_TABLE_CHUNK_ROWS = 2048
# Larger chunks bypass the cache: each is written and read once, and passing it through costs as much as its checksum.
_CACHE_BYTES = _SMALLEST_CHUNK_BYTES
_KEYED_NAME = re.compile(r"-(?P<key>[0-9a-f]{12})(?P<part>-part-\d{5}-of-\d{5})?\.h5\Z")
_FILE_FORMAT = ("v110", "v110")


class StoreWriter:
    """Appends blocks of rows to an open store; made by `create_store`."""

    def __init__(self, path: Path, file: h5py.File, rows: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]]) -> None:
        """Lay out the datasets: `rows` maps a dataset's name to the type and shape of one row."""
        self._path = path
        self._datasets = {name: _row_dataset(file, name, dtype, shape) for name, (dtype, shape) in rows.items()}
        table = file.create_group("table")
        self._columns = {name: _column(table, name, h5py.string_dtype()) for name in TEXT_COLUMNS}
        self._columns |= {name: _column(table, name, dtype) for name, dtype in NUMBER_COLUMNS.items()}
        self.n_rows = 0
        self.n_table_rows = 0
        self.table_crc32 = dict.fromkeys(TEXT_COLUMNS, 0)

    def append_rows(self, **arrays: NDArray[Any]) -> None:
        """Append a block of rows: by dataset name, arrays of equal length.

        Raises:
            ValueError: If the names or shapes do not fit the store.
            DataError: If the disk is full.
        """
        if set(arrays) != set(self._datasets):
            raise ValueError(f"the store has {sorted(self._datasets)}, the block {sorted(arrays)}")
        n_rows = len(next(iter(arrays.values())))
        for name, values in arrays.items():
            expected = (n_rows, *self._datasets[name].shape[1:])
            if values.shape != expected:
                raise ValueError(f"{name}: expected shape {expected}, found {values.shape}")
        with _writing(self._path):
            for name, values in arrays.items():
                _extend(self._datasets[name], self.n_rows, values)
        self.n_rows += n_rows

    def append_table(self, table: pd.DataFrame | Mapping[str, Sequence[Any]]) -> None:
        """Append rows of `tables.CLIPS`; when the store is closed there must be as many as rows of the datasets.

        Args:
            table: A table, or its columns as lists: pandas takes longer to build a table than HDF5 to write it.

        Raises:
            DataError: If the disk is full.
        """
        columns = {name: np.asarray(table[name], NUMBER_COLUMNS.get(name, object)) for name in self._columns}
        with _writing(self._path):
            for name, values in columns.items():
                _extend(self._columns[name], self.n_table_rows, values)
        for name in TEXT_COLUMNS:
            self.table_crc32[name] = _crc32(columns[name], self.table_crc32[name])
        self.n_table_rows += len(table["clip_id"])


@contextmanager
def create_store(
    path: Path, *, kind: str, rows: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]], settings: dict[str, Any]
) -> Generator[StoreWriter]:
    """Yield a writer; on a clean exit the store stands whole under `path`, else nothing does.

    Args:
        path: The final name.
        kind: The format's name and version, such as `auscult-clips/1`.
        rows: Dataset name -> type and shape of one row.
        settings: All that shaped the rows, kept as JSON beside them.

    Raises:
        DataError: If the file cannot be written (a full disk, say).
    """
    with atomic_path(path) as temporary:
        with _writing(path):
            file = h5py.File(temporary, "w", libver=_FILE_FORMAT, rdcc_nbytes=_CACHE_BYTES, userblock_size=SEAL_BYTES)
        try:
            with _writing(path):
                writer = StoreWriter(path, file, rows)
                file.attrs["format"] = _text(kind)
                file.attrs["settings"] = _text(json.dumps(settings, sort_keys=True, allow_nan=False))
            yield writer
            if writer.n_rows != writer.n_table_rows:
                raise ValueError(f"{path}: {writer.n_rows} rows of data, {writer.n_table_rows} rows of the table")
            with _writing(path):
                file.attrs["n_rows"] = writer.n_rows
                file.attrs["table_crc32"] = _text(json.dumps(writer.table_crc32))
                file.flush()
                file.attrs["complete"] = True
                file.close()
                seal(temporary)
        except BaseException:
            # HDF5 must flush to close, and crashes at exit if it cannot: emptying the file makes room on a full disk.
            # Whatever else fails here, the first error is the one to tell.
            with suppress(OSError, RuntimeError):
                os.truncate(temporary, 0)
                file.close()
            raise


@contextmanager
def _writing(path: Path) -> Generator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise DataError(f"{path}: could not be written ({_reason(error)}); make room there and run again") from error


class StoreReader:
    """Reads a store that `create_store` wrote; a context manager.

    Each process opens the file for itself, read-only and without locks, when it first reads: a reader may be handed to
    forked or spawned workers.
    """

    KIND: str
    ROWS: tuple[str, ...]
    NOT_NAMED: tuple[str, ...] = ()
    """Settings that are known only when the store is made: its name is no hash of them."""

    def __init__(self, path: Path, *, is_checked: bool = False) -> None:
        """Open and check the store.

        Args:
            path: The file.
            is_checked: Another process has compared it with its digest.

        Raises:
            DataError: If it is not there, of another kind, incomplete or damaged.
        """
        self.path = Path(path)
        self._handle: h5py.File | None = None
        self._pid = -1
        self._table: pd.DataFrame | None = None
        self._followed: set[str] = set()
        with self._explained():
            if not is_checked and (damage := damage_of(self.path)) is not None:
                raise DataError(self._fault(f"damaged: {damage}"))
            attributes: dict[str, Any] = dict(self._file.attrs)
            found = bytes(attributes.get("format", b"")).decode()
            if found != self.KIND:
                raise DataError(self._fault(f"format {found!r}, expected {self.KIND!r}"))
            missing = [name for name in ("complete", "settings", "n_rows", "table_crc32") if name not in attributes]
            if missing or not attributes["complete"]:
                raise DataError(self._fault("incomplete: its writer did not finish"))
            self._n_rows = int(attributes["n_rows"])
            self.settings: dict[str, Any] = json.loads(attributes["settings"])
            name = _KEYED_NAME.search(self.path.name)
            named = {key: value for key, value in self.settings.items() if key not in self.NOT_NAMED}
            if name and name["key"] != (key := store_key(named, is_shard=bool(name["part"]))):
                raise DataError(self._fault(f"another store in its place: its settings have the key {key}"))
            self._table_crc32: dict[str, int] = json.loads(attributes["table_crc32"])
            for name in (*self.ROWS, *(f"table/{column}" for column in (*TEXT_COLUMNS, *NUMBER_COLUMNS))):
                if (n_rows := len(self._dataset(name))) != self._n_rows:
                    raise DataError(self._fault(f"{name!r} has {n_rows} rows, expected {self._n_rows}"))

    def __len__(self) -> int:
        return self._n_rows

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), is_checked=True), (self.path,)

    def close(self) -> None:
        """Close the file; a later reading opens it again."""
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    @property
    def table(self) -> pd.DataFrame:
        """The clip table (`tables.CLIPS`), row for row with the datasets."""
        if self._table is None:
            with self._explained():
                table = self._read_table()
            self._table = validate(table, CLIPS, str(self.path))
        return self._table

    def require_dataset(self, name: str) -> None:
        """Check that the store holds clips of one dataset alone: by its settings it may equal that of another.

        Raises:
            DataError: It holds clips of others.
        """
        others = sorted(set(self.table["dataset"]) - {name})
        if others:
            raise DataError(
                self._fault(f"another store in its place: its clips are of {', '.join(others)}, expected {name}")
            )

    def _read_table(self) -> pd.DataFrame:
        columns: dict[str, Any] = {}
        for name in CLIPS.columns:
            values = self._dataset(f"table/{name}")[:]
            if name in TEXT_COLUMNS:
                if _crc32(values, 0) != self._table_crc32[name]:
                    raise DataError(self._fault(f"damaged: column {name!r} does not match its checksum"))
                values = pd.array([value.decode() for value in values], dtype="str")
            columns[name] = values
        return pd.DataFrame(columns)

    def _read_rows(self, name: str, rows: ArrayLike) -> NDArray[Any]:
        """Read rows of a dataset in any order, duplicates allowed; each stored row is read once.

        Raises:
            IndexError: If a row is negative or beyond the end.
            DataError: If the store is damaged.
        """
        wanted = np.asarray(rows)
        if wanted.ndim != 1 or (wanted.size and wanted.dtype.kind not in "iu"):
            raise IndexError(f"rows must be a list of whole numbers, found {wanted.dtype} of shape {wanted.shape}")
        unique, inverse = np.unique(wanted.astype(np.int64), return_inverse=True)
        if unique.size and (unique[0] < 0 or unique[-1] >= self._n_rows):
            raise IndexError(
                f"{self.path}: rows {unique[0]} to {unique[-1]} asked for; it holds 0 to {self._n_rows - 1}"
            )
        with self._explained():
            dataset = self._dataset(name)
            values = np.empty((unique.size, *dataset.shape[1:]), dataset.dtype)
            edges = np.flatnonzero(np.diff(unique) != 1) + 1
            for first, last in zip([0, *edges], [*edges, unique.size], strict=True):
                if last - first == 1:
                    # Of a single row h5py's indexing is the quicker way, of a run reading in place.
                    values[first] = dataset[unique[first]]
                elif last > first:
                    dataset.read_direct(values, np.s_[unique[first] : unique[last - 1] + 1], np.s_[first:last])
        in_order = unique.size == wanted.size and bool(np.all(inverse == np.arange(unique.size)))
        return values if in_order else values[inverse]

    def _dataset(self, name: str) -> h5py.Dataset:
        if name not in self._followed:
            self._require_own(name)
            self._followed.add(name)
        dataset = self._file[name]
        if not isinstance(dataset, h5py.Dataset):
            raise DataError(self._fault(f"{name!r} is no dataset"))
        if dataset.is_virtual or dataset.external:
            raise DataError(self._fault(f"{name!r} stands for values of another file, which are never followed"))
        return dataset

    def _require_own(self, name: str) -> None:
        """Refuse a name that leads elsewhere, in this file or another one."""
        parts = name.split("/")
        for end in range(1, len(parts) + 1):
            place = "/".join(parts[:end])
            if not isinstance(self._file.get(place, getlink=True), h5py.HardLink):
                raise DataError(self._fault(f"{place!r} is a link, which is never followed"))

    @property
    def _file(self) -> h5py.File:
        if self._handle is None or self._pid != os.getpid():
            # A handle that came over a fork shares its file position with the parent: leave it, open another.
            self._handle = h5py.File(self.path, "r", locking=False, rdcc_nbytes=_CACHE_BYTES)
            self._pid = os.getpid()
        return self._handle

    @contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise DataError(f"{self.path}: no such file; run the stage that makes it") from error
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            if is_from_outside(error) or isinstance(error, PermissionError):
                raise DataError(
                    f"{self.path}: cannot be read now ({_reason(error)}); mend that, and run again"
                ) from error
            # HDF5 reports a failed checksum as OSError and broken structures as any of the others.
            raise DataError(self._fault(f"damaged or no store ({_reason(error)})")) from error

    def _fault(self, problem: str) -> str:
        return f"{self.path}: {problem}; make it again: snakemake --cores all --force {self.path}"


def _row_dataset(file: h5py.File, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> h5py.Dataset:
    row_bytes = max(1, int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize)
    chunk_rows = max(1, _SMALLEST_CHUNK_BYTES // row_bytes)
    return file.create_dataset(name, (0, *shape), dtype, maxshape=(None, *shape), chunks=(chunk_rows, *shape))


def _reason(error: Exception) -> str:
    """Return the system's own words out of HDF5's, where it quotes them; one line in any case."""
    quoted = re.search(r"error message = '([^']*)'", str(error))
    return quoted.group(1) if quoted else " ".join(str(error).split())


def _text(text: str) -> np.bytes_:
    """Return ASCII text as an attribute of fixed length: it lies in the object's header, whose checksum covers it."""
    return np.bytes_(text.encode("ascii"))


def _extend(dataset: h5py.Dataset, start: int, values: NDArray[Any]) -> None:
    if not len(values):
        return
    dataset.resize(start + len(values), axis=0)
    if values.dtype == object:
        dataset[start : start + len(values)] = values
        return
    # Straight to HDF5: h5py's indexing costs as much as the checksum of a short block.
    places = dataset.id.get_space()
    places.select_hyperslab((start, *[0] * (values.ndim - 1)), values.shape)
    dataset.id.write(h5s.create_simple(values.shape), places, np.ascontiguousarray(values))


def _column(table: h5py.Group, name: str, dtype: Any) -> h5py.Dataset:
    return table.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(_TABLE_CHUNK_ROWS,))


def _crc32(texts: NDArray[Any], crc: int) -> int:
    """Continue a CRC-32 over texts, each ended by a zero byte so that their borders count."""
    encoded = [text.encode() if isinstance(text, str) else text for text in texts]
    return zlib.crc32(b"".join(text + b"\0" for text in encoded), crc)


@dataclass(frozen=True)
class Shard:
    """One piece of a dataset: number `index`, from 0, of `count` pieces of consecutive rows that take a like time.

    >>> Shard(0, 2).bounds([1, 1, 1, 1]), Shard(1, 2).bounds([9, 1, 1, 1])
    ((0, 2), (1, 4))
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ValueError(f"shards are numbered 0 to {self.count - 1}, found {self.index}")

    def bounds(self, costs: ArrayLike) -> tuple[int, int]:
        """Return the first row of this piece and the one after its last.

        A row lies in the piece in which the middle of its cost lies.
        """
        each = np.asarray(costs, dtype=np.float64)
        middles = np.cumsum(each) - each / 2
        edges = np.array([self.index, self.index + 1]) / self.count * each.sum()
        first, last = np.searchsorted(middles, edges, side="left")
        return int(first), int(last)

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the recordings of a table that belong to this piece, in their order."""
        first, last = self.bounds(table["duration_s"].to_numpy() + RECORDING_COST_S)
        return table.iloc[first:last]


RECORDING_COST_S = 3.0
"""Opening a file takes as long as so many seconds of sound."""

WHOLE = Shard(0, 1)
"""A dataset in one piece."""
