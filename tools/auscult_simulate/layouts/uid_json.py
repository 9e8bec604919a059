"""The general layout `uid_json`: `<uid>/waveform.<ext>` and `<uid>/metadata.json`, and tables beside the folders.

`metadata.json` holds `encoding` and `sample_rate_hz` (variant `b`: as `8000.0`, and further keys). `train.csv` and
`test.csv` have the columns `uid`, `patient` (P001, P002, ...) and the targets that `targets.txt` names, one a line:
`crackle`, `wheeze` and `pneumonia`, each 1, 0 or empty (unknown). In variant `b` the columns of `test.csv` stand in
another order. In both, one recording in thirteen has no row: all that a row would say of it is unknown.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

from auscult_simulate.layouts.plan import Plan, SimulatedRecording
from auscult_simulate.layouts.takes import Take, draw_takes, is_heard, is_unknown, write_take

TARGETS: tuple[str, ...] = ("crackle", "wheeze", "pneumonia")
TARGETS_FILE = "targets.txt"
TABLES = {"train": "train.csv", "test": "test.csv"}
_ROWLESS_EVERY = 13


def write_uid_json(plan: Plan) -> list[SimulatedRecording]:
    """Write the folders, the tables and the names of the targets; a fourth of the patients are in `test.csv`."""
    written: list[SimulatedRecording] = []
    columns = {"train": ["uid", "patient", *TARGETS], "test": ["uid", "patient", *TARGETS]}
    if plan.variant == "b":
        columns["test"] = ["patient", *reversed(TARGETS), "uid"]
    rows = {side: [columns[side]] for side in TABLES}
    for take, suffix in draw_takes(plan):
        patient_id = take.patient.patient_id
        uid = plan.rng(patient_id, "uid", str(take.index)).bytes(6).hex()
        is_rowless = (int(patient_id.removeprefix("P")) + 5 * take.index) % _ROWLESS_EVERY == 0
        labels = _labels(take, is_rowless=is_rowless)
        recording = write_take(plan, take, f"{uid}/waveform{suffix}", labels=labels)
        # The folder is the recording: its id is the uid; without a row, nothing says whose it is.
        patient = replace(take.patient, patient_id=uid) if is_rowless else take.patient
        recording = replace(recording, recording_id=f"{plan.dataset}/{uid}", patient=patient)
        written.append(recording)
        _write_metadata(plan, take, recording)
        if not is_rowless:
            side = "test" if int(plan.rng(patient_id, "side").integers(4)) == 0 else "train"
            cells = {"uid": uid, "patient": patient_id, **{name: value or "" for name, value in labels.items()}}
            rows[side].append([cells[column] for column in columns[side]])
    for side, name in TABLES.items():
        stream = io.StringIO()
        csv.writer(stream, lineterminator="\n").writerows(rows[side])
        (plan.root / name).write_text(stream.getvalue(), encoding="utf-8", newline="")
    (plan.root / TARGETS_FILE).write_text("".join(f"{name}\n" for name in TARGETS), encoding="utf-8", newline="\n")
    return written


def _labels(take: Take, *, is_rowless: bool) -> dict[str, str | None]:
    if is_rowless:
        return dict.fromkeys(TARGETS)
    has_crackle, has_wheeze = is_heard(take.source.sounds)
    number = int(take.patient.patient_id.removeprefix("P"))
    return {
        "crackle": str(int(has_crackle)),
        # Not everyone who heard a crackle said whether there was a wheeze.
        "wheeze": None if (number + take.index) % 4 == 3 else str(int(has_wheeze)),
        "pneumonia": None if is_unknown(take) else str(int(take.patient.disease == "pneumonia")),
    }


def _write_metadata(plan: Plan, take: Take, recording: SimulatedRecording) -> None:
    document: dict[str, object] = {
        "encoding": recording.path.suffix[1:].upper(),
        "sample_rate_hz": take.sample_rate_hz if plan.variant == "a" else float(take.sample_rate_hz),
    }
    if plan.variant == "b":
        document |= {"n_channels": take.n_channels, "device": {"name": "Litt3200"}}
    text = json.dumps(document, indent=2)
    (recording.path.parent / "metadata.json").write_text(text, encoding="utf-8", newline="\n")
