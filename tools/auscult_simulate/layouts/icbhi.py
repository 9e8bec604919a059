"""The layout of the ICBHI 2017 Respiratory Sound Database, with the dirt of its copies.

Variant `a` has `patient_diagnosis.csv` (comma, CRLF, no last line end) and demographics separated by spaces below an
empty line; variant `b` has `ICBHI_Challenge_diagnosis.txt` and demographics separated by tabs. In both: the official
list names recordings that are not there, has the device of some wrong, and puts patients 156 and 218 on both sides
and all with pneumonia on the side of training.
"""

from __future__ import annotations

import numpy as np

from auscult.errors import DataError
from auscult_simulate.audio_files import Subtype
from auscult_simulate.layouts.cycles import Job, draw_sites, icbhi_stem, write_recording
from auscult_simulate.layouts.plan import Plan, SimulatedRecording
from auscult_simulate.patients import Patient, deal_diseases

SHARES = {
    "pneumonia": 8.0,
    "copd": 7.0,
    "asthma": 3.0,
    "bronchiolitis": 3.0,
    "bronchiectasis": 1.0,
    "healthy": 1.0,
    "upper respiratory infection": 1.0,
}
DIAGNOSES = {
    "pneumonia": "Pneumonia",
    "copd": "COPD",
    "asthma": "Asthma",
    "bronchiolitis": "Bronchiolitis",
    "bronchiectasis": "Bronchiectasis",
    "healthy": "Healthy",
    "upper respiratory infection": "URTI",
    "lower respiratory infection": "LRTI",
}
REAL_PNEUMONIA_IDS = (122, 135, 140, 191, 219, 226)
BOTH_SIDES_IDS = (156, 218)
NO_DEMOGRAPHICS_ID = 223
_ID_RANGE = range(101, 1000)
_FIRST_ABSENT_ID = 900

_NARROW_DEVICE = "Litt3200"
_WIDE_FORMATS: tuple[tuple[str, int, Subtype], ...] = (
    ("Meditron", 44_100, "PCM_24"),
    ("AKGC417L", 10_000, "PCM_32"),
    ("LittC2SE", 44_100, "PCM_16"),
    ("Meditron", 10_000, "PCM_24"),
    ("AKGC417L", 44_100, "PCM_32"),
    ("LittC2SE", 10_000, "PCM_16"),
)
_NARROW_DEVICES = ("Litt3200", "Litt3200", "AKGC417L", "Meditron")


def write_icbhi(plan: Plan) -> list[SimulatedRecording]:
    """Write recordings, cycle files, diagnoses, demographics and the official list.

    Raises:
        DataError: When there are more patients than ICBHI's three-digit ids allow.
    """
    largest = _FIRST_ABSENT_ID - _ID_RANGE.start
    if plan.n_patients > largest:
        raise DataError(f"{plan.n_patients} patients asked for; ICBHI's ids are for at most {largest}: ask for fewer")
    plan.root.mkdir(parents=True, exist_ok=True)
    diseases = deal_diseases(plan.n_patients, SHARES, plan.rng("diseases"))
    patients = [
        plan.draw_patient(str(number), disease, (0.3, 88))
        for number, disease in sorted(zip(_deal_ids(diseases, plan.rng("ids")), diseases, strict=True))
    ]
    written: list[SimulatedRecording] = []
    every = round(1 / plan.wide_share) if plan.wide_share > 0 else 0
    for patient in patients:
        rng = plan.rng(patient.patient_id, "device")
        mode, narrow = str(rng.choice(["sc", "mc"])), str(rng.choice(_NARROW_DEVICES))
        for index, site in enumerate(draw_sites(plan, patient, _count(plan, patient.patient_id))):
            device, rate_hz, subtype, duration_s = narrow, 4000, "PCM_16", None
            if every and len(written) % every == every // 2:
                device, rate_hz, subtype = _WIDE_FORMATS[len(written) // every % len(_WIDE_FORMATS)]
                duration_s = plan.wide_duration_s
            stem = icbhi_stem(patient.patient_id, index, site=site, mode=mode, device=device)
            diagnosis = DIAGNOSES[patient.disease].lower()
            job = Job(stem, patient, site, device, index, rate_hz, subtype, duration_s, diagnosis)
            written.append(write_recording(plan, job))
    _write_diagnoses(plan, patients)
    _write_demographics(plan, patients)
    _write_official_split(plan, written)
    return written


def _count(plan: Plan, patient_id: str) -> int:
    """Return how many recordings a patient has; who is to stand on both sides of the official list has the most."""
    return plan.recordings_per_patient[1] if int(patient_id) in BOTH_SIDES_IDS else plan.draw_count(patient_id)


def _deal_ids(diseases: list[str], rng: np.random.Generator) -> list[int]:
    """Return an id for each patient; the ids with a history get patients who fit it."""
    reserved = {*REAL_PNEUMONIA_IDS, *BOTH_SIDES_IDS, NO_DEMOGRAPHICS_ID}
    pneumonia = list(REAL_PNEUMONIA_IDS)
    copd = [*BOTH_SIDES_IDS, NO_DEMOGRAPHICS_ID]
    n_others = max(118, len(diseases))
    others = [number for number in _ID_RANGE if number not in reserved][:n_others]
    free = [others[index] for index in rng.permutation(len(others))]
    pools = {"pneumonia": pneumonia, "copd": copd}
    return [pools[disease].pop(0) if pools.get(disease) else free.pop() for disease in diseases]


def _write_diagnoses(plan: Plan, patients: list[Patient]) -> None:
    name, tab = ("patient_diagnosis.csv", ",") if plan.variant == "a" else ("ICBHI_Challenge_diagnosis.txt", "\t")
    end = "\r\n" if plan.variant == "a" else "\n"
    lines = [f"{patient.patient_id}{tab}{DIAGNOSES[patient.disease]}" for patient in patients]
    (plan.root / name).write_text(end.join(lines), encoding="ascii", newline="")


def _write_demographics(plan: Plan, patients: list[Patient]) -> None:
    """Write id, age, sex, BMI of adults, weight and height of children."""
    separator = " " if plan.variant == "a" else "\t"
    lines = [""] if plan.variant == "a" else []
    for patient in patients:
        rng = plan.rng(patient.patient_id, "body")
        cells = ["NA"] * 5
        if int(patient.patient_id) != NO_DEMOGRAPHICS_ID:
            cells[:2] = [f"{patient.age_years:g}", "F" if patient.sex == "female" else "M"]
            if patient.age_years >= 18:
                cells[2] = f"{rng.uniform(18, 36):.2f}"
            else:
                height_cm = 75 + 6 * patient.age_years
                cells[3:] = [f"{16.5 * (height_cm / 100) ** 2 * rng.uniform(0.85, 1.2):.1f}", f"{height_cm:.0f}"]
            if rng.random() < 0.06:
                cells[2:] = ["NA"] * 3
        lines.append(separator.join([patient.patient_id, *cells]))
    text = "".join(f"{line}\r\n" for line in lines)
    (plan.root / "demographic_info.txt").write_text(text, encoding="ascii", newline="")


def _write_official_split(plan: Plan, written: list[SimulatedRecording]) -> None:
    """Write the official list and the note on the devices in which it differs from the files."""
    rng = plan.rng("official split")
    rows: list[tuple[str, str]] = []
    differences: list[str] = []
    sides: dict[str, str] = {}
    seen: dict[str, int] = {}
    for recording in written:
        patient_id = recording.patient.patient_id
        stem = recording.path.stem
        drawn = "train" if recording.disease == "pneumonia" or rng.random() < 0.55 else "test"
        side = sides.setdefault(patient_id, drawn)
        seen[patient_id] = seen.get(patient_id, 0) + 1
        if int(patient_id) in BOTH_SIDES_IDS:
            side = "train" if seen[patient_id] % 2 else "test"
        if rng.random() < 0.1:
            fields, device = stem.rsplit("_", 1)
            other = "AKGC417L" if device != "AKGC417L" else "Meditron"
            differences.append(f"{fields}_{other}\t{stem}")
            stem = f"{fields}_{other}"
        rows.append((stem, side))
    for number in range(max(3, plan.n_patients // 4)):
        stem = icbhi_stem(str(_FIRST_ABSENT_ID + number), 0, site="Tc", mode="sc", device="Meditron")
        rows.append((stem, str(rng.choice(["train", "test"]))))
    listed = "\n".join(f"{stem}\t{side}" for stem, side in sorted(rows))
    (plan.root / "ICBHI_challenge_train_test.txt").write_text(listed, encoding="ascii", newline="")
    note = (
        "Names in the train/test list that differ from the file's name (list, file):\n" + "\n".join(differences) + "\n"
    )
    (plan.root / "filename_differences.txt").write_text(note, encoding="ascii", newline="")
    (plan.root / "filename_format.txt").write_text(_FORMAT, encoding="ascii", newline="")


_FORMAT = """Elements contained in the filenames:

Patient number
Recording index
Chest location (Trachea (Tc), {Anterior (A), Posterior (P), Lateral (L)}{left (l), right (r)})
Acquisition mode (sequential/single channel (sc), simultaneous/multichannel (mc))
Recording equipment (AKGC417L, LittC2SE, Litt3200, Meditron)"""
