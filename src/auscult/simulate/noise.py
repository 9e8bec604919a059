"""What is heard beside the patient: the room, the mains, the hand that holds the stethoscope."""

from __future__ import annotations

import numpy as np

from auscult.simulate.response import Response
from auscult.simulate.signals import Signal, add_at, n_samples, raised_edges

ROOM = Response(((50, 0), (200, -4), (1000, -14), (4000, -26), (20000, -46)))
"""A quiet ward: falling by some 4 to 6 dB an octave, as indoor noise usually does."""

_RUB = Response(((80, -12), (250, 0), (900, -4), (2500, -18), (8000, -40)))


def room_noise(duration_s: float, sample_rate_hz: float, rng: np.random.Generator) -> Signal:
    """Return steady room noise of unit root mean square, shape [sample]."""
    white = rng.standard_normal(n_samples(duration_s, sample_rate_hz))
    return ROOM.apply(white, sample_rate_hz) / ROOM.noise_gain(sample_rate_hz)


def mains_hum(duration_s: float, sample_rate_hz: float, rng: np.random.Generator, mains_hz: float = 50.0) -> Signal:
    """Return hum of the mains and its harmonics, of unit amplitude at the fundamental, shape [sample]."""
    times_s = np.arange(n_samples(duration_s, sample_rate_hz)) / sample_rate_hz
    hum = np.zeros_like(times_s)
    for multiple, level in ((1, 1.0), (2, 0.3), (3, 0.45), (5, 0.15)):
        hum += level * np.sin(2 * np.pi * multiple * mains_hz * times_s + rng.uniform(0, 2 * np.pi))
    return hum


def handling_noise(duration_s: float, sample_rate_hz: float, per_minute: float, rng: np.random.Generator) -> Signal:
    """Return thumps and rubs of a chest piece that is moved, peaks about 1, shape [sample].

    Args:
        duration_s: Length of the result.
        sample_rate_hz: Of the result.
        per_minute: Mean number of such noises a minute (a Poisson process).
        rng: The only source of randomness.
    """
    signal = np.zeros(n_samples(duration_s, sample_rate_hz))
    for _ in range(rng.poisson(per_minute * duration_s / 60)):
        start_s = rng.uniform(0, duration_s)
        if rng.random() < 0.5:
            n = n_samples(rng.uniform(0.08, 0.2), sample_rate_hz)
            times_s = np.arange(n) / sample_rate_hz
            decay = np.exp(-times_s / rng.uniform(0.015, 0.05)) * raised_edges(n, n // 20, n // 4)
            part = np.sin(2 * np.pi * rng.uniform(18, 60) * times_s) * decay
        else:
            n = n_samples(rng.uniform(0.1, 0.4), sample_rate_hz)
            noise = _RUB.apply(rng.standard_normal(n), sample_rate_hz) / _RUB.noise_gain(sample_rate_hz)
            part = 0.3 * noise * raised_edges(n, n // 3, n // 3)
        add_at(signal, start_s, sample_rate_hz, part * rng.uniform(0.3, 1.0))
    return signal
