"""The clip store: `waveform` int16 [clip, sample] and the clip table, in one HDF5 file."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from auscult.config.clips import FULL_SCALE
from auscult.storage.hdf5 import StoreReader, StoreWriter, create_store

_KIND = "auscult-clips/1"


class ClipStore(StoreReader):
    """Reads clips.

    Attributes:
        settings: All settings that shaped the clips.
    """

    KIND = _KIND
    ROWS = ("waveform",)

    @property
    def n_samples(self) -> int:
        """Samples in each clip, padding included."""
        with self._explained():
            return int(self._dataset("waveform").shape[1])

    @property
    def n_valid(self) -> NDArray[np.int64]:
        """Samples of true sound in each clip, shape [clip]."""
        return self.table["n_valid"].to_numpy()

    def read(self, rows: ArrayLike) -> NDArray[np.int16]:
        """Return the waveforms of `rows` (any order, duplicates allowed), shape [row, sample].

        Raises:
            IndexError: If a row is not in the store.
            DataError: If the store is damaged.
        """
        return self._read_rows("waveform", rows)


class ClipWriter:
    """Appends clips to a store; made by `create_clips`."""

    def __init__(self, writer: StoreWriter) -> None:
        self._writer = writer

    @property
    def n_clips(self) -> int:
        """Clips written so far."""
        return self._writer.n_rows

    def append(self, table: pd.DataFrame | Mapping[str, Sequence[Any]], waveforms: NDArray[np.int16]) -> None:
        """Append rows of `tables.CLIPS`, or columns of such rows, and their waveforms, shape [clip, sample]."""
        self._writer.append_rows(waveform=waveforms)
        self._writer.append_table(table)


@contextmanager
def create_clips(path: Path, *, n_samples: int, settings: dict[str, Any]) -> Generator[ClipWriter]:
    """Yield a writer of clips; the store appears under `path` when the block ends well.

    Args:
        path: The final name.
        n_samples: Samples of each clip.
        settings: All settings that shape the clips.

    Raises:
        DataError: If the file cannot be written.
    """
    rows = {"waveform": (np.dtype(np.int16), (n_samples,))}
    with create_store(path, kind=_KIND, rows=rows, settings=settings) as writer:
        yield ClipWriter(writer)


def to_int16(waveform: NDArray[np.floating]) -> NDArray[np.int16]:
    """Return samples of [-1, 1) as int16, rounded; what lies beyond is clipped.

    >>> to_int16(np.array([-1.0, 0.0, 0.5, 1.0])).tolist()
    [-32768, 0, 16384, 32767]
    """
    scaled = waveform * np.float32(FULL_SCALE)
    np.rint(scaled, out=scaled)
    np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1, out=scaled)
    return scaled.astype(np.int16)


def to_float32(waveform: NDArray[np.int16]) -> NDArray[np.float32]:
    """Return int16 samples as float32 of [-1, 1); exact.

    >>> to_float32(np.array([-32768, 16384], np.int16)).tolist()
    [-1.0, 0.5]
    """
    samples = waveform.astype(np.float32)
    samples *= np.float32(1 / FULL_SCALE)
    return samples
