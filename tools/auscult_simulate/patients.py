"""Simulated patients: age, sex, disease, and what stays the same over all recordings of one patient."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from auscult_simulate.diseases import DISEASES, CycleKind
from auscult_simulate.signals import Range, from_db, uniform
from auscult_simulate.sounds import RHONCHUS_PITCH_HZ, BreathingPattern, CrackleKind

Sex = Literal["female", "male"]

SITES = ("Al", "Ar", "Pl", "Pr", "Ll", "Lr", "Tc")
"""Where one listens, in ICBHI's codes: anterior, posterior, lateral; left, right; trachea."""

_AGES_YEARS = (0.0, 0.5, 1.0, 2.0, 4.0, 6.0, 8.0, 12.0, 18.0, 90.0)
_BREATHS_PER_MIN = (44.0, 39.0, 34.0, 28.0, 24.0, 22.0, 20.0, 18.0, 16.0, 17.0)
_BEATS_PER_MIN = (130.0, 132.0, 123.0, 113.0, 104.0, 96.0, 90.0, 83.0, 74.0, 72.0)
"""Medians by age, rounded from Fleming et al. 2011 (Lancet 377:1011); adults at rest beyond 18 years."""

HEALTHY_EXPIRATION_RATIO = 1.65
"""Expiration over inspiration at rest, the middle of the healthy range."""


@dataclass(frozen=True)
class Patient:
    """A patient and all that a recording of them depends on.

    Attributes:
        patient_id: Native id, as the layout writes it.
        disease: A key of `diseases.DISEASES`.
        age_years: Age.
        sex: Sex.
        breathing: Breathing pattern.
        heart_rate_per_min: Mean heart rate.
        heart_level: Loudness of the heart over the left chest relative to breath noise at peak flow.
        breath_level: Loudness of breath noise.
        chest_scale: Above 1 for small chests.
        bronchial: Share of bronchial breathing at the focus.
        focus: The site where a focal disease is loudest.
        cycles: Kinds of cycles to come, in an endless round.
        crackle_kind: Fine or coarse, mostly.
        crackles_per_breath: Mean count in a breath that has them.
        crackle_level: Peak relative to breath noise.
        wheeze_pitch_hz: Usual pitch.
        wheeze_kind: `wheeze` or `rhonchus`.
        wheeze_level: Loudness relative to breath noise.
        room_db: Room noise relative to breath noise, in dB.
        hum: Amplitude of mains hum relative to breath noise.
        handling_per_min: Handling noises a minute.
    """

    patient_id: str
    disease: str
    age_years: float
    sex: Sex
    breathing: BreathingPattern
    heart_rate_per_min: float
    heart_level: float
    breath_level: float
    chest_scale: float
    bronchial: float
    focus: str
    cycles: tuple[CycleKind, ...]
    crackle_kind: CrackleKind
    crackles_per_breath: float
    crackle_level: float
    wheeze_pitch_hz: float
    wheeze_kind: Literal["wheeze", "rhonchus"]
    wheeze_level: float
    room_db: float
    hum: float
    handling_per_min: float


def healthy_rates(age_years: float) -> tuple[float, float]:
    """Return the usual breaths and heart beats a minute at an age.

    >>> healthy_rates(2.0)
    (28.0, 113.0)
    """
    return (
        float(np.interp(age_years, _AGES_YEARS, _BREATHS_PER_MIN)),
        float(np.interp(age_years, _AGES_YEARS, _BEATS_PER_MIN)),
    )


def draw_patient(patient_id: str, disease: str, ages_years: Range, rng: np.random.Generator) -> Patient:
    """Draw a patient with a disease.

    Args:
        patient_id: Native id.
        disease: A key of `diseases.DISEASES`.
        ages_years: Youngest and oldest; children are as frequent as adults on a logarithmic scale.
        rng: The only source of randomness.
    """
    profile = DISEASES[disease]
    youngest, oldest = max(ages_years[0], profile.ages_years[0]), min(ages_years[1], profile.ages_years[1])
    if youngest > oldest:
        # A collection of children has no case of an old people's disease: its sounds in the oldest there.
        youngest = oldest = min(max(profile.ages_years[0], ages_years[0]), ages_years[1])
    age_years = float(np.exp(rng.uniform(np.log(youngest), np.log(oldest))))
    breaths, beats = healthy_rates(age_years)
    deck: list[CycleKind] = [kind for kind, weight in profile.cycles.items() for _ in range(weight)]
    order = rng.permutation(len(deck))
    crackles, wheezes = profile.crackles, profile.wheezes
    is_fine = crackles is not None and rng.random() < crackles.fine_share
    is_rhonchus = wheezes is not None and rng.random() < wheezes.rhonchus_share
    pitch_hz = uniform(RHONCHUS_PITCH_HZ if is_rhonchus else (wheezes.pitch_hz if wheezes else (200, 400)), rng)
    return Patient(
        patient_id=patient_id,
        disease=disease,
        age_years=round(age_years, 2) if age_years < 2 else float(int(age_years)),
        sex="female" if rng.random() < 0.5 else "male",
        breathing=BreathingPattern(
            rate_per_min=float(np.clip(breaths * uniform(profile.rate_factor, rng), 11, 62)),
            expiration_ratio=uniform(profile.expiration_ratio, rng),
            pause_share=rng.uniform(0.03, 0.15),
            variability=rng.uniform(0.04, 0.12),
        ),
        heart_rate_per_min=beats * rng.uniform(0.85, 1.2),
        heart_level=float(np.exp(rng.uniform(np.log(0.4), np.log(6.0)))),
        breath_level=from_db(uniform(profile.breath_level_db, rng)),
        chest_scale=float(np.interp(age_years, (0.0, 6.0, 18.0), (1.35, 1.15, 1.0))) * rng.uniform(0.9, 1.12),
        bronchial=uniform(profile.bronchial, rng),
        focus=str(rng.choice(SITES[:6])),
        cycles=tuple(deck[index] for index in order),
        crackle_kind="fine_crackle" if is_fine else "coarse_crackle",
        crackles_per_breath=uniform(crackles.per_breath, rng) if crackles else 0.0,
        crackle_level=uniform(crackles.level, rng) if crackles else 0.0,
        wheeze_pitch_hz=pitch_hz,
        wheeze_kind="rhonchus" if is_rhonchus else "wheeze",
        wheeze_level=uniform(wheezes.level, rng) if wheezes else 0.0,
        room_db=rng.uniform(-36, -22),
        hum=float(rng.choice([0.0, 0.03, 0.15])),
        handling_per_min=rng.uniform(0, 8),
    )


def milder(patient: Patient, severity: float) -> Patient:
    """Return the patient with a milder course: what the disease does to breath and sounds, weakened.

    Args:
        patient: As drawn, which is the full picture of the disease.
        severity: 1 leaves the patient as they are; at 0 nothing of the disease is heard but the loudness of the breath.

    Raises:
        ValueError: If the severity is not between 0 and 1.
    """
    if not 0 <= severity <= 1:
        raise ValueError(f"severity is {severity}; expected 0 (nothing is heard) to 1 (the full picture)")
    rest = 1 - severity
    breaths, _ = healthy_rates(patient.age_years)
    n_spared = round(rest * len(patient.cycles))
    return replace(
        patient,
        breathing=replace(
            patient.breathing,
            rate_per_min=severity * patient.breathing.rate_per_min + rest * breaths,
            expiration_ratio=severity * patient.breathing.expiration_ratio + rest * HEALTHY_EXPIRATION_RATIO,
        ),
        bronchial=severity * patient.bronchial,
        cycles=("none",) * n_spared + patient.cycles[n_spared:],
        crackles_per_breath=severity * patient.crackles_per_breath,
        crackle_level=severity * patient.crackle_level,
        wheeze_level=severity * patient.wheeze_level,
    )


def deal_diseases(n_patients: int, shares: dict[str, float], rng: np.random.Generator) -> list[str]:
    """Deal diseases to patients in fixed shares (largest remainders), in random order.

    >>> sorted(deal_diseases(4, {"healthy": 0.5, "copd": 0.5}, np.random.default_rng(0)))
    ['copd', 'copd', 'healthy', 'healthy']
    """
    total = sum(shares.values())
    exact = {name: n_patients * share / total for name, share in shares.items()}
    counts = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: counts[name] - exact[name])
    for name in by_remainder[: n_patients - sum(counts.values())]:
        counts[name] += 1
    dealt = [name for name, count in counts.items() for _ in range(count)]
    return [dealt[index] for index in rng.permutation(len(dealt))]
