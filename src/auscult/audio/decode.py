"""Audio files as blocks of one channel, at full scale 1 whatever their encoding."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
from numpy.typing import NDArray

from auscult.errors import DataError

BLOCK_FRAMES = 1 << 21
"""Sample frames decoded at once: 48 s at 44.1 kHz, so that all but long recordings are one block."""


def decode(
    path: Path, channel: int | Literal["mean"], *, sample_rate_hz: int, n_samples: int
) -> Generator[NDArray[np.float32]]:
    """Yield an audio file in blocks of float32 samples, shape [sample], full scale 1.

    PCM of 8, 16, 24 and 32 bit comes out at one scale (libsndfile divides by 2 to the power of bits - 1); float files
    come as they are. The level is kept.

    Args:
        path: Whatever libsndfile reads.
        channel: Which channel, from 0, or the mean of all.
        sample_rate_hz: What the file held when it was ingested.
        n_samples: Samples per channel that it held when it was ingested.

    Raises:
        DataError: If the file cannot be decoded, has no such channel, or has changed since it was ingested.
    """
    n_decoded = 0
    try:
        with soundfile.SoundFile(path) as file:
            if file.samplerate != sample_rate_hz:
                raise _changed(path, f"{file.samplerate} Hz, expected {sample_rate_hz} Hz")
            if channel != "mean" and channel >= file.channels:
                raise DataError(
                    f"{path}: there is no channel {channel}, it has {file.channels} (counted from 0); "
                    "set `channel` in the dataset's YAML to one of them or to `mean`"
                )
            while True:
                block = np.asarray(file.read(BLOCK_FRAMES, dtype="float32", always_2d=True), np.float32)
                n_decoded += len(block)
                if len(block):
                    yield _one_channel(block, channel)
                if len(block) < BLOCK_FRAMES:
                    break
    except (soundfile.SoundFileError, OSError) as error:
        raise _changed(path, f"it cannot be decoded ({error})") from error
    if n_decoded != n_samples:
        raise _changed(path, f"{n_decoded} samples, expected {n_samples}")


def _one_channel(block: NDArray[np.float32], channel: int | Literal["mean"]) -> NDArray[np.float32]:
    if channel != "mean":
        return np.ascontiguousarray(block[:, channel])
    if block.shape[1] == 1:
        return block[:, 0]
    # Adding columns is many times faster than numpy's mean over a short last axis.
    total = block[:, 0].copy()
    for index in range(1, block.shape[1]):
        total += block[:, index]
    total /= block.shape[1]
    return total


def _changed(path: Path, found: str) -> DataError:
    return DataError(
        f"{path}: {found}; the file has changed since it was ingested: restore it, or run ingest again "
        "(delete the dataset's folder below work/tables)"
    )
