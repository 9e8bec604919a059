"""The layout of the KAUH recordings from Jordan (Fraiwan et al. 2021): three filters of one recording a patient.

Variant `a` has the folder `Audio Files`, variant `b` (as unpacked by some tools) `Audio_Files`. In both: diagnoses in
several spellings, trailing spaces, a legend in column J of the sheet and junk in its last rows. The sheet has no id
column: row i (below the header) is patient i.
"""

from __future__ import annotations

import numpy as np

from auscult_simulate.audio_files import write_wav
from auscult_simulate.devices import DEVICES, FILTERS
from auscult_simulate.layouts.plan import Plan, SimulatedRecording
from auscult_simulate.patients import Patient, deal_diseases
from auscult_simulate.recording import CRACKLE_KINDS, WHEEZE_KINDS, Source, draw_level, listen, simulate_source
from auscult_simulate.signals import uniform
from auscult_simulate.spreadsheets import Cell, write_xlsx

SHEET_NAME = "Data annotation.xlsx"
SAMPLE_RATE_HZ = 4000
N_JUNK_ROWS = 4
"""Rows at the end of the sheet that are no patients: one of blanks, one of remarks, one empty, one total."""
SHARES = {
    "pneumonia": 7.0,
    "asthma": 3.0,
    "copd": 2.0,
    "heart failure": 2.0,
    "healthy": 3.0,
    "lung fibrosis": 1.0,
    "bronchitis": 1.0,
    "pleural effusion": 1.0,
}
SPELLINGS = {
    "pneumonia": ("Pneumonia", "pneumonia"),
    "asthma": ("Asthma", "asthma"),
    "copd": ("COPD", "copd"),
    "heart failure": ("heart failure", "Heart Failure", "Heart Failure + COPD"),
    "healthy": ("N",),
    "lung fibrosis": ("Lung Fibrosis", "lung fibrosis"),
    "bronchitis": ("BRON",),
    "pleural effusion": ("Plueral Effusion",),
}
_MEANT = {"n": "normal", "bron": "bron", "plueral effusion": "pleural effusion"}
"""What a spelling in lower case stands for, where it is another word."""
_SOUNDS = {
    "I C E W": "crackles+wheeze",
    "I C B": "crackles+unclear",
    "Crep": "crackles",
    "I C": "crackles",
    "C": "crackles",
    "I E W": "wheeze",
    "E W": "wheeze",
    "Bronchial": "bronchial",
    "N": "normal",
}
"""What the codes of `sound_type` stand for; the B of `I C B` has no certain meaning."""
_FACES = {"A": "A", "P": "P", "L": "P"}
_LEGEND = {
    "J2": "I: Inspiratory",
    "J3": "E: Expiratory",
    "J4": "W: Wheezes",
    "J5": "C: Crackles",
    "J6": "N: Normal",
    "J7": "Crep: Crepitations",
    "J8": "B: Bronchial",
}


def write_jordan(plan: Plan) -> list[SimulatedRecording]:
    """Write the three files of every patient and the sheet."""
    folder = plan.root / ("Audio Files" if plan.variant == "a" else "Audio_Files")
    folder.mkdir(parents=True, exist_ok=True)
    written: list[SimulatedRecording] = []
    rows: list[list[Cell]] = [["Age", "Gender", "Location", "Sound type", "Diagnosis"]]
    diseases = deal_diseases(plan.n_patients, SHARES, plan.rng("diseases"))
    for number, disease in enumerate(diseases, start=1):
        patient = plan.draw_patient(str(number), disease, (4, 88))
        rng = plan.rng(str(number), "recording")
        site = patient.focus
        source = simulate_source(patient, site, uniform(plan.duration_s, rng), SAMPLE_RATE_HZ, rng)
        device = DEVICES["Litt3200"]
        # The extended range comes first: its level is the one that was set.
        order = ("E", "B", "D")
        responses = tuple(FILTERS[name] for name in order)
        waveforms = dict(
            zip(order, listen(source, device, SAMPLE_RATE_HZ, draw_level(rng), rng, responses=responses), strict=True)
        )
        location = f"{_FACES[site[0]]} {site[1].upper()} {rng.choice(['U', 'M', 'L'])}"
        fields = _fields(patient, source, location, rng)
        diagnosis, sounds = fields[0], fields[1]
        rows.append([int(patient.age_years), fields[4], _dirty(location, rng), _dirty(sounds, rng), diagnosis])
        for name in sorted(waveforms):
            stem = f"{name}P{number}_{','.join(_stripped_for_file(fields, rng))}"
            path = folder / f"{stem}.wav"
            write_wav(path, waveforms[name], SAMPLE_RATE_HZ)
            written.append(
                SimulatedRecording(
                    recording_id=f"{plan.dataset}/{name}P{number}",
                    path=path,
                    patient=patient,
                    site=site,
                    duration_s=len(waveforms[name]) / SAMPLE_RATE_HZ,
                    sample_rate_hz=SAMPLE_RATE_HZ,
                    sounds=source.sounds,
                    labels={"diagnosis": _meant(diagnosis), "sounds": _SOUNDS[sounds]},
                )
            )
    rows += _junk_rows(plan.n_patients)
    write_xlsx(plan.root / SHEET_NAME, rows, _LEGEND)
    return written


def sound_type(patient: Patient, source: Source) -> str:
    """Return the sheet's code for what is truly in a recording, such as `I C E W` or `N`."""
    crackles = [sound for sound in source.sounds if sound.kind in CRACKLE_KINDS]
    wheezes = [sound for sound in source.sounds if sound.kind in WHEEZE_KINDS]
    is_bronchial = patient.bronchial > 0.45
    if crackles and wheezes:
        return "I C E W"
    if crackles:
        if is_bronchial:
            return "I C B"
        return {"lung fibrosis": "Crep", "pneumonia": "I C"}.get(patient.disease, "C")
    if wheezes:
        inspirations = [(breath.start_s, breath.expiration_start_s) for breath in source.breaths]
        is_inspiratory = any(low <= wheeze.start_s < high for wheeze in wheezes for low, high in inspirations)
        return "I E W" if is_inspiratory else "E W"
    return "Bronchial" if is_bronchial else "N"


def _junk_rows(n_patients: int) -> list[list[Cell]]:
    return [[None, None, " ", None, None], [None, "M / F", None, "see legend", None], [None], ["Total", n_patients]]


def _fields(patient: Patient, source: Source, location: str, rng: np.random.Generator) -> list[str]:
    diagnosis = str(rng.choice(SPELLINGS[patient.disease]))
    sex = "F" if patient.sex == "female" else "M"
    return [_dirty(diagnosis, rng), sound_type(patient, source), location, str(int(patient.age_years)), sex]


def _meant(diagnosis: str) -> str:
    parts = [part.strip() for part in diagnosis.lower().split("+")]
    return "+".join(_MEANT.get(part, part) for part in parts)


def _dirty(text: str, rng: np.random.Generator) -> str:
    """Return the text, now and then with a space behind it."""
    return f"{text} " if rng.random() < 0.2 else text


def _stripped_for_file(fields: list[str], rng: np.random.Generator) -> list[str]:
    """Return the fields as a file name has them: clean diagnosis, at times a space behind the location."""
    return [fields[0].strip(), fields[1], _dirty(fields[2], rng), *fields[3:]]
