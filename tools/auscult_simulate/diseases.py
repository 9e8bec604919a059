"""What each disease sounds like: breathing pattern, bronchial breathing, crackles and wheezes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from auscult_simulate.signals import Range

CycleKind = Literal["none", "crackle", "wheeze", "both"]


@dataclass(frozen=True)
class CrackleFindings:
    """Crackles of a disease.

    Attributes:
        fine_share: Share of patients in whom they are fine; coarse in the others.
        per_breath: Range of crackles in a breath that has them.
        inspiratory_phase: Where in inspiration they fall, 0 its start, 1 its end.
        expiratory_share: Share of crackles that fall into expiration.
        level: Peak relative to the root mean square of breath noise at peak flow.
    """

    fine_share: float
    per_breath: Range
    inspiratory_phase: Range
    expiratory_share: float
    level: Range


@dataclass(frozen=True)
class WheezeFindings:
    """Wheezes of a disease.

    Attributes:
        pitch_hz: Range of a patient's usual pitch.
        rhonchus_share: Share of patients with rhonchi instead.
        inspiratory_share: Share of wheezes in inspiration.
        level: Root mean square relative to that of breath noise at peak flow.
    """

    pitch_hz: Range
    rhonchus_share: float
    inspiratory_share: float
    level: Range


@dataclass(frozen=True)
class Disease:
    """What a disease does to breathing and its sounds.

    Attributes:
        rate_factor: Breathing rate relative to the healthy one of that age.
        expiration_ratio: Expiration over inspiration.
        bronchial: Share of bronchial breathing over the affected lung.
        breath_level_db: Loudness of breath noise relative to healthy lungs.
        cycles: Weight of each kind of breathing cycle where the disease is heard.
        focal: Whether it is heard over a part of the lungs only.
        ages_years: Whom it befalls.
        crackles: None where there are none.
        wheezes: None where there are none.
    """

    rate_factor: Range = (0.9, 1.15)
    expiration_ratio: Range = (1.4, 1.9)
    bronchial: Range = (0.0, 0.05)
    breath_level_db: Range = (-3.0, 3.0)
    cycles: Mapping[CycleKind, int] = field(default_factory=lambda: {"none": 1})
    focal: bool = False
    ages_years: Range = (0.1, 90.0)
    crackles: CrackleFindings | None = None
    wheezes: WheezeFindings | None = None


_WHEEZES = WheezeFindings((220, 650), 0.15, 0.15, (0.35, 1.2))
_SPARSE_COARSE = CrackleFindings(0.0, (4, 6), (0.05, 0.5), 0.25, (3.0, 7.0))

DISEASES: dict[str, Disease] = {
    "healthy": Disease(),
    "upper respiratory infection": Disease(rate_factor=(0.95, 1.3)),
    "pneumonia": Disease(
        rate_factor=(1.3, 1.85),
        expiration_ratio=(1.0, 1.35),
        bronchial=(0.55, 1.0),
        breath_level_db=(-1, 4),
        cycles={"crackle": 6, "both": 1, "none": 1},
        focal=True,
        crackles=CrackleFindings(0.5, (11, 20), (0.4, 1.0), 0.12, (8.0, 18.0)),
        wheezes=WheezeFindings((180, 500), 0.4, 0.2, (0.25, 0.7)),
    ),
    "lower respiratory infection": Disease(
        rate_factor=(1.0, 1.35),
        cycles={"none": 2, "crackle": 1, "wheeze": 1},
        crackles=_SPARSE_COARSE,
        wheezes=WheezeFindings((150, 500), 0.5, 0.2, (0.3, 0.9)),
    ),
    "copd": Disease(
        ages_years=(45, 85),
        rate_factor=(1.0, 1.45),
        expiration_ratio=(2.2, 3.4),
        breath_level_db=(-9, -2),
        cycles={"wheeze": 1, "both": 1, "crackle": 1, "none": 1},
        crackles=_SPARSE_COARSE,
        wheezes=_WHEEZES,
    ),
    "asthma": Disease(
        ages_years=(5, 75),
        rate_factor=(1.0, 1.4),
        expiration_ratio=(2.0, 3.2),
        cycles={"wheeze": 2, "none": 1},
        wheezes=_WHEEZES,
    ),
    "bronchiectasis": Disease(
        ages_years=(8, 75),
        rate_factor=(1.0, 1.3),
        cycles={"crackle": 2, "both": 1, "wheeze": 1, "none": 1},
        crackles=CrackleFindings(0.0, (4, 7), (0.1, 0.7), 0.3, (3.0, 7.0)),
        wheezes=_WHEEZES,
    ),
    "bronchiolitis": Disease(
        ages_years=(0.1, 2.0),
        rate_factor=(1.1, 1.5),
        expiration_ratio=(1.6, 2.4),
        cycles={"wheeze": 1, "both": 1, "none": 1},
        crackles=CrackleFindings(1.0, (4, 6), (0.4, 1.0), 0.1, (2.5, 6.0)),
        wheezes=_WHEEZES,
    ),
    "bronchitis": Disease(
        ages_years=(16, 80),
        rate_factor=(1.0, 1.2),
        cycles={"wheeze": 1, "none": 1},
        wheezes=WheezeFindings((110, 200), 0.9, 0.3, (0.4, 1.2)),
    ),
    "heart failure": Disease(
        ages_years=(50, 88),
        rate_factor=(1.0, 1.3),
        cycles={"crackle": 2, "none": 1},
        crackles=CrackleFindings(0.6, (4, 7), (0.4, 1.0), 0.05, (2.5, 6.0)),
    ),
    "lung fibrosis": Disease(
        ages_years=(40, 85),
        rate_factor=(1.0, 1.3),
        cycles={"crackle": 3, "none": 1},
        crackles=CrackleFindings(1.0, (5, 8), (0.5, 1.0), 0.05, (2.5, 6.0)),
    ),
    "pleural effusion": Disease(ages_years=(18, 80), rate_factor=(1.0, 1.3), breath_level_db=(-14, -8)),
}
"""Diseases by name.

Timing of crackles: late inspiratory and fine in fibrosis, early and coarse in obstruction, mid to late and coarse,
later finer, in pneumonia (Piirila and Sovijarvi 1995, Eur Respir J 8:2139; Piirila 1992, Chest 102:176; Murphy 2008,
Respir Care 53:355). Bronchial breathing over consolidation, wheezes and long expiration in obstruction: Bohadana,
Izbicki and Kraman 2014, N Engl J Med 370:744. Fast breathing in pneumonia: the World Health Organization's sign in
children. Counts a breath and levels are choices, made so that pneumonia can be learned but not by crackles alone.
"""
