"""Heart sounds: the first and the second tone of every beat."""

from __future__ import annotations

import numpy as np

from auscult.simulate.signals import Signal, add_at, n_samples


def systole_s(rate_per_min: float) -> float:
    """Return the time from the first to the second heart sound.

    Electromechanical systole is 546 - 2.1 x rate milliseconds (Weissler, Harris and Schoenfeld 1968, Circulation
    37:149), of which some 50 ms pass before the first sound; never more than 0.45 of the beat.

    >>> round(systole_s(70), 3)
    0.349
    """
    return min(0.546 - 0.0021 * rate_per_min - 0.05, 0.45 * 60 / rate_per_min)


def _tone(duration_s: float, low_hz: float, high_hz: float, sample_rate_hz: float, rng: np.random.Generator) -> Signal:
    """Return damped vibrations of a valve and its walls, unit peak, shape [sample]."""
    times_s = np.arange(n_samples(duration_s, sample_rate_hz)) / sample_rate_hz
    attack_s = 0.12 * duration_s
    total = np.zeros_like(times_s)
    for frequency_hz in np.linspace(low_hz, high_hz, 4) * rng.uniform(0.9, 1.1, 4):
        delay_s = rng.uniform(0, 0.2 * duration_s)
        age_s = np.maximum(times_s - delay_s, 0)
        envelope = (age_s / attack_s) * np.exp(1 - age_s / attack_s)
        total += rng.uniform(0.5, 1.0) * envelope * np.sin(2 * np.pi * frequency_hz * age_s)
    return total / np.max(np.abs(total))


def heart_sounds(duration_s: float, sample_rate_hz: float, rate_per_min: float, rng: np.random.Generator) -> Signal:
    """Return the beats of a heart, first sounds of about unit peak.

    The first sound lasts some 0.14 s with its power below 150 Hz, the second some 0.11 s, higher and usually softer
    over the lungs (Rangayyan and Lehner 1987, Crit Rev Biomed Eng 15:211).

    Args:
        duration_s: Length of the result.
        sample_rate_hz: Of the result.
        rate_per_min: Beats a minute; single beats vary by some 4 %.
        rng: The only source of randomness.

    Returns:
        Shape [sample].
    """
    signal = np.zeros(n_samples(duration_s, sample_rate_hz))
    first = _tone(0.14, 28, 110, sample_rate_hz, rng)
    second = _tone(0.11, 40, 160, sample_rate_hz, rng) * rng.uniform(0.4, 0.9)
    start_s = -60 / rate_per_min * rng.uniform(0, 1)
    while start_s < duration_s:
        loudness = rng.uniform(0.8, 1.2)
        add_at(signal, start_s, sample_rate_hz, loudness * first)
        add_at(signal, start_s + systole_s(rate_per_min), sample_rate_hz, loudness * second)
        start_s += 60 / rate_per_min * float(np.clip(1 + 0.04 * rng.standard_normal(), 0.8, 1.2))
    return signal
