"""Small pieces that all sound sources use."""

from __future__ import annotations

import hashlib
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Signal: TypeAlias = npt.NDArray[np.float64]
Range: TypeAlias = tuple[float, float]

_LEAST_FFT = 1024
"""Short sounds are filled up with silence: a crackle lasts some 40 samples."""


def n_samples(duration_s: float, sample_rate_hz: float) -> int:
    """Return the samples that `duration_s` takes."""
    return round(duration_s * sample_rate_hz)


def add_at(signal: Signal, start_s: float, sample_rate_hz: float, part: Signal) -> None:
    """Add `part` to `signal` in place from `start_s` on; what lies outside is cut off."""
    first = round(start_s * sample_rate_hz)
    low, high = max(first, 0), min(first + len(part), len(signal))
    if low < high:
        signal[low:high] += part[low - first : high - first]


def raised_edges(n: int, n_rise: int, n_fall: int) -> Signal:
    """Return a window of ones with raised-cosine edges, shape [n].

    >>> [round(float(x), 2) for x in raised_edges(6, 2, 2)]
    [0.15, 0.85, 1.0, 1.0, 0.85, 0.15]
    """
    window = np.ones(n)
    rise, fall = min(n_rise, n // 2), min(n_fall, n // 2)
    if rise:
        window[:rise] = 0.5 - 0.5 * np.cos(np.pi * (np.arange(rise) + 0.5) / rise)
    if fall:
        window[n - fall :] = 0.5 + 0.5 * np.cos(np.pi * (np.arange(fall) + 0.5) / fall)
    return window


def smooth_curve(n: int, n_knots: int, rng: np.random.Generator) -> Signal:
    """Return a slow random curve with zero mean and about unit deviation, shape [n]."""
    knots = rng.standard_normal(n_knots)
    position = np.linspace(0, n_knots - 1, n)
    left = np.minimum(position.astype(int), n_knots - 2)
    share = position - left
    share = share * share * (3 - 2 * share)
    return knots[left] * (1 - share) + knots[left + 1] * share


def uniform(bounds: Range, rng: np.random.Generator) -> float:
    """Draw one number between the bounds."""
    return float(rng.uniform(*bounds))


def rms(signal: Signal) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(np.square(signal))))


def from_db(level_db: float) -> float:
    """Return the amplitude factor of a level in decibels.

    >>> from_db(20.0)
    10.0
    """
    return float(10 ** (level_db / 20))


def generator(seed: int, *names: str) -> np.random.Generator:
    """Return the generator that belongs to `names` under `seed`.

    Args:
        seed: The seed of the whole simulation, not negative.
        names: A path such as `("icbhi", "122", "1b1")`; every path has its own stream.

    >>> a, b = generator(1, "icbhi", "101"), generator(1, "icbhi", "102")
    >>> bool(a.random() == generator(1, "icbhi", "101").random()), bool(a.random() == b.random())
    (True, False)
    """
    keys = tuple(int.from_bytes(hashlib.sha256(name.encode("utf-8")).digest()[:4], "little") for name in names)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=keys))


def band_of(signal: Signal, sample_rate_hz: float) -> tuple[float, float]:
    """Return between which frequencies the middle 90% of a sound's energy lies, in Hz.

    >>> times_s = np.arange(4000) / 4000
    >>> low_hz, high_hz = band_of(np.sin(2 * np.pi * 300 * times_s) + np.sin(2 * np.pi * 500 * times_s), 4000)
    >>> round(low_hz), round(high_hz)
    (300, 500)
    """
    n = max(len(signal), _LEAST_FFT)
    shares = np.cumsum(np.abs(np.fft.rfft(signal, n)) ** 2)
    low, high = np.searchsorted(shares, [0.05 * shares[-1], 0.95 * shares[-1]])
    step_hz = sample_rate_hz / n
    return float(low * step_hz), float(max(high, low + 1) * step_hz)
