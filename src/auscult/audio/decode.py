"""Audio files as blocks of one channel, at full scale 1 whatever their encoding."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
from numpy.typing import NDArray

from auscult.audio.probe import SequentialFile
from auscult.config.clips import Decoder
from auscult.errors import ConfigError, DataError

BLOCK_FRAMES = 1 << 21
"""Sample frames decoded at once: 48 s at 44.1 kHz, so that all but long recordings are one block."""


_Block = tuple[NDArray[np.float32], int]
"""Samples of all channels, shape [sample, channel], and their rate in Hz."""


def decode(
    path: Path, channel: int | Literal["mean"], *, sample_rate_hz: int, n_samples: int, decoder: Decoder = "soundfile"
) -> Generator[NDArray[np.float32]]:
    """Yield an audio file in blocks of float32 samples, shape [sample], full scale 1.

    PCM of 8, 16, 24 and 32 bit comes out at one scale (divided by 2 to the power of bits - 1); float files come as they
    are. The level is kept. All decoders give equal samples up to the rounding of lossy formats.

    Args:
        path: wav, flac, ogg or mp3.
        channel: Which channel, from 0, or the mean of all.
        sample_rate_hz: What the file held when it was ingested.
        n_samples: Samples per channel that it held when it was ingested.
        decoder: The library that reads it. `soundfile` alone reads in blocks; the others hold the whole file.

    Raises:
        DataError: If the file cannot be decoded, has no such channel, or has changed since it was ingested.
        ConfigError: If the decoder's libraries are not installed.
    """
    n_decoded = 0
    try:
        for block, rate in _DECODERS[decoder](path):
            if rate != sample_rate_hz:
                raise _changed(path, f"{rate} Hz, expected {sample_rate_hz} Hz")
            n_channels = block.shape[1]
            if channel != "mean" and channel >= n_channels:
                raise DataError(
                    f"{path}: there is no channel {channel}, it has {n_channels} (counted from 0); "
                    "set `channel` in the dataset's YAML to one of them or to `mean`"
                )
            n_decoded += len(block)
            if len(block):
                yield _one_channel(block, channel)
    except (soundfile.SoundFileError, OSError) as error:
        raise _changed(path, f"it cannot be decoded ({error})") from error
    if n_decoded != n_samples:
        raise _changed(path, f"{n_decoded} samples, expected {n_samples}")


def _by_soundfile(path: Path) -> Generator[_Block]:
    with SequentialFile(path) as file:
        while True:
            block = np.asarray(file.read(BLOCK_FRAMES, dtype="float32", always_2d=True), np.float32)
            yield block, file.samplerate
            if len(block) < BLOCK_FRAMES:
                return


def _by_librosa(path: Path) -> Generator[_Block]:
    import librosa  # noqa: PLC0415 (slow to import)

    # Given an open file, librosa does not fall back to its deprecated second reader.
    with soundfile.SoundFile(path) as file:
        samples, rate = librosa.load(file, sr=None, mono=False, dtype=np.float32)
    yield np.atleast_2d(samples).T, int(rate)


def _by_torchaudio(path: Path) -> Generator[_Block]:
    try:
        # torchaudio leaves the decoding to torchcodec, and torchcodec to FFmpeg's shared libraries.
        import torchaudio  # noqa: PLC0415
        import torchcodec  # noqa: F401, PLC0415  # pyright: ignore[reportUnusedImport]
    except (ImportError, RuntimeError) as error:
        raise ConfigError(
            "decoder: torchaudio needs torchcodec and FFmpeg's shared libraries (versions 4 to 8), which did not load; "
            "install FFmpeg (`apt-get install ffmpeg` or `conda install -c conda-forge ffmpeg`), or set "
            "`decoder: soundfile`"
        ) from error
    try:
        samples, rate = torchaudio.load(path)
    except RuntimeError as error:
        raise OSError(" ".join(str(error).split())) from error
    yield samples.numpy().T, rate


_DECODERS: dict[Decoder, Callable[[Path], Generator[_Block]]] = {
    "soundfile": _by_soundfile,
    "librosa": _by_librosa,
    "torchaudio": _by_torchaudio,
}


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
