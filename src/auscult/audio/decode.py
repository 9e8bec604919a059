"""Audio files as blocks of one channel, at full scale 1 whatever their encoding."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import soundfile
from numpy.typing import NDArray

from auscult.audio.probe import SequentialFile
from auscult.config.clips import Decoder
from auscult.errors import ConfigError, DataError

if TYPE_CHECKING:
    from av import AudioStream
    from av.container import InputContainer

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
        path: wav, flac, ogg or mp3.
        channel: Which channel, from 0, or the mean of all.
        sample_rate_hz: What the file held when it was ingested.
        n_samples: Samples per channel that it held when it was ingested.
        decoder: The library that reads it.

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


def _by_soundfile(path: Path) -> Generator[_Block]:
    with SequentialFile(path) as file:
        while True:
            block = file.read(BLOCK_FRAMES, dtype=_READ_AS.get(file.subtype, "float32"), always_2d=True)
            yield _full_scale(block), file.samplerate
            if len(block) < BLOCK_FRAMES:
                return


_READ_AS: dict[str, Literal["int16", "int32"]] = {"PCM_16": "int16", "PCM_24": "int32", "PCM_32": "int32"}
"""Whole numbers are read as they are, since libsndfile takes five times as long as numpy to make them float32."""


def _by_ffmpeg(path: Path) -> Generator[_Block]:
    av = _pyav()
    try:
        with av.open(path) as container:
            stream = next(iter(container.streams.audio), None)
            if stream is None:
                raise OSError("there is no sound in it")
            _refuse_unequal(path, stream)
            yield from _whole_blocks(_frames(container, stream), stream.rate)
    except av.error.FFmpegError as error:
        raise OSError(error.strerror) from error


def _pyav() -> ModuleType:
    try:
        import av  # noqa: PLC0415 (slow to import)
    except (ImportError, OSError) as error:
        raise ConfigError(
            f"decoder: ffmpeg needs PyAV, which did not load ({error}); install what requirements.lock pins "
            "(`make install`), or set `decoder: soundfile`"
        ) from error
    return av


def _refuse_unequal(path: Path, stream: AudioStream) -> None:
    """Refuse what FFmpeg gives otherwise than ingest found it: Opus always at 48 kHz, 5.1 channels in another order."""
    codec = stream.codec_context.name
    if codec == "opus" or (codec == "vorbis" and stream.channels > 2):
        raise ConfigError(
            f"{path}: decoder: ffmpeg reads {codec} of {stream.channels} channels at another rate or in another order "
            "than it was ingested; set `decoder: soundfile`"
        )


def _frames(container: InputContainer, stream: AudioStream) -> Generator[NDArray[np.float32]]:
    """Yield what a stream holds, a packet's samples at a time, shape [sample, channel]."""
    n_left = _stated_samples(stream)
    for frame in container.decode(stream):
        samples = frame.to_ndarray()
        if not frame.format.is_planar:
            samples = samples.reshape(-1, frame.layout.nb_channels).T
        yield _full_scale(samples[:, :n_left]).T
        n_left = max(0, n_left - frame.samples)


def _stated_samples(stream: AudioStream) -> int:
    """Return where the sound ends: of a Vorbis file of one page FFmpeg gives the last block whole, beyond the end."""
    if stream.codec_context.name != "vorbis" or stream.duration is None or stream.time_base is None:
        return sys.maxsize
    return round(stream.duration * stream.time_base * stream.rate)


def _full_scale(samples: NDArray[Any]) -> NDArray[np.float32]:
    """Return samples as float32 of full scale 1, to the bit as libsndfile does (24 bit: in the upper bits of 32)."""
    floats = samples.astype(np.float32, copy=False)
    if samples.dtype == np.uint8:
        return (floats - np.float32(128)) / np.float32(128)
    if samples.dtype.kind == "i":
        floats *= np.float32(1 / (1 << (8 * samples.itemsize - 1)))
    return floats


def _whole_blocks(frames: Iterable[NDArray[np.float32]], rate: int) -> Generator[_Block]:
    """Join frames of some thousand samples to blocks of `BLOCK_FRAMES` and more."""
    held: list[NDArray[np.float32]] = []
    for frame in frames:
        held.append(frame)
        if sum(map(len, held)) >= BLOCK_FRAMES:
            yield np.concatenate(held), rate
            held = []
    if held:
        yield np.concatenate(held), rate


_DECODERS: dict[Decoder, Callable[[Path], Generator[_Block]]] = {
    "soundfile": _by_soundfile,
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
