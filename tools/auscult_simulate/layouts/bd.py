"""The layout of BD, a study of the pneumococcal vaccine in Bangladesh: a folder a child, the endpoint in a sheet.

Variant `a` mixes `_` and `-` in some file names, variant `b` in all. In both: HOSP_ID is a number in the sheet
(leading zeros are lost), PEP1 is 1, 0 or `Uninterpretable`, one child has no row, one row no folder, one folder a
single recording and one none.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from auscult_simulate.audio_files import write_wav
from auscult_simulate.devices import DEVICES
from auscult_simulate.layouts.plan import Plan, SimulatedRecording
from auscult_simulate.patients import Patient, deal_diseases
from auscult_simulate.recording import draw_level, listen, simulate_source
from auscult_simulate.signals import uniform
from auscult_simulate.spreadsheets import Cell, write_xlsx

AUDIO_FOLDER = "PCV_SEGMENTED_Processed_Files"
SHEET_NAME = "Bangladesh_PCV_onlyStudyPatients.xlsx"
SAMPLE_RATE_HZ = 4000
SHARES = {
    "pneumonia": 8.0,
    "healthy": 5.0,
    "bronchiolitis": 4.0,
    "upper respiratory infection": 2.0,
    "lower respiratory infection": 1.0,
}
POSITIONS = ("Pl", "Pr", "Al", "Ar", "Ll", "Lr")
_FEW = 8
"""Smaller datasets have no child without a row and no single recording: too little would be left."""


def write_bd(plan: Plan) -> list[SimulatedRecording]:
    """Write the folders and the sheet."""
    written: list[SimulatedRecording] = []
    rng = plan.rng("children")
    ids = [f"{number:07d}" for number in rng.choice(9_000_000, plan.n_patients + 2, replace=False) + 10_000]
    # Every third id starts with a zero, which the sheet will lose.
    ids = [f"0{hospital_id[1:]}" if index % 3 == 0 else hospital_id for index, hospital_id in enumerate(ids)]
    diseases = deal_diseases(plan.n_patients, SHARES, plan.rng("diseases"))
    others = [index for index, disease in enumerate(diseases) if disease != "pneumonia"]
    without_row, uninterpretable, lonely = others[:3] if plan.n_patients >= _FEW else (-1, -1, -1)
    rows: list[list[Cell]] = [["SL", "HOSP_ID", "AGE_MONTHS", "SEX", "PEP1"]]
    for index, (hospital_id, disease) in enumerate(zip(ids[: plan.n_patients], diseases, strict=True)):
        patient = plan.draw_patient(hospital_id, disease, (2 / 12, 35 / 12))
        endpoint: Cell = "Uninterpretable" if index == uninterpretable else int(disease == "pneumonia")
        labels = {"pep1": None if index == without_row else str(endpoint).lower()}
        written += _write_child(plan, patient, 1 if index == lonely else plan.draw_count(hospital_id), labels)
        if index != without_row:
            sex = "Female" if patient.sex == "female" else "Male"
            rows.append([len(rows), int(hospital_id), int(patient.age_years * 12), sex, endpoint])
    rows.append([len(rows), int(ids[-2]), 14, "Male", 0])
    (plan.root / AUDIO_FOLDER / f"{ids[-1]}_SEGMENTED").mkdir(parents=True)
    rows.append([len(rows), int(ids[-1]), 8, "Female", 1])
    write_xlsx(plan.root / SHEET_NAME, rows)
    return written


def _write_child(
    plan: Plan, patient: Patient, count: int, labels: Mapping[str, str | None]
) -> list[SimulatedRecording]:
    rng = plan.rng(patient.patient_id, "files")
    folder = plan.root / AUDIO_FOLDER / f"{patient.patient_id}_SEGMENTED"
    date = f"{rng.integers(15, 19)}{rng.integers(1, 13):02d}{rng.integers(1, 29):02d}"
    first = int(rng.integers(1, 40))
    written: list[SimulatedRecording] = []
    for index in range(count):
        separator = "-" if plan.variant == "b" or rng.random() < 0.15 else "_"
        site = _position(patient, index)
        visit, part = first + index // 6, index % 6 + 1
        stem = f"{patient.patient_id}_{date}_{visit:03d}-{part}_F"
        path = folder / f"{stem.replace('_', separator)}.wav"
        own = plan.rng(patient.patient_id, stem)
        source = simulate_source(
            patient, site, uniform(plan.duration_s, own), SAMPLE_RATE_HZ, own, first_cycle=3 * index
        )
        waveform = listen(source, DEVICES["ds32a"], SAMPLE_RATE_HZ, draw_level(own), own)[0]
        write_wav(path, waveform, SAMPLE_RATE_HZ)
        written.append(
            SimulatedRecording(
                recording_id=f"{plan.dataset}/{stem}",
                path=path,
                patient=patient,
                site=site,
                duration_s=len(waveform) / SAMPLE_RATE_HZ,
                sample_rate_hz=SAMPLE_RATE_HZ,
                sounds=source.sounds,
                labels=labels,
            )
        )
    return written


def _position(patient: Patient, index: int) -> str:
    """Return where the index-th recording of a child is taken: the six positions in turn, starting near the focus."""
    order = np.roll(np.array(POSITIONS), -POSITIONS.index(patient.focus))
    return str(order[index % len(order)])
