"""What a recording sounds like, in some 50 characters a second: equal for copies of it, whatever became of the file.

The words of Haitsma and Kalker (2002, A highly robust audio fingerprinting system, ISMIR), fitted to breath: each bit
says whether the difference in level between two neighbouring bands of 60 to 950 Hz rises or falls. What two copies of
one recording share is the chance shape of its noise, second by second; level, device response and breathing rate,
which different recordings may share, fall out of the differences.
"""

from __future__ import annotations

import base64
from functools import cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray

WORD_BITS = 32
HOP_S = 0.048
FRAME_S = 2 * HOP_S
WINDOW_FRAMES = 8
"""Levels are of so many frames together, 0.43 s; a bit compares two windows that follow each other."""
WORD_FRAMES = 2
WORD_S = WORD_FRAMES * HOP_S
"""From one word to the next."""
MIN_WORDS = 10
"""Less says nothing: 1.7 s of sound."""
MAX_LENGTH_S = 600.0
"""What follows in a longer recording is not looked at."""
MIN_RATE_HZ = 2000
F_MIN_HZ, F_MAX_HZ = 60.0, 950.0
MIN_CHANGE_DB = 0.5
"""Noise changes by some 2 dB from window to window, whatever its level; hum and steady tones do not change."""
SILENCE = 1e-11
"""Mean square (-110 dB of full scale) of a frame that holds nothing: below the rounding of 16 bits."""
_REDUCED_RATE_HZ = 2000
"""Samples are averaged down to at least this; what folds back is weaker, and folds back in copies alike."""
_LOUDEST = np.float32(1e6)


class Fingerprinter:
    """Takes a sound block by block and gives its fingerprint; what it holds does not grow beyond 2 MB."""

    def __init__(self, sample_rate_hz: int, n_channels: int) -> None:
        """Begin a sound.

        Args:
            sample_rate_hz: Of the blocks; below 2 kHz no fingerprint is made.
            n_channels: Their mean is looked at.
        """
        self._is_possible = sample_rate_hz >= MIN_RATE_HZ
        reduction = max(1, sample_rate_hz // _REDUCED_RATE_HZ)
        # A triangle over two groups of samples: one over a single group would let twice as much fold back.
        rise = np.repeat((np.arange(reduction) + 0.5) / (reduction**2 * n_channels), n_channels)
        self._rise = rise.astype(np.float32)
        self._fall = self._rise[::-1].copy()
        self._risen: NDArray[np.float32] = np.zeros(0, dtype=np.float32)
        self._unreduced = np.zeros((0, n_channels), dtype=np.float32)
        self._reduction = reduction
        rate_hz = sample_rate_hz / reduction
        self._hop_samples = HOP_S * rate_hz
        frame_samples = round(FRAME_S * rate_hz)
        # One over the frame's length makes powers mean squares, whatever the rate.
        phase = np.pi * (np.arange(frame_samples) + 0.5) / frame_samples
        self._window = (np.sin(phase) / frame_samples).astype(np.float32)
        self._n_fft: int = scipy.fft.next_fast_len(frame_samples, real=True)  # pyright: ignore[reportAttributeAccessIssue]
        self._bands = _bands(rate_hz, self._n_fft)
        self._pending = np.zeros(0, dtype=np.float32)
        self._pending_from = 0
        self._n_frames = 0
        self._power: list[NDArray[np.float32]] = []

    def add(self, block: NDArray[np.float32]) -> None:
        """Take the next samples, shape [sample, channel], full scale 1."""
        if not self._is_possible or self._n_frames * HOP_S >= MAX_LENGTH_S:
            return
        if len(self._unreduced):
            block = np.concatenate([self._unreduced, block])
        whole = len(block) // self._reduction * self._reduction
        self._unreduced = block[whole:].copy()
        groups = block[:whole].reshape(-1, len(self._rise))
        # One product with both as columns takes five times as long.
        risen, fallen = np.concatenate([self._risen, groups @ self._rise]), groups @ self._fall
        self._risen = risen[-1:]
        reduced = risen[:-1] + fallen[-len(risen) + 1 :] if len(risen) > 1 else np.zeros(0, dtype=np.float32)
        # Floats may be of any size; their squares must stay finite.
        np.clip(reduced, -_LOUDEST, _LOUDEST, out=reduced)
        self._pending = np.concatenate([self._pending, reduced]) if len(self._pending) else reduced
        self._analyse()

    def _analyse(self) -> None:
        """Turn the whole frames of the pending samples into power by band, and drop what no later frame needs."""
        size = len(self._window)
        last = self._pending_from + len(self._pending) - size - 1
        n_frames = int((last + 0.5) // self._hop_samples) + 1 if last >= 0 else 0
        numbers = np.arange(self._n_frames, n_frames)
        starts = np.round(numbers * self._hop_samples).astype(np.int64)
        starts = starts[starts <= last] - self._pending_from
        if not len(starts):
            return
        # The first difference flattens what falls towards high frequencies, so that low bands do not leak into others.
        sound = np.diff(self._pending)
        frames = np.lib.stride_tricks.sliding_window_view(sound, size)[starts] * self._window
        spectra: NDArray[np.complex64] = np.asarray(scipy.fft.rfft(frames, self._n_fft))
        self._power.append((np.square(spectra.real) + np.square(spectra.imag))[:, : len(self._bands)] @ self._bands)
        self._n_frames += len(starts)
        kept = round(self._n_frames * self._hop_samples) - self._pending_from
        self._pending = self._pending[kept:]
        self._pending_from += kept

    def text(self) -> str | None:
        """Return the fingerprint of all blocks; None where there is too little sound, or none that changes.

        Returns:
            Words of 32 bits, little-endian, in base64; a word of 0 stands where nothing can be compared.
        """
        power = np.concatenate(self._power) if self._power else np.zeros((0, WORD_BITS + 1), dtype=np.float32)
        words = _words(power[: int(MAX_LENGTH_S / HOP_S)])
        if np.count_nonzero(words) < MIN_WORDS:
            return None
        return base64.b64encode(words.astype("<u4").tobytes()).decode("ascii")


def words_of(text: str) -> NDArray[np.uint32]:
    """Return the words of a fingerprint, shape [word]; one every `WORD_S`.

    >>> words_of("AQAAAAAAAAD/////").tolist()
    [1, 0, 4294967295]
    """
    return np.frombuffer(base64.b64decode(text), dtype="<u4")


def _words(power: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Return the words of a sound from its power, shape [frame, band]."""
    n_words = max(0, (len(power) - 2 * WINDOW_FRAMES) // WORD_FRAMES + 1)
    if n_words == 0:
        return np.zeros(0, dtype=np.uint32)
    sums = np.zeros((len(power) + 1, power.shape[1]))
    np.cumsum(power, axis=0, out=sums[1:])
    # Every second window is enough: words, and the windows that they compare, lie whole steps apart.
    windows = (sums[WINDOW_FRAMES:] - sums[:-WINDOW_FRAMES])[::WORD_FRAMES]
    level_db = 10 * np.log10(np.maximum(windows, 1e-30))
    slope_db = level_db[:, :-1] - level_db[:, 1:]
    apart = WINDOW_FRAMES // WORD_FRAMES
    change_db = slope_db[apart:] - slope_db[:-apart]
    words = np.packbits(change_db > 0, axis=1, bitorder="little").view("<u4")[:, 0]
    # After silence the change would be the spectrum itself, which other recordings of the device share.
    silent = np.concatenate([[0], np.cumsum(power.sum(axis=1) < SILENCE)])
    is_silent = (silent[WINDOW_FRAMES:] > silent[:-WINDOW_FRAMES])[::WORD_FRAMES]
    is_empty = is_silent[apart:] | is_silent[:-apart] | (np.abs(change_db).mean(axis=1) < MIN_CHANGE_DB)
    return np.where(is_empty, np.uint32(0), np.maximum(words, np.uint32(1))).astype(np.uint32)


@cache
def _bands(rate_hz: float, n_fft: int) -> NDArray[np.float32]:
    """Return the share of each bin in each band of equal width, shape [bin, band], without the bins above."""
    width_hz = rate_hz / n_fft
    edges_hz = np.linspace(F_MIN_HZ, F_MAX_HZ, WORD_BITS + 2)
    bins_hz = np.arange(int(F_MAX_HZ / width_hz) + 2)[: n_fft // 2 + 1, None] * width_hz
    upper = np.minimum(bins_hz + width_hz / 2, edges_hz[1:])
    lower = np.maximum(bins_hz - width_hz / 2, edges_hz[:-1])
    return (np.maximum(upper - lower, 0.0) / width_hz).astype(np.float32)
