"""Sound files of kinds that libsndfile does not write, encoded by FFmpeg's libraries."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

CODECS = {
    ".m4a": ("aac", 16_000),
    ".mp4": ("aac", 16_000),
    ".aac": ("aac", 16_000),
    ".mka": ("aac", 16_000),
    ".opus": ("libopus", 48_000),
    ".webm": ("libopus", 48_000),
    ".wma": ("wmav2", 16_000),
    ".amr": ("libopencore_amrnb", 8000),
    ".3gp": ("libopencore_amrnb", 8000),
    ".ac3": ("ac3", 48_000),
    ".rm": ("real_144", 8000),
}
"""Suffix -> (encoder, sample rate in Hz)."""


def tone(rate_hz: int, duration_s: float = 1.0, frequency_hz: float = 300.0) -> NDArray[np.float32]:
    """Return a sine of amplitude 0.4, shape [sample]."""
    return (0.4 * np.sin(2 * np.pi * frequency_hz * np.arange(round(rate_hz * duration_s)) / rate_hz)).astype("f4")


def encode(path: Path, sound: NDArray[np.float32], codec: str, rate_hz: int) -> Path:
    """Write mono sound, shape [sample]; the suffix says the container."""
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=rate_hz)
        stream.codec_context.layout = "mono"
        if codec.startswith("wma"):
            stream.codec_context.bit_rate = 32_000
        stream.codec_context.open()
        frame = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, 0, Fraction(1, rate_hz)
        context = stream.codec_context
        resampler = av.AudioResampler(context.format.name, "mono", rate_hz, frame_size=context.frame_size or 1024)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return path
