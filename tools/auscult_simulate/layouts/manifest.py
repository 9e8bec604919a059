"""The general layout `manifest`: sounds below `audio/`, and one table that says all.

The table is `recordings.csv` (variant `a`: byte order mark, CRLF, a blank line) or `recordings.tsv` (variant `b`: tabs,
no last line end). Rows that share a file share the recording: a row for each breathing cycle, and of the same interval
one for a crackle and one for a wheeze in it; a recording that nobody annotated has one row, without an event. Columns:

- `file`: path of the sound, relative to the root (some rows write it with `./` or a doubled `/`);
- `patient`: P001, P002, ...;
- `hospital`, `device`: text (one hospital has a comma in its name), the device is empty in places;
- `age`: years, `NA` in places; `sex`: F, M, female, male, also with a blank behind;
- `diagnosis`: the disease; empty where unknown; `place`: the chest location; `visit`: 1 or 2;
- `start`, `end`: seconds; `event`: cycle, crackle or wheeze.
"""

from __future__ import annotations

import csv
import io

import numpy as np

from auscult.storage.tables import Event
from auscult_simulate.layouts.cycles import cycle_events
from auscult_simulate.layouts.plan import Plan, SimulatedRecording
from auscult_simulate.layouts.takes import Take, draw_takes, is_unknown, recording_id_of, write_take

TABLES = {"a": "recordings.csv", "b": "recordings.tsv"}
COLUMNS = (
    "file",
    "patient",
    "hospital",
    "device",
    "age",
    "sex",
    "diagnosis",
    "place",
    "visit",
    "start",
    "end",
    "event",
)
HOSPITALS = ("North", "St. Mary, South")
_NO_AGE_EVERY = 9
_NO_EVENT_EVERY = 6


def write_manifest(plan: Plan) -> list[SimulatedRecording]:
    """Write the sounds and the table."""
    written: list[SimulatedRecording] = []
    rows: list[list[str]] = [list(COLUMNS)]
    for take, suffix in draw_takes(plan):
        patient_id = take.patient.patient_id
        file = f"audio/{patient_id}/{patient_id}_{take.index + 1}{suffix}"
        # What is in a recording may be known while the diagnosis is not, and the other way round.
        is_annotated = (int(patient_id.removeprefix("P")) + take.index) % _NO_EVENT_EVERY != 3
        events = cycle_events(recording_id_of(plan, file), take.source.sounds) if is_annotated else ()
        labels = {"diagnosis": None if is_unknown(take) else take.patient.disease}
        written.append(write_take(plan, take, file, labels=labels, annotations=events))
        rows += _rows(plan, take, file, labels["diagnosis"] or "", events)
    if plan.variant == "a":
        rows.insert(2, [])
    text = _delimited(rows, "," if plan.variant == "a" else "\t", "\r\n" if plan.variant == "a" else "\n")
    encoding = "utf-8-sig" if plan.variant == "a" else "utf-8"
    whole = text if plan.variant == "a" else text.removesuffix("\n")
    (plan.root / TABLES[plan.variant]).write_text(whole, encoding=encoding, newline="")
    return written


def _rows(plan: Plan, take: Take, file: str, diagnosis: str, events: tuple[Event, ...]) -> list[list[str]]:
    """Return the rows of one recording; they say the same of it, each in its own spelling."""
    patient = take.patient
    number = int(patient.patient_id.removeprefix("P"))
    rng = plan.rng(patient.patient_id, "rows", str(take.index))
    intervals = [(f"{event.start_s:g}", f"{event.end_s:g}", event.kind) for event in events] or [("", "", "")]
    return [
        [
            _spelt_path(file, rng),
            patient.patient_id,
            HOSPITALS[number % len(HOSPITALS)],
            "" if number % 4 == 0 else "Litt3200",
            "NA" if number % _NO_AGE_EVERY == 0 else f"{patient.age_years:g}",
            str(rng.choice([patient.sex, patient.sex[0].upper(), f"{patient.sex} "])),
            diagnosis,
            take.site,
            str(1 + take.index % 2),
            *interval,
        ]
        for interval in intervals
    ]


def _spelt_path(file: str, rng: np.random.Generator) -> str:
    draw = rng.random()
    return f"./{file}" if draw < 0.1 else file.replace("/", "//", 1) if draw < 0.2 else file


def _delimited(rows: list[list[str]], delimiter: str, end: str) -> str:
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter, lineterminator=end).writerows(rows)
    return stream.getvalue()
