"""Sound files read by FFmpeg's libraries, through PyAV: what libsndfile does not know, or what the settings ask for."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from auscult.errors import ConfigError

if TYPE_CHECKING:
    from av import AudioStream
    from av.container import InputContainer

_STATED_LENGTH_CONTAINERS = frozenset({"mov"})
"""Containers whose index states how long the sound is; of the others FFmpeg only estimates it."""
_CONTAINER_NAMES = {"mov": "MP4", "aac": "ADTS"}


@dataclass(frozen=True)
class PyavSound:
    """An open sound file.

    Attributes:
        sample_rate_hz: Of its first audio stream.
        n_channels: Of that stream.
        encoding: Container and codec, such as `MP4/AAC`.
        codec: FFmpeg's name of the codec.
        n_stated: Samples per channel that its index states; None where it states none.
        frame_samples: Samples of one coded frame, 0 where they vary.
        frames: What it holds, a frame at a time, float32 of full scale 1, shape [sample, channel].
    """

    sample_rate_hz: int
    n_channels: int
    encoding: str
    codec: str
    n_stated: int | None
    frame_samples: int
    frames: Iterator[NDArray[np.float32]]


@contextmanager
def open_pyav(path: Path) -> Generator[PyavSound]:
    """Open a sound file by FFmpeg's libraries.

    Samples that the encoder put before the sound (priming), and those that an edit list leaves out, are not given, as
    `ffmpeg -i FILE -f f32le` does not give them.

    Raises:
        OSError: FFmpeg cannot read it, it holds no sound, or its rate or number of channels changes within.
        ConfigError: PyAV does not load.
    """
    av = _pyav()
    try:
        with av.open(path) as container:
            stream = next(iter(container.streams.audio), None)
            if stream is None:
                raise OSError("there is no sound in it")
            # A stream that FFmpeg found no decoder for has no codec, and PyAV then no rate.
            if stream.codec_context is None or not stream.rate or not stream.channels:
                raise OSError("its sound has no sample rate or no channels")
            name = container.format.name.split(",")[0]
            codec = stream.codec_context.name
            n_stated = _stated_samples(stream) if name in _STATED_LENGTH_CONTAINERS else None
            yield PyavSound(
                sample_rate_hz=stream.rate,
                n_channels=stream.channels,
                encoding=f"{_CONTAINER_NAMES.get(name, name.upper())}/{codec.upper()}",
                codec=codec,
                n_stated=n_stated,
                frame_samples=stream.codec_context.frame_size or 0,
                frames=_frames(container, stream),
            )
    except av.error.FFmpegError as error:
        raise OSError(error.strerror) from error


def _pyav() -> ModuleType:
    try:
        import av  # noqa: PLC0415 (slow to import)
    except (ImportError, OSError) as error:
        raise ConfigError(
            f"decoder: ffmpeg needs PyAV, which did not load ({error}); install what requirements.lock pins "
            "(`make install`), or set `decoder: soundfile` and keep to wav, flac, ogg and mp3"
        ) from error
    return av


def _frames(container: InputContainer, stream: AudioStream) -> Generator[NDArray[np.float32]]:
    """Yield what a stream holds, a packet's samples at a time, shape [sample, channel]."""
    rate, n_channels = stream.rate, stream.channels
    n_left = sys.maxsize
    if stream.codec_context.name == "vorbis":
        # Of a Vorbis file of one page FFmpeg gives the last block whole, beyond the end.
        n_left = _stated_samples(stream) or sys.maxsize
    for frame in container.decode(stream):
        if frame.sample_rate != rate or frame.layout.nb_channels != n_channels:
            raise OSError(
                f"it changes from {rate} Hz and {n_channels} channels to {frame.sample_rate} Hz and "
                f"{frame.layout.nb_channels} within; make it one file of one rate"
            )
        samples = frame.to_ndarray()
        if not frame.format.is_planar:
            samples = samples.reshape(-1, n_channels).T
        yield full_scale(samples[:, :n_left]).T
        n_left = max(0, n_left - frame.samples)


def _stated_samples(stream: AudioStream) -> int | None:
    if stream.duration is None or stream.time_base is None:
        return None
    return round(stream.duration * stream.time_base * stream.rate)


def full_scale(samples: NDArray[Any]) -> NDArray[np.float32]:
    """Return samples as float32 of full scale 1, to the bit as libsndfile does (24 bit: in the upper bits of 32)."""
    floats = samples.astype(np.float32, copy=False)
    if samples.dtype == np.uint8:
        return (floats - np.float32(128)) / np.float32(128)
    if samples.dtype.kind == "i":
        floats *= np.float32(1 / (1 << (8 * samples.itemsize - 1)))
    return floats


def join_frames(frames: Iterable[NDArray[np.float32]], n_samples: int) -> Generator[NDArray[np.float32]]:
    """Join frames of some thousand samples to blocks of `n_samples` and more."""
    held: list[NDArray[np.float32]] = []
    n_held = 0
    for frame in frames:
        held.append(frame)
        n_held += len(frame)
        if n_held >= n_samples:
            yield np.concatenate(held)
            held, n_held = [], 0
    if held:
        yield np.concatenate(held)
