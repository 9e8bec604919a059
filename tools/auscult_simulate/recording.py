"""One recording: all sources mixed at the skin and heard through a device, with the truth about what was put in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.signal import resample_poly

from auscult_simulate.devices import Device, Response
from auscult_simulate.diseases import DISEASES, CycleKind
from auscult_simulate.patients import Patient
from auscult_simulate.signals import Signal, add_at, band_of, from_db, n_samples, rms
from auscult_simulate.sounds import (
    Breath,
    breath_noise,
    breathe,
    draw_crackle,
    flow_at,
    handling_noise,
    heart_sounds,
    mains_hum,
    rhonchus,
    room_noise,
    wheeze,
)

SoundKind = Literal["cycle", "fine_crackle", "coarse_crackle", "wheeze", "rhonchus"]
CRACKLE_KINDS = ("fine_crackle", "coarse_crackle")
WHEEZE_KINDS = ("wheeze", "rhonchus")

MIN_WHEEZE_S = 0.12
"""A wheeze lasts longer than 100 ms (Sovijarvi et al. 2000, Eur Respir Rev 10:597)."""

MIN_CYCLE_S = 0.4
"""Shorter rests of a breath at the recording's ends are not annotated, as in ICBHI."""

_HEARD_AT_DISTANCE = {"site": 1.0, "side": 0.9, "other": 0.7}
_HEART_BY_SIDE = {"l": 1.0, "r": 0.45, "c": 0.3}


@dataclass(frozen=True)
class Sound:
    """Something that was put into a recording, with its interval and, for wheezes and rhonchi, its pitch.

    `low_hz` and `high_hz` hold most of its energy; None of a cycle.
    """

    kind: SoundKind
    start_s: float
    end_s: float
    pitch_hz: float | None = None
    low_hz: float | None = None
    high_hz: float | None = None


@dataclass(frozen=True)
class Source:
    """What arrives at the skin, before any device.

    Attributes:
        waveform: Shape [sample]; 1 is the root mean square of breath noise at peak flow.
        sample_rate_hz: Of the waveform.
        sounds: What was put in, by start.
        breaths: The breaths under it.
    """

    waveform: Signal
    sample_rate_hz: int
    sounds: tuple[Sound, ...]
    breaths: tuple[Breath, ...]


def simulate_source(
    patient: Patient,
    site: str,
    duration_s: float,
    sample_rate_hz: int,
    rng: np.random.Generator,
    *,
    first_cycle: int = 0,
) -> Source:
    """Simulate what is heard on a patient's chest.

    Args:
        patient: Whose chest.
        site: One of `patients.SITES`.
        duration_s: Length.
        sample_rate_hz: Of the recording to be made; rates below 8 kHz are simulated at twice that, so that crackles
            do not fold back.
        rng: The only source of randomness.
        first_cycle: Where in the patient's round of cycle kinds this recording starts.
    """
    rate_hz = sample_rate_hz * (2 if sample_rate_hz < 8000 else 1)
    n = n_samples(duration_s, sample_rate_hz) * (rate_hz // sample_rate_hz)
    duration_s = n / rate_hz
    breaths = breathe(patient.breathing, duration_s, rng)
    flow = flow_at(breaths, np.arange(n) / rate_hz)
    heard = _heard_share(patient, site)
    bronchial = max(patient.bronchial * heard, 0.85 if site == "Tc" else 0.0)
    chest = patient.breath_level * breath_noise(
        flow, rate_hz, rng, bronchial=bronchial, chest_scale=patient.chest_scale
    )
    sounds: list[Sound] = []
    for index, breath in enumerate(breaths):
        kind = patient.cycles[(first_cycle + index) % len(patient.cycles)]
        sounds += _add_crackles(chest, patient, breath, kind, rate_hz=rate_hz, heard=heard, rng=rng)
        sounds += _add_wheezes(chest, patient, breath, kind, rate_hz=rate_hz, heard=heard, rng=rng)
        start_s, end_s = max(breath.start_s, 0.0), min(breath.end_s, duration_s)
        if end_s - start_s >= MIN_CYCLE_S:
            sounds.append(Sound("cycle", start_s, end_s))
    chest += (
        patient.heart_level
        * _HEART_BY_SIDE[site[-1]]
        * heart_sounds(duration_s, rate_hz, patient.heart_rate_per_min, rng)
    )
    chest += from_db(patient.room_db) * room_noise(duration_s, rate_hz, rng)
    chest += patient.hum * mains_hum(duration_s, rate_hz, rng)
    chest += 4.0 * handling_noise(duration_s, rate_hz, patient.handling_per_min, rng)
    inside = [sound for sound in sounds if sound.start_s >= 0 and sound.end_s <= duration_s]
    inside.sort(key=lambda sound: (sound.start_s, sound.end_s, sound.kind))
    return Source(chest, rate_hz, tuple(inside), tuple(breaths))


def listen(
    source: Source,
    device: Device,
    sample_rate_hz: int,
    level: float,
    rng: np.random.Generator,
    *,
    responses: tuple[Response, ...] | None = None,
) -> list[Signal]:
    """Record a source.

    Args:
        source: What is at the skin.
        device: Gives the noise, and the response when `responses` is None.
        sample_rate_hz: Of the result: the source's rate or half of it.
        level: Root mean square of the result (of the first response's; the others keep its gain).
        rng: The only source of randomness.
        responses: Several responses to hear the same sound through.

    Returns:
        Waveforms in [-1, 1), shape [sample], one a response; what is too loud is clipped, as a converter does.
    """
    n = len(source.waveform)
    white = rng.standard_normal(n) * np.sqrt(source.sample_rate_hz / 8000)
    noisy = source.waveform + from_db(-device.noise_db) * white
    recorded: list[Signal] = []
    gain = 0.0
    for response in responses or (device.response,):
        heard = response.apply(noisy, source.sample_rate_hz)
        if source.sample_rate_hz != sample_rate_hz:
            heard = np.asarray(resample_poly(heard, 1, source.sample_rate_hz // sample_rate_hz), dtype=np.float64)
        gain = gain or level / rms(heard)
        recorded.append(np.clip(heard * gain, -1.0, 1.0 - 2.0**-15))
    return recorded


def draw_level(rng: np.random.Generator) -> float:
    """Draw how loud a recording is, as a root mean square: some -30 to -18 dB below full scale."""
    return from_db(rng.uniform(-30.0, -18.0))


def cycle_contents(sounds: tuple[Sound, ...]) -> list[tuple[float, float, frozenset[SoundKind]]]:
    """Return each cycle with what is truly in it: start s, end s, the kinds of sounds.

    A sound belongs to the cycle that holds its middle.
    """
    middles: list[tuple[float, SoundKind]] = [
        ((sound.start_s + sound.end_s) / 2, sound.kind) for sound in sounds if sound.kind != "cycle"
    ]
    rows: list[tuple[float, float, frozenset[SoundKind]]] = []
    for cycle in sounds:
        if cycle.kind == "cycle":
            kinds: frozenset[SoundKind] = frozenset(
                kind for middle_s, kind in middles if cycle.start_s <= middle_s < cycle.end_s
            )
            rows.append((cycle.start_s, cycle.end_s, kinds))
    return rows


def cycle_flags(sounds: tuple[Sound, ...]) -> list[tuple[float, float, bool, bool]]:
    """Return each cycle with what is truly in it: start s, end s, has a crackle, has a wheeze (or rhonchus)."""
    return [
        (start_s, end_s, not kinds.isdisjoint(CRACKLE_KINDS), not kinds.isdisjoint(WHEEZE_KINDS))
        for start_s, end_s, kinds in cycle_contents(sounds)
    ]


def _heard_share(patient: Patient, site: str) -> float:
    """Return how much of a patient's disease is heard at a site."""
    if not DISEASES[patient.disease].focal or site == patient.focus:
        return _HEARD_AT_DISTANCE["site"]
    return _HEARD_AT_DISTANCE["side" if site[-1] == patient.focus[-1] else "other"]


def _add_crackles(
    chest: Signal,
    patient: Patient,
    breath: Breath,
    kind: CycleKind,
    *,
    rate_hz: int,
    heard: float,
    rng: np.random.Generator,
) -> list[Sound]:
    findings = DISEASES[patient.disease].crackles
    if kind not in ("crackle", "both") or findings is None:
        return []
    sounds: list[Sound] = []
    polarity = rng.choice([-1.0, 1.0])
    for _ in range(max(2, rng.poisson(patient.crackles_per_breath * heard))):
        if rng.random() < findings.expiratory_share:
            window = (breath.expiration_start_s, breath.expiration_start_s + 0.4 * breath.expiration_s)
            sign = -polarity  # Expiratory crackles mostly point the other way (Vyshedskiy et al. 2009, Chest 135:156).
        else:
            low, high = findings.inspiratory_phase
            window = (breath.start_s + low * breath.inspiration_s, breath.start_s + high * breath.inspiration_s)
            sign = polarity
        # Also of a breath that the recording cuts, what remains is heard.
        low_s, high_s = max(window[0], 0.0), min(window[1], len(chest) / rate_hz - 0.02)
        if low_s >= high_s:
            continue
        start_s = rng.uniform(low_s, high_s)
        waveform, two_cycle_s = draw_crackle(patient.crackle_kind, rate_hz, rng)
        level = patient.crackle_level * heard * float(np.exp(0.35 * rng.standard_normal()))
        add_at(chest, start_s, rate_hz, sign * level * waveform)
        low_hz, high_hz = band_of(waveform, rate_hz)
        sounds.append(Sound(patient.crackle_kind, start_s, start_s + two_cycle_s, None, low_hz, high_hz))
    return sounds


def _add_wheezes(
    chest: Signal,
    patient: Patient,
    breath: Breath,
    kind: CycleKind,
    *,
    rate_hz: int,
    heard: float,
    rng: np.random.Generator,
) -> list[Sound]:
    findings = DISEASES[patient.disease].wheezes
    if kind not in ("wheeze", "both") or findings is None:
        return []
    sounds: list[Sound] = []
    for voice in range(2 if rng.random() < 0.25 else 1):
        if rng.random() < findings.inspiratory_share:
            phase_start_s, phase_s = breath.start_s, breath.inspiration_s
        else:
            phase_start_s, phase_s = breath.expiration_start_s, breath.expiration_s
        # Also of a breath that the recording cuts, what remains is heard.
        low_s, high_s = max(phase_start_s, 0.0), min(phase_start_s + phase_s, len(chest) / rate_hz)
        duration_s = min((high_s - low_s) * rng.uniform(0.45, 0.85), 1.2)
        if duration_s < MIN_WHEEZE_S:
            continue
        start_s = low_s + (high_s - low_s - duration_s) * rng.uniform(0.1, 0.9)
        pitch_hz = patient.wheeze_pitch_hz * rng.uniform(0.92, 1.08) * (1.45 if voice else 1.0)
        level = patient.wheeze_level * heard * rng.uniform(0.7, 1.3)
        if patient.wheeze_kind == "rhonchus":
            tone = rhonchus(pitch_hz, duration_s, rate_hz, rng)
        else:
            tone = wheeze(pitch_hz, duration_s, rate_hz, rng, drift_octaves=rng.uniform(0.05, 0.35))
        add_at(chest, start_s, rate_hz, level * tone)
        low_hz, high_hz = band_of(tone, rate_hz)
        sounds.append(Sound(patient.wheeze_kind, start_s, start_s + len(tone) / rate_hz, pitch_hz, low_hz, high_hz))
    return sounds
