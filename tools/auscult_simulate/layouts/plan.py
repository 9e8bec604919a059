"""What is to be written, and what was: the same for all layouts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from auscult.storage.tables import Event
from auscult_simulate.patients import Patient, draw_patient, milder
from auscult_simulate.recording import Sound
from auscult_simulate.signals import Range, generator, uniform

SOURCE = "simulation"


@dataclass(frozen=True)
class Plan:
    """How a simulated dataset is to be.

    Attributes:
        root: Folder to write into.
        dataset: Name for the ids in the ground truth.
        n_patients: Patients with recordings.
        seed: Of everything drawn.
        duration_s: Shortest and longest recording.
        recordings_per_patient: Fewest and most (KAUH has one, in three filters; a stethoscope's of HF_Lung_V1 one).
        variant: The two ways in which copies of the dataset differ in the wild (see the layout's module).
        wide_share: ICBHI only: share of recordings at 10 or 44.1 kHz and with up to 32 bits.
        wide_duration_s: Length of those; None: as the others.
        severity: Mildest and gravest course by disease, from 0 (nothing is heard) to 1 (the full picture, which those
            not named have); below 0 is as 0, so that (-0.1, 0.9) leaves one patient in ten without any sound of it.
    """

    root: Path
    dataset: str
    n_patients: int
    seed: int
    duration_s: Range
    recordings_per_patient: tuple[int, int]
    variant: Literal["a", "b"] = "a"
    wide_share: float = 0.1
    wide_duration_s: Range | None = None
    severity: Mapping[str, Range] = field(default_factory=dict[str, Range])

    def rng(self, *names: str) -> np.random.Generator:
        """Return the generator of a part of this dataset."""
        return generator(self.seed, self.dataset, *names)

    def draw_patient(self, patient_id: str, disease: str, ages_years: Range, *, stream: str | None = None) -> Patient:
        """Draw a patient with a disease, whose course is as severe as the plan has it.

        Args:
            patient_id: Native id.
            disease: A key of `diseases.DISEASES`.
            ages_years: Youngest and oldest.
            stream: Name of the patient's generator, where it is not the id.
        """
        stream = stream or patient_id
        patient = draw_patient(patient_id, disease, ages_years, self.rng(stream))
        if disease not in self.severity:
            return patient
        return milder(patient, max(0.0, uniform(self.severity[disease], self.rng(stream, "severity"))))

    def draw_count(self, patient_id: str) -> int:
        """Draw how many recordings a patient has."""
        low, high = self.recordings_per_patient
        return int(self.rng(patient_id, "count").integers(low, high + 1))


@dataclass(frozen=True)
class SimulatedRecording:
    """The truth about one file.

    Attributes:
        recording_id: `<dataset>/<name>`, as the readers should form it.
        path: Of the file.
        patient: Whom it shows.
        site: Where on the chest, in ICBHI's codes.
        duration_s: Length.
        sample_rate_hz: As written.
        sounds: What was put in, with pitches.
        labels: What the tree says of the recording, in the words and columns that its reader should give.
        annotations: What the tree says lies where; times are as written, to the millisecond.
        n_channels: Channels of the file.
    """

    recording_id: str
    path: Path
    patient: Patient
    site: str
    duration_s: float
    sample_rate_hz: int
    sounds: tuple[Sound, ...]
    labels: Mapping[str, str | None] = field(default_factory=dict)
    annotations: tuple[Event, ...] = ()
    n_channels: int = 1

    @property
    def disease(self) -> str:
        """The patient's disease, a key of `diseases.DISEASES`."""
        return self.patient.disease

    @property
    def events(self) -> list[Event]:
        """The sounds as rows of an events table."""
        return [
            Event(self.recording_id, s.start_s, s.end_s, s.kind, SOURCE, low_hz=s.low_hz, high_hz=s.high_hz)
            for s in self.sounds
        ]
