"""What is heard at the chest: breathing, heart, room and hand, and the sounds that healthy lungs do not make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from auscult_simulate.devices import Response
from auscult_simulate.signals import Range, Signal, add_at, from_db, n_samples, raised_edges, smooth_curve, uniform

VESICULAR = Response(((40, -10), (90, 0), (180, -4), (360, -17), (720, -34), (1440, -54), (2000, -66)))
"""Breath noise as heard through lung and chest wall, which act as a low-pass.

Normal lung sounds lie between about 60 and 1000 Hz, their power falls steeply above 100 to 200 Hz, by some 10 to 18
dB an octave (Gavriely, Palti and Alroy 1981, J Appl Physiol 50:307; Pasterkamp, Kraman and Wodicka 1997, AJRCCM
156:974).
"""

BRONCHIAL = Response(((40, -14), (120, -3), (250, 0), (500, -2), (800, -7), (1100, -19), (2000, -38)))
"""Breath noise as over the trachea or consolidated lung: wide-band up to some 800 Hz, where tracheal spectra drop
(Pasterkamp et al. 1997)."""

FLOW_EXPONENT = 1.6
"""Sound amplitude rises faster than flow, by a power between one and two (Gavriely and Cugell 1996, J Appl Physiol
80:5)."""

_VESICULAR_EXPIRATION_DB = -9.0
_BRONCHIAL_EXPIRATION_DB = 1.0


@dataclass(frozen=True)
class Breath:
    """One breathing cycle: inspiration, expiration, pause.

    Attributes:
        start_s: Start of inspiration; negative when the recording starts within the breath.
        inspiration_s: Length of inspiration.
        expiration_s: Length of expiration.
        pause_s: Rest before the next breath.
        depth: Peak inspiratory flow relative to the patient's usual one.
    """

    start_s: float
    inspiration_s: float
    expiration_s: float
    pause_s: float
    depth: float

    @property
    def expiration_start_s(self) -> float:
        """Where inspiration turns into expiration."""
        return self.start_s + self.inspiration_s

    @property
    def expiration_end_s(self) -> float:
        """Where the flow ceases."""
        return self.expiration_start_s + self.expiration_s

    @property
    def end_s(self) -> float:
        """Where the next breath starts."""
        return self.expiration_end_s + self.pause_s


@dataclass(frozen=True)
class BreathingPattern:
    """How someone breathes.

    Attributes:
        rate_per_min: Breaths a minute.
        expiration_ratio: Expiration over inspiration (the `y` of an I:E ratio of 1:y); 1.5 to 2 at rest, more in
            obstruction.
        pause_share: Share of the cycle that is rest.
        variability: Relative deviation of a breath's length and depth from one to the next.
    """

    rate_per_min: float
    expiration_ratio: float
    pause_share: float = 0.1
    variability: float = 0.08


def breathe(pattern: BreathingPattern, duration_s: float, rng: np.random.Generator) -> list[Breath]:
    """Draw the breaths that cover [0, duration_s], the first and the last usually cut by the recording's ends."""
    period_s = 60.0 / pattern.rate_per_min
    start_s = -period_s * rng.uniform(0.0, 1.0)
    breaths: list[Breath] = []
    while start_s < duration_s:
        length_s = period_s * float(np.clip(1 + pattern.variability * rng.standard_normal(), 0.6, 1.6))
        active_s = length_s * (1 - pattern.pause_share)
        ratio = pattern.expiration_ratio * float(np.clip(1 + 0.08 * rng.standard_normal(), 0.7, 1.3))
        inspiration_s = active_s / (1 + ratio)
        depth = float(np.clip(1 + 1.5 * pattern.variability * rng.standard_normal(), 0.6, 1.5))
        breath = Breath(start_s, inspiration_s, active_s - inspiration_s, length_s - active_s, depth)
        if breath.end_s > 0:
            breaths.append(breath)
        start_s = breath.end_s
    return breaths


def flow_at(breaths: list[Breath], times_s: Signal) -> Signal:
    """Return the respiratory flow, inspiration positive, peaks about 1 and -1, shape of `times_s`.

    Inspiration is close to a half sine; expiration rises fast and then decays as the lung empties, so that its peak
    comes early and a longer expiration is a slower one.
    """
    flow = np.zeros_like(times_s)
    for breath in breaths:
        within = (times_s >= breath.start_s) & (times_s < breath.expiration_start_s)
        phase = (times_s[within] - breath.start_s) / breath.inspiration_s
        flow[within] = breath.depth * np.sin(np.pi * phase) ** 0.8
        within = (times_s >= breath.expiration_start_s) & (times_s < breath.expiration_end_s)
        phase = (times_s[within] - breath.expiration_start_s) / breath.expiration_s
        # The volume breathed in is the volume breathed out: a longer expiration has a lower flow.
        peak = breath.depth * min(1.0, 1.3 * breath.inspiration_s / breath.expiration_s)
        early = phase / 0.28
        flow[within] = -peak * early * np.exp(1 - early) * (1 - phase**4)
    return flow


def breath_noise(
    flow: Signal, sample_rate_hz: float, rng: np.random.Generator, *, bronchial: float, chest_scale: float = 1.0
) -> Signal:
    """Return the noise that a flow makes, as it arrives at the skin.

    Vesicular noise is much louder in inspiration; bronchial noise is as loud in expiration and reaches higher
    frequencies.

    Args:
        flow: Signed flow from `flow_at`, shape [sample].
        sample_rate_hz: Of the flow and of the result.
        rng: The only source of randomness.
        bronchial: Share of bronchial breathing from 0 (healthy lung) to 1 (trachea, solid consolidation).
        chest_scale: Above 1 for small chests, which pass higher frequencies.

    Returns:
        Shape [sample]; a root mean square of about 1 at peak inspiratory flow when `bronchial` is 0 or 1.
    """
    amplitude = np.abs(flow) ** FLOW_EXPONENT
    total = np.zeros_like(flow)
    parts = (
        (VESICULAR, 1 - bronchial, from_db(_VESICULAR_EXPIRATION_DB)),
        (BRONCHIAL, bronchial, from_db(_BRONCHIAL_EXPIRATION_DB)),
    )
    for response, share, expiration_gain in parts:
        white = rng.standard_normal(len(flow))
        if share <= 0:
            continue
        scaled = response.scaled(chest_scale)
        noise = scaled.apply(white, sample_rate_hz) / scaled.noise_gain(sample_rate_hz)
        total += np.sqrt(share) * amplitude * np.where(flow >= 0, 1.0, expiration_gain) * noise
    return total


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
