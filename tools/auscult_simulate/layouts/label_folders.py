"""The general layout `label_folders`: `normal/`, `crackle/`, `wheeze/` and `crackle+wheeze/`, and sounds in them.

The names of the sounds are such as `P001_Al_1.wav`: patient, chest location, number. In variant `b` the compound folder
is called `crackle + wheeze`, with blanks.
"""

from __future__ import annotations

from auscult_simulate.layouts.plan import Plan, SimulatedRecording
from auscult_simulate.layouts.takes import draw_takes, is_heard, write_take

KNOWN_LABELS = ("crackle", "wheeze", "normal")
_COMPOUND = {"a": "crackle+wheeze", "b": "crackle + wheeze"}


def write_label_folders(plan: Plan) -> list[SimulatedRecording]:
    """Write the sounds, each into the folder of what is in it."""
    written: list[SimulatedRecording] = []
    for take, suffix in draw_takes(plan):
        has_crackle, has_wheeze = is_heard(take.source.sounds)
        label = "+".join(name for name, is_there in (("crackle", has_crackle), ("wheeze", has_wheeze)) if is_there)
        folder = _COMPOUND[plan.variant] if has_crackle and has_wheeze else label or "normal"
        file = f"{folder}/{take.patient.patient_id}_{take.site}_{take.index + 1}{suffix}"
        written.append(write_take(plan, take, file, labels={"label": label or "normal"}))
    return written
