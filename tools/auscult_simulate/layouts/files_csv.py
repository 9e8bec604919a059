"""The general layout `files_csv`: sounds in `audio/`, and `info.csv` beside it with the columns `files` and `type`.

- `files`: name of the sound in `audio/`, such as `P001_Al_1.wav` (patient, chest location, number);
- `type`: Normal, Crackles, Wheezes or `Crackles and Wheezes`; empty where nobody has listened.

Variant `a` has these two columns. Variant `b` has `no` before them, and `age` (years, `NA` in places) and `sex` (f, m)
behind; blanks stand behind some types.
"""

from __future__ import annotations

import csv
import io

from auscult_simulate.layouts.plan import Plan, SimulatedRecording
from auscult_simulate.layouts.takes import Take, draw_takes, is_heard, is_unknown, write_take

TABLE = "info.csv"
FOLDER = "audio"
_TYPES = {
    (False, False): "Normal",
    (True, False): "Crackles",
    (False, True): "Wheezes",
    (True, True): "Crackles and Wheezes",
}
_NO_AGE_EVERY = 9


def write_files_csv(plan: Plan) -> list[SimulatedRecording]:
    """Write the sounds and the table."""
    written: list[SimulatedRecording] = []
    rows = [["files", "type"] if plan.variant == "a" else ["no", "files", "type", "age", "sex"]]
    for take, suffix in draw_takes(plan):
        name = f"{take.patient.patient_id}_{take.site}_{take.index + 1}{suffix}"
        kind = None if is_unknown(take) else _TYPES[is_heard(take.source.sounds)]
        written.append(write_take(plan, take, f"{FOLDER}/{name}", labels={"type": kind}))
        rows.append([name, kind or ""] if plan.variant == "a" else _long_row(take, len(rows), name, kind or ""))
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    (plan.root / TABLE).write_text(stream.getvalue(), encoding="utf-8", newline="")
    return written


def _long_row(take: Take, number: int, name: str, kind: str) -> list[str]:
    patient = take.patient
    age = "NA" if int(patient.patient_id.removeprefix("P")) % _NO_AGE_EVERY == 0 else f"{patient.age_years:g}"
    return [str(number), name, f"{kind} " if number % 6 == 0 else kind, age, patient.sex[0]]
