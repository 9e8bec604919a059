"""Breathing and its noise: respiratory flow, vesicular and bronchial breath sounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from auscult.simulate.response import Response
from auscult.simulate.signals import Signal, from_db

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
