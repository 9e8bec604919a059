"""The feature store: spectrograms in dB and, per clip, the sums that give any split its exact mean and deviation."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from auscult.stores import StoreReader, StoreWriter, create_store

_KIND = "auscult-features/1"
_SUMS_BLOCK_ROWS = 16_384


class FeatureStore(StoreReader):
    """Reads spectrograms.

    Attributes:
        settings: All settings that shaped the spectrograms.
    """

    KIND = _KIND
    ROWS = ("spectrogram", "sum", "sum_sq", "n_frames_valid")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Clips, mel bands, frames."""
        with self._explained():
            n_clips, n_mels, n_frames = self._dataset("spectrogram").shape
        return int(n_clips), int(n_mels), int(n_frames)

    def read(self, rows: ArrayLike) -> NDArray[np.float16]:
        """Return the spectrograms of `rows` (any order, duplicates allowed) in dB, shape [row, mel, frame].

        Raises:
            IndexError: If a row is not in the store.
            DataError: If the store is damaged.
        """
        return self._read_rows("spectrogram", rows)

    def n_frames_valid(self, rows: ArrayLike) -> NDArray[np.int32]:
        """Return the frames of true sound of each of `rows`, shape [row]."""
        return self._read_rows("n_frames_valid", rows)

    def sums(self, rows: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
        """Return sum [mel], sum of squares [mel] and number of the frames of true sound of `rows`, in dB.

        A row given twice counts twice. No spectrogram is read for it.
        """
        wanted = np.asarray(rows)
        total = np.zeros(self.shape[1])
        total_sq = np.zeros(self.shape[1])
        n_frames = 0
        for start in range(0, len(wanted), _SUMS_BLOCK_ROWS):
            block = wanted[start : start + _SUMS_BLOCK_ROWS]
            total += self._read_rows("sum", block).sum(axis=0)
            total_sq += self._read_rows("sum_sq", block).sum(axis=0)
            n_frames += int(self.n_frames_valid(block).sum())
        return total, total_sq, n_frames


class FeatureWriter:
    """Appends spectrograms to a store and sums them; made by `create_features`."""

    def __init__(self, writer: StoreWriter) -> None:
        self._writer = writer

    def append(self, table: pd.DataFrame, spectrograms: NDArray[Any], n_frames_valid: NDArray[np.integer]) -> None:
        """Append a block.

        Args:
            table: Rows of `tables.CLIPS`.
            spectrograms: In dB, shape [clip, mel, frame]; stored as float16.
            n_frames_valid: Frames of true sound, counted from the first, shape [clip].
        """
        stored = spectrograms.astype(np.float16, copy=False)
        total, total_sq = _sum_valid(stored, n_frames_valid)
        self._writer.append(
            table, spectrogram=stored, sum=total, sum_sq=total_sq, n_frames_valid=n_frames_valid.astype(np.int32)
        )


@contextmanager
def create_features(path: Path, *, n_mels: int, n_frames: int, settings: dict[str, Any]) -> Generator[FeatureWriter]:
    """Yield a writer of spectrograms of shape [n_mels, n_frames]; the store appears when the block ends well.

    Raises:
        DataError: If the file cannot be written.
    """
    rows: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {
        "spectrogram": (np.dtype(np.float16), (n_mels, n_frames)),
        "sum": (np.dtype(np.float64), (n_mels,)),
        "sum_sq": (np.dtype(np.float64), (n_mels,)),
        "n_frames_valid": (np.dtype(np.int32), ()),
    }
    with create_store(path, kind=_KIND, rows=rows, settings=settings) as writer:
        yield FeatureWriter(writer)


def write_features(
    path: Path,
    table: pd.DataFrame,
    spectrograms: NDArray[Any],
    n_frames_valid: NDArray[np.integer],
    settings: dict[str, Any],
) -> None:
    """Write a whole store at once: rows of `tables.CLIPS`, dB [clip, mel, frame], frames of true sound [clip]."""
    _, n_mels, n_frames = spectrograms.shape
    with create_features(path, n_mels=n_mels, n_frames=n_frames, settings=settings) as writer:
        writer.append(table, spectrograms, n_frames_valid)


def _sum_valid(
    spectrograms: NDArray[np.float16], n_frames_valid: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum what is stored, not what was computed: the square of a float16 is exact in float32, its sum in float64."""
    frames = np.arange(spectrograms.shape[2])
    is_valid = (frames < n_frames_valid[:, None]).astype(np.float32)
    values = spectrograms.astype(np.float32) * is_valid[:, None, :]
    return values.sum(axis=2, dtype=np.float64), np.square(values).sum(axis=2, dtype=np.float64)
