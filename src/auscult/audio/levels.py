"""How loud a file's sound is, and what no ear would miss: silence, clipping, an offset, a channel without sound."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

CLIP_LEVEL = 0.99
"""Samples from this level on may be clipped: even 8 bit reach it, 127/128."""
DEAD_RANGE = 2 / 32_768
"""A channel that stays within two steps of 16 bit holds a converter's idle noise and nothing else."""
FLOAT_ENCODINGS = ("FLOAT", "DOUBLE", "PCM_F32LE", "PCM_F64LE", "PCM_F32BE", "PCM_F64BE")
_FRAME_SAMPLES = 2048
_FRAMES_A_BLOCK = 8
_ROUNDING = (1 / 32_768) ** 2 / 12
_ABOVE_ROUNDING = 10.0
"""Power over that of 16 bit rounding from which a frequency holds sound: the mean of 8 frames of noise stays below."""
_WINDOW = np.hanning(_FRAME_SAMPLES).astype(np.float32)


@dataclass(frozen=True)
class SoundLevels:
    """Levels of a whole file, over all channels where nothing else stands; None where it cannot be said.

    Attributes:
        peak: Largest absolute sample; full scale is 1, floats may exceed it.
        rms_db: Root mean square in dB of full scale; None for silence.
        clipped_share: Share of samples that repeat the one before them at full scale.
        dc: Mean of the channel whose mean is farthest from 0.
        silent_share: Share of samples that are 0.
        dead_channels: Channels that never change.
        dead_which: Their numbers from 0, joined by `+`; None where there is none.
        channel_correlation: Of the first two channels; None for mono, or where one of them is dead.
        mean_loss_db: Power of the mean of all channels, compared with that of the channels; None for mono or silence.
        band_limit_hz: Highest frequency with more power than the rounding of 16 bit; None where none has.
    """

    peak: float
    rms_db: float | None
    clipped_share: float
    dc: float
    silent_share: float
    dead_channels: int
    dead_which: str | None
    channel_correlation: float | None
    mean_loss_db: float | None
    band_limit_hz: float | None


class LevelMeter:
    """Takes a file's blocks one by one.

    Args:
        sample_rate_hz: Of the file.
        n_channels: Of the file.
        holds_floats: Whether its full scale is only a custom, so that however quiet a channel is, it may hold sound.
    """

    def __init__(self, sample_rate_hz: int, n_channels: int, *, holds_floats: bool) -> None:
        self._rate = sample_rate_hz
        self._dead_range = 0.0 if holds_floats else DEAD_RANGE
        self._low = np.full(n_channels, np.inf)
        self._high = np.full(n_channels, -np.inf)
        self._sums = np.zeros(n_channels)
        self._products = np.zeros((n_channels, n_channels))
        self._n_samples = 0
        self._n_zero = 0
        self._n_clipped = 0
        self._power = np.zeros(_FRAME_SAMPLES // 2 + 1)
        self._n_frames = 0

    def add(self, block: NDArray[np.float32]) -> None:
        """Take the next samples, shape [sample, channel]; all are finite."""
        channels = np.ascontiguousarray(block.T)
        low, high = channels.min(axis=1), channels.max(axis=1)
        np.minimum(self._low, low, out=self._low)
        np.maximum(self._high, high, out=self._high)
        peak = max(-float(low.min()), float(high.max()))
        # Squares of huge floats leave what float32 holds.
        exact = channels if peak < 1e6 else channels.astype(np.float64)
        self._sums += exact.sum(axis=1)
        self._products += exact @ exact.T
        self._n_samples += len(block)
        self._n_zero += channels.size - int(np.count_nonzero(channels))
        if peak >= CLIP_LEVEL:
            stands = (channels[:, 1:] == channels[:, :-1]) & (np.abs(channels[:, 1:]) >= CLIP_LEVEL)
            self._n_clipped += int(np.count_nonzero(stands))
        self._add_spectrum(channels[0])

    def _add_spectrum(self, channel: NDArray[np.float32]) -> None:
        last = len(channel) - _FRAME_SAMPLES
        if last < 0:
            return
        n_frames = min(_FRAMES_A_BLOCK, last // _FRAME_SAMPLES + 1)
        starts = [last * number // max(1, n_frames - 1) for number in range(n_frames)]
        frames = np.stack([channel[start : start + _FRAME_SAMPLES] for start in starts])
        frames *= _WINDOW
        spectra: NDArray[np.complex64] = np.asarray(scipy.fft.rfft(frames))
        self._power += (np.square(spectra.real) + np.square(spectra.imag)).sum(axis=0)
        self._n_frames += n_frames

    def levels(self) -> SoundLevels:
        """Return the levels of all that was taken, at least one sample."""
        n_samples, n_channels = self._n_samples, len(self._sums)
        means = self._sums / n_samples
        covariance = self._products / n_samples - np.outer(means, means)
        dead = np.flatnonzero(self._high - self._low <= self._dead_range)
        power = float(np.trace(self._products)) / (n_samples * n_channels)
        return SoundLevels(
            peak=float(max(-self._low.min(), self._high.max())),
            rms_db=10 * math.log10(power) if power > 0 else None,
            clipped_share=self._n_clipped / (n_samples * n_channels),
            dc=float(means[np.abs(means).argmax()]),
            silent_share=self._n_zero / (n_samples * n_channels),
            dead_channels=len(dead),
            dead_which="+".join(map(str, dead)) or None,
            channel_correlation=None if n_channels == 1 or {0, 1} & set(dead.tolist()) else _correlation(covariance),
            mean_loss_db=None if n_channels == 1 or len(dead) == n_channels else _mean_loss_db(covariance),
            band_limit_hz=self._band_limit_hz(),
        )

    def _band_limit_hz(self) -> float | None:
        if not self._n_frames:
            return None
        floor = _ABOVE_ROUNDING * _ROUNDING * float(np.square(_WINDOW).sum())
        # The frames' mean is no sound: the window spreads it over the first three bins.
        loud = np.flatnonzero(self._power[3:] / self._n_frames > floor)
        return float((loud[-1] + 3) * self._rate / _FRAME_SAMPLES) if len(loud) else None


def _correlation(covariance: NDArray[np.float64]) -> float | None:
    scale = math.sqrt(max(0.0, float(covariance[0, 0] * covariance[1, 1])))
    return float(np.clip(covariance[0, 1] / scale, -1, 1)) if scale > 0 else None


def _mean_loss_db(covariance: NDArray[np.float64]) -> float | None:
    of_channels = float(np.trace(covariance)) / len(covariance)
    if of_channels <= 0:
        return None
    # float32 products hold no more than 120 dB.
    return 10 * math.log10(max(1e-12, float(covariance.mean()) / of_channels))


def holds_float_samples(encoding: str) -> bool:
    """Tell whether a file's samples are floats as somebody wrote them, whose full scale is only a custom.

    >>> holds_float_samples("FLOAT"), holds_float_samples("W64/DOUBLE"), holds_float_samples("MP4/AAC")
    (True, True, False)
    """
    return encoding.rsplit("/", 1)[-1] in FLOAT_ENCODINGS
