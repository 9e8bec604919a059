"""Resampling by soxr's high-quality filter (linear phase, 20 bit precision) and zero-phase band-pass filtering."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import soxr
from numpy.typing import NDArray

from auscult.config.clips import BandPass

QUALITY = "HQ"


def resample(blocks: Iterable[NDArray[np.float32]], source_hz: int, target_hz: int) -> NDArray[np.float32]:
    """Return consecutive blocks of one channel as one waveform at another rate, shape [sample].

    The result does not depend on how the sound was divided into blocks. Only the resampled sound is ever held whole.

    >>> resample([np.zeros(441, np.float32), np.zeros(441, np.float32)], 44_100, 8_000).shape
    (160,)
    """
    remaining = iter(blocks)
    first = next(remaining, None)
    if first is None:
        return np.zeros(0, np.float32)
    second = next(remaining, None)
    if second is None:
        # In one piece soxr is a fifth faster than as a stream, and gives the same samples.
        return first if source_hz == target_hz else soxr.resample(first, source_hz, target_hz, quality=QUALITY)
    pieces = _stream([first, second], remaining, source_hz, target_hz)
    return np.concatenate(list(pieces))


def resample_blocks(
    blocks: Iterable[NDArray[np.float32]], source_hz: int, target_hz: int
) -> Iterator[NDArray[np.float32]]:
    """Yield what `resample` returns piece by piece: nothing is ever held whole."""
    return _stream([], iter(blocks), source_hz, target_hz)


def _stream(
    begun: list[NDArray[np.float32]], remaining: Iterator[NDArray[np.float32]], source_hz: int, target_hz: int
) -> Iterator[NDArray[np.float32]]:
    if source_hz == target_hz:
        yield from begun
        yield from remaining
        return
    stream = soxr.ResampleStream(source_hz, target_hz, 1, dtype="float32", quality=QUALITY)
    for block in begun:
        yield stream.resample_chunk(block)
    for block in remaining:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def band_pass(waveform: NDArray[np.float32], settings: BandPass, sample_rate_hz: int) -> NDArray[np.float32]:
    """Return the waveform, shape [sample], filtered forwards and backwards by a Butterworth band-pass.

    Nothing is delayed; the two passes add up to twice the attenuation of one filter of `settings.order`, 6 dB at the
    edges.
    """
    # SciPy's signal package takes over a second to import, and most experiments filter nothing.
    from scipy import signal  # noqa: PLC0415

    edges = [settings.low_hz, settings.high_hz]
    sections = signal.butter(settings.order, edges, btype="bandpass", output="sos", fs=sample_rate_hz)
    n_sections = settings.order
    # SciPy's own choice of padding, shortened where the sound is shorter than it.
    padding = min(3 * (2 * n_sections + 1), len(waveform) - 1)
    filtered = signal.sosfiltfilt(sections, waveform.astype(np.float64), padlen=max(0, padding))
    return filtered.astype(np.float32)
