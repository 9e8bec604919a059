"""Audio files as blocks of one channel, at full scale 1 whatever their encoding."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
from numpy.typing import NDArray

from auscult.audio.probe import SequentialFile, alike_ranges, open_by_libsndfile, open_sounds
from auscult.audio.pyav import PyavSound, full_scale, join_frames, open_pyav
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
    are. The level is kept. Both decoders give equal samples up to the rounding of lossy formats.

    Args:
        path: Any file that libsndfile or FFmpeg decodes.
        channel: Which channel, from 0, or the mean of all.
        sample_rate_hz: What the file held when it was ingested.
        n_samples: Samples per channel that it held when it was ingested.
        decoder: The library that reads it; what `soundfile` does not know is read by FFmpeg, as ingest read it.

    Raises:
        DataError: If the file cannot be decoded, has no such channel, or has changed since it was ingested.
        ConfigError: If the decoder's library does not load.
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


def _by_libsndfile(file: SequentialFile) -> Generator[_Block]:
    n_read = 0
    while True:
        n_next = file.n_next(n_read, BLOCK_FRAMES)
        block = file.read(n_next, dtype=_READ_AS.get(file.subtype, "float32"), always_2d=True)
        n_read += len(block)
        yield full_scale(block), file.samplerate
        if len(block) < BLOCK_FRAMES:
            return


_READ_AS: dict[str, Literal["int16", "int32"]] = {"PCM_16": "int16", "PCM_24": "int32", "PCM_32": "int32"}
"""Whole numbers are read as they are, since libsndfile takes five times as long as numpy to make them float32."""


def _by_ffmpeg(path: Path) -> Generator[_Block]:
    with open_pyav(path) as sound:
        opened = open_by_libsndfile(path)
        if opened is not None:
            with opened as first:
                _refuse_unequal(path, sound, len(alike_ranges(path, first)))
        yield from _blocks(sound)


def _blocks(sound: PyavSound) -> Generator[_Block]:
    for block in join_frames(sound.frames, BLOCK_FRAMES):
        yield block, sound.sample_rate_hz


def _as_probed(path: Path) -> Generator[_Block]:
    """Decode by the library that ingest read the file with: libsndfile, or else FFmpeg."""
    opened = open_by_libsndfile(path)
    if opened is not None:
        with opened as first:
            for sound, _ in open_sounds(path, first):
                yield from _by_libsndfile(sound)
        return
    with open_pyav(path) as sound:
        yield from _blocks(sound)


def _refuse_unequal(path: Path, sound: PyavSound, n_sounds: int) -> None:
    """Refuse what FFmpeg gives otherwise than ingest found it: Opus always at 48 kHz, 5.1 channels in another order.

    Of sounds that are joined byte by byte it gives the encoders' delays between them too.
    """
    if n_sounds > 1:
        raise ConfigError(
            f"{path}: {n_sounds} sounds stand one behind the other in this file, and decoder: ffmpeg joins them "
            "otherwise than they were ingested; set `decoder: soundfile`"
        )
    if sound.codec == "opus" or (sound.codec == "vorbis" and sound.n_channels > 2):
        raise ConfigError(
            f"{path}: decoder: ffmpeg reads {sound.codec} of {sound.n_channels} channels at another rate or in another "
            "order than it was ingested; set `decoder: soundfile`"
        )


_DECODERS: dict[Decoder, Callable[[Path], Generator[_Block]]] = {
    "soundfile": _as_probed,
    "ffmpeg": _by_ffmpeg,
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
