"""Sounds that healthy lungs do not make: crackles, wheezes and rhonchi."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from auscult.simulate.signals import Range, Signal, n_samples, raised_edges, smooth_curve, uniform

CrackleKind = Literal["fine_crackle", "coarse_crackle"]


@dataclass(frozen=True)
class CrackleShape:
    """Ranges of a crackle's widths.

    Attributes:
        deflection_ms: Initial deflection width (IDW), from the onset to the first zero crossing.
        two_cycle_ms: Two-cycle duration (2CD), from the onset to the end of the second cycle.
    """

    deflection_ms: Range
    two_cycle_ms: Range


CRACKLE_SHAPES: dict[CrackleKind, CrackleShape] = {
    "fine_crackle": CrackleShape((0.5, 0.9), (4.0, 6.5)),
    "coarse_crackle": CrackleShape((1.2, 2.0), (10.0, 14.0)),
}
"""Fine crackles have a mean IDW of 0.7 ms and 2CD of 5 ms, coarse ones of 1.5 ms and 10 ms (Murphy, Holford and
Knowler 1977, N Engl J Med 296:968, and the nomenclature of the American Thoracic Society); CORSA draws the line at a
2CD of 10 ms (Sovijarvi et al. 2000, Eur Respir Rev 10:597); Bohadana, Izbicki and Kraman 2014 (N Engl J Med 370:744)
give some 5 and 15 ms."""

WHEEZE_PITCH_HZ: Range = (180.0, 700.0)
WHEEZE_DURATION_S: Range = (0.2, 1.0)
"""Wheezes: about 100 to over 1000 Hz, longer than 80 (Bohadana et al. 2014) or 100 ms (Sovijarvi et al. 2000)."""

RHONCHUS_PITCH_HZ: Range = (90.0, 170.0)
RHONCHUS_DURATION_S: Range = (0.2, 0.8)
"""Rhonchi are low: about 150 Hz (Bohadana et al. 2014), below 300 Hz (Sovijarvi et al. 2000), rich in harmonics."""


def crackle(deflection_s: float, two_cycle_s: float, sample_rate_hz: float, offset_s: float = 0.0) -> Signal:
    """Return one crackle of unit peak: an explosive onset, then two ever wider cycles.

    With time t from 0 to 1 over the two cycles the carrier is sin(4 pi t^a), where a puts the first zero crossing at
    `deflection_s`; the envelope is (1 + cos(2 pi (sqrt(t) - 0.5))) / 2 (Kiyokawa, Greenberg, Shirota and Pasterkamp
    2001, Chest 119:1886, who tested with it which crackles physicians hear).

    Args:
        deflection_s: Initial deflection width, in (0, two_cycle_s).
        two_cycle_s: Two-cycle duration.
        sample_rate_hz: Of the result; the crackle reaches some 1.5 kHz.
        offset_s: Where between two samples it starts, below one sampling interval.

    Returns:
        Shape [sample], as long as the two cycles.
    """
    times_s = np.arange(int(np.ceil((two_cycle_s + offset_s) * sample_rate_hz)) + 1) / sample_rate_hz
    phase = np.clip((times_s - offset_s) / two_cycle_s, 0.0, 1.0)
    power = np.log(0.25) / np.log(deflection_s / two_cycle_s)
    shape = np.sin(4 * np.pi * phase**power) * 0.5 * (1 + np.cos(2 * np.pi * (np.sqrt(phase) - 0.5)))
    return shape / np.max(np.abs(shape))


def draw_crackle(kind: CrackleKind, sample_rate_hz: float, rng: np.random.Generator) -> tuple[Signal, float]:
    """Draw a crackle of a kind.

    Returns:
        The waveform of unit peak, shape [sample], and its two-cycle duration in seconds.
    """
    shape = CRACKLE_SHAPES[kind]
    two_cycle_s = uniform(shape.two_cycle_ms, rng) / 1000
    deflection_s = uniform(shape.deflection_ms, rng) / 1000
    offset_s = rng.uniform(0, 1 / sample_rate_hz)
    return crackle(deflection_s, two_cycle_s, sample_rate_hz, offset_s), two_cycle_s


def wheeze(
    pitch_hz: float,
    duration_s: float,
    sample_rate_hz: float,
    rng: np.random.Generator,
    *,
    harmonics_db: tuple[float, ...] = (0.0, -14.0, -22.0),
    drift_octaves: float = 0.15,
) -> Signal:
    """Return a wheeze: a tone with harmonics whose pitch glides and wavers and whose loudness swells.

    Args:
        pitch_hz: Mean fundamental.
        duration_s: Length.
        sample_rate_hz: Of the result; harmonics at or above 0.45 of it are left out.
        rng: The only source of randomness.
        harmonics_db: Levels of the fundamental and of its multiples.
        drift_octaves: Pitch change from start to end, of random sign.

    Returns:
        Shape [sample], root mean square about 1.
    """
    n = n_samples(duration_s, sample_rate_hz)
    glide = np.linspace(-0.5, 0.5, n) * drift_octaves * rng.choice([-1.0, 1.0])
    waver = 0.02 * smooth_curve(n, max(3, round(duration_s * 12)), rng)
    phase = 2 * np.pi * np.cumsum(pitch_hz * 2 ** (glide + waver)) / sample_rate_hz
    tone = np.zeros(n)
    for multiple, level_db in enumerate(harmonics_db, start=1):
        start_phase = rng.uniform(0, 2 * np.pi)
        if multiple * pitch_hz * 2 ** (drift_octaves / 2 + 0.06) < 0.45 * sample_rate_hz:
            tone += 10 ** (level_db / 20) * np.sin(multiple * phase + start_phase)
    swell = 1 + 0.25 * smooth_curve(n, max(3, round(duration_s * 8)), rng)
    edge = n_samples(min(0.06, duration_s / 4), sample_rate_hz)
    return np.sqrt(2) * tone * np.clip(swell, 0.3, 1.7) * raised_edges(n, edge, edge)


def rhonchus(pitch_hz: float, duration_s: float, sample_rate_hz: float, rng: np.random.Generator) -> Signal:
    """Return a rhonchus: a low, snoring tone of strong harmonics, as mucus in large airways flutters.

    Returns:
        Shape [sample], root mean square about 1.
    """
    harmonics_db = (0.0, -3.0, -7.0, -12.0, -18.0)
    power = sum(10 ** (level_db / 10) for level_db in harmonics_db)
    tone = wheeze(pitch_hz, duration_s, sample_rate_hz, rng, harmonics_db=harmonics_db, drift_octaves=0.08)
    return tone / np.sqrt(power)
