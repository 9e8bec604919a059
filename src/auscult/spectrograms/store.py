"""The feature store: spectrograms in dB and, per clip, the sums that give any split its exact mean and deviation.

Of pictures it holds these, [channel, height, width] from 0 to 255, where a spectrogram would be, and perhaps their
label images.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from auscult.errors import DataError
from auscult.storage.hdf5 import StoreReader, StoreWriter, create_store

_KIND = "auscult-features/1"
_SUMS_BLOCK_ROWS = 16_384
_LABELS = "labels"


class Sums(NamedTuple):
    """What the mean and deviation of some clips are computed from.

    Attributes:
        sum: Over the frames of true sound, float64 [clip, mel].
        sum_sq: Of their squares, float64 [clip, mel].
        n_frames_valid: Frames of true sound, int32 [clip].
    """

    sum: NDArray[np.float64]
    sum_sq: NDArray[np.float64]
    n_frames_valid: NDArray[np.int32]


class FeatureStore(StoreReader):
    """Reads spectrograms.

    Attributes:
        settings: All settings that shaped the spectrograms.
    """

    KIND = _KIND
    ROWS = ("spectrogram", "sum", "sum_sq", "n_frames_valid")

    @property
    def shape(self) -> tuple[int, ...]:
        """Clips, mel bands, frames; of pictures clips, channels, height, width."""
        with self._explained():
            return tuple(int(size) for size in self._dataset("spectrogram").shape)

    @property
    def has_labels(self) -> bool:
        """Whether it holds pictures with their label images."""
        with self._explained():
            return _LABELS in self._file

    def labels(self, rows: ArrayLike) -> NDArray[np.uint16]:
        """Return the label images of `rows`, shape [row, height, width]: 0, 1 (too hard), objects from 2 on.

        Raises:
            IndexError: If a row is not in the store.
            DataError: If the store is damaged, or holds none.
        """
        if not self.has_labels:
            raise DataError(
                f"{self.path}: its pictures have no label images, by which objects are learned; take a dataset in the "
                "layout label_images"
            )
        return self._read_rows(_LABELS, rows)

    def read(self, rows: ArrayLike) -> NDArray[np.float16]:
        """Return the spectrograms of `rows` (any order, duplicates allowed) in dB, shape [row, mel, frame].

        Of pictures these, shape [row, channel, height, width].

        Raises:
            IndexError: If a row is not in the store.
            DataError: If the store is damaged.
        """
        return self._read_rows("spectrogram", rows)

    def n_frames_valid(self, rows: ArrayLike) -> NDArray[np.int32]:
        """Return the frames of true sound of each of `rows`, shape [row]."""
        return self._read_rows("n_frames_valid", rows)

    def sums(self, rows: ArrayLike) -> Generator[Sums]:
        """Yield, for blocks of `rows` in their order, the sums over the frames of true sound of each clip, in dB.

        A row given twice comes twice. No spectrogram is read for it.
        """
        wanted = np.asarray(rows)
        for start in range(0, len(wanted), _SUMS_BLOCK_ROWS):
            block = wanted[start : start + _SUMS_BLOCK_ROWS]
            yield Sums(self._read_rows("sum", block), self._read_rows("sum_sq", block), self.n_frames_valid(block))


class SummedSpectrograms(NamedTuple):
    """A block of spectrograms as it is stored; made by `sum_spectrograms`.

    Of pictures bands are channels, and frames of true sound are unpadded pixels.

    Attributes:
        spectrogram: In dB, float16 [clip, mel, frame].
        sum: Over the frames of true sound, float64 [clip, mel].
        sum_sq: Of their squares, float64 [clip, mel].
        n_frames_valid: Frames of true sound, counted from the first, int32 [clip].
    """

    spectrogram: NDArray[np.float16]
    sum: NDArray[np.float64]
    sum_sq: NDArray[np.float64]
    n_frames_valid: NDArray[np.int32]


def sum_spectrograms(spectrograms: NDArray[np.floating], n_frames_valid: NDArray[np.integer]) -> SummedSpectrograms:
    """Round spectrograms in dB, shape [clip, mel, frame], to float16 and sum what is stored over `n_frames_valid`.

    >>> block = sum_spectrograms(np.array([[[-10.0, -20.0, -100.0]]]), np.array([2]))
    >>> block.sum.tolist(), block.sum_sq.tolist()
    ([[-30.0]], [[500.0]])
    """
    stored = spectrograms.astype(np.float16, copy=False)
    totals = np.empty(stored.shape[:2])
    totals_sq = np.empty(stored.shape[:2])
    # One at a time: a clip's values stay in the processor's cache. A float16 and its square are exact in float64.
    for index, (spectrogram, n_frames) in enumerate(zip(stored, n_frames_valid, strict=True)):
        values = spectrogram[:, :n_frames].astype(np.float64)
        values.sum(axis=1, out=totals[index])
        np.vecdot(values, values, out=totals_sq[index])
    return SummedSpectrograms(stored, totals, totals_sq, n_frames_valid.astype(np.int32))


class FeatureWriter:
    """Appends spectrograms to a store; made by `create_features`."""

    def __init__(self, writer: StoreWriter) -> None:
        self._writer = writer

    def append(self, block: SummedSpectrograms, labels: NDArray[np.uint16] | None = None) -> None:
        """Append the spectrograms of the next rows of the table; of pictures with label images also these."""
        self._writer.append_rows(**block._asdict(), **({} if labels is None else {_LABELS: labels}))

    def append_table(self, table: pd.DataFrame) -> None:
        """Append rows of `tables.CLIPS`, where `create_features` was given none."""
        self._writer.append_table(table)


@contextmanager
def create_features(
    path: Path,
    table: pd.DataFrame | None,
    *,
    shape: tuple[int, ...],
    settings: dict[str, Any],
    has_labels: bool = False,
) -> Generator[FeatureWriter]:
    """Yield a writer of spectrograms; the store appears under `path` when the block ends well.

    Args:
        path: The final name.
        table: The clips (`tables.CLIPS`) whose spectrograms will be appended, in this order; None: they come later.
        shape: Of one spectrogram, [mel, frame], or of one picture, [channel, height, width].
        settings: All settings that shape the spectrograms.
        has_labels: Label images will be appended with pictures.

    Raises:
        DataError: If the file cannot be written.
        ValueError: If not as many spectrograms were appended as the table has rows.
    """
    rows: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {
        "spectrogram": (np.dtype(np.float16), shape),
        "sum": (np.dtype(np.float64), shape[:1]),
        "sum_sq": (np.dtype(np.float64), shape[:1]),
        "n_frames_valid": (np.dtype(np.int32), ()),
    }
    if has_labels:
        rows[_LABELS] = (np.dtype(np.uint16), shape[1:])
    with create_store(path, kind=_KIND, rows=rows, settings=settings) as writer:
        if table is not None:
            writer.append_table(table)
        yield FeatureWriter(writer)


def write_features(
    path: Path,
    table: pd.DataFrame,
    spectrograms: NDArray[np.floating],
    n_frames_valid: NDArray[np.integer],
    settings: dict[str, Any],
) -> None:
    """Write a whole store at once: rows of `tables.CLIPS`, dB [clip, mel, frame], frames of true sound [clip]."""
    with create_features(path, table, shape=spectrograms.shape[1:], settings=settings) as writer:
        writer.append(sum_spectrograms(spectrograms, n_frames_valid))
