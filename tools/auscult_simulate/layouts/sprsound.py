"""The layout of SPRSound (paediatric, Shanghai): names that say age, sex and location, and a `.json` beside each WAV.

Variant `a` has folders of sounds apart from folders of annotations, with times as strings. Variant `b` has both in one
folder; every other annotation says `recording_annotation` and has times as integers. In both: events in no order, and
recordings of poor quality, which have no events.
"""

from __future__ import annotations

import json

from auscult.storage.tables import Event
from auscult_simulate.audio_files import write_wav
from auscult_simulate.layouts.cycles import PAEDIATRIC_SHARES
from auscult_simulate.layouts.plan import SOURCE, Plan, SimulatedRecording
from auscult_simulate.layouts.takes import Take, record_chest
from auscult_simulate.patients import Sex, deal_diseases
from auscult_simulate.recording import CRACKLE_KINDS, WHEEZE_KINDS, SoundKind, cycle_contents

SAMPLE_RATE_HZ = 8000
LOCATIONS = {"Pl": "p1", "Ll": "p2", "Pr": "p3", "Lr": "p4"}
"""Left posterior, left lateral, right posterior, right lateral."""
SEXES: dict[Sex, str] = {"male": "0", "female": "1"}
_POOR_EVERY = 13
_FIRST_PATIENT = 65_101_170
_FIRST_RECORDING = 3001
_ONE_KIND: dict[SoundKind, str] = {
    "fine_crackle": "Fine Crackle",
    "coarse_crackle": "Coarse Crackle",
    "wheeze": "Wheeze",
    "rhonchus": "Rhonchi",
}
_MEANT = {
    "Normal": (),
    "Fine Crackle": ("fine_crackle",),
    "Coarse Crackle": ("coarse_crackle",),
    "Wheeze": ("wheeze",),
    "Rhonchi": ("rhonchus",),
    "Wheeze+Crackle": ("wheeze", "crackle"),
}
_RECORD_LABELS = {
    "Normal": "normal",
    "CAS": "cas",
    "DAS": "das",
    "CAS & DAS": "cas+das",
    "Poor Quality": "poor quality",
}


def write_sprsound(plan: Plan) -> list[SimulatedRecording]:
    """Write sounds and annotations; a fourth of the patients lie in the folders of the test part."""
    written: list[SimulatedRecording] = []
    for position, disease in enumerate(deal_diseases(plan.n_patients, PAEDIATRIC_SHARES, plan.rng("diseases"))):
        patient_id = str(_FIRST_PATIENT + position)
        patient = plan.draw_patient(patient_id, disease, (1 / 12, 17.9))
        order = plan.rng(patient_id, "sites").permutation(list(LOCATIONS))
        for index in range(plan.draw_count(patient_id)):
            take = record_chest(
                plan, patient, str(order[index % 4]), index, device="ds32a", sample_rate_hz=SAMPLE_RATE_HZ
            )
            # Numbered by patient, so that a recording keeps its name whatever the others do.
            written.append(_write(plan, take, number=16 * position + index))
    return written


def event_type(kinds: frozenset[SoundKind]) -> str:
    """Return the layout's word for what a cycle holds; it has one for any continuous sound with any crackle."""
    if not kinds.isdisjoint(CRACKLE_KINDS) and not kinds.isdisjoint(WHEEZE_KINDS):
        return "Wheeze+Crackle"
    return _ONE_KIND[min(kinds)] if kinds else "Normal"


def record_type(types: list[str]) -> str:
    """Return the record's word for its events: continuous (CAS) and discontinuous (DAS) adventitious sounds.

    >>> record_type(["Normal", "Rhonchi", "Fine Crackle"])
    'CAS & DAS'
    """
    meant = {kind for word in types for kind in _MEANT[word]}
    is_continuous, is_discontinuous = bool(meant & {"wheeze", "rhonchus"}), any("crackle" in kind for kind in meant)
    if is_continuous and is_discontinuous:
        return "CAS & DAS"
    return "CAS" if is_continuous else "DAS" if is_discontinuous else "Normal"


def _write(plan: Plan, take: Take, number: int) -> SimulatedRecording:
    patient = take.patient
    code, sex = LOCATIONS[take.site], SEXES[patient.sex]
    stem = f"{patient.patient_id}_{patient.age_years:.1f}_{sex}_{code}_{_FIRST_RECORDING + number}"
    is_poor = number % _POOR_EVERY == _POOR_EVERY // 2
    cycles = [] if is_poor else cycle_contents(take.source.sounds)
    events = [(int(start_s * 1000), int(end_s * 1000), event_type(kinds)) for start_s, end_s, kinds in cycles]
    record = "Poor Quality" if is_poor else record_type([kind for _, _, kind in events])
    side = "test" if int(plan.rng(patient.patient_id, "side").integers(4)) == 0 else "train"
    sounds, annotations = (f"{side}_wav", f"{side}_json") if plan.variant == "a" else (side, side)
    path = plan.root / sounds / f"{stem}.wav"
    write_wav(path, take.waveform, take.sample_rate_hz)
    is_other = plan.variant == "b" and number % 2 == 1
    shuffled = plan.rng(patient.patient_id, stem, "order").permutation(len(events))
    document = {
        "recording_annotation" if is_other else "record_annotation": record,
        "event_annotation": [
            {"start": start if is_other else str(start), "end": end if is_other else str(end), "type": kind}
            for start, end, kind in (events[i] for i in shuffled)
        ],
    }
    target = plan.root / annotations / f"{stem}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(document, indent=4), encoding="ascii", newline="\n")
    recording_id = f"{plan.dataset}/{stem}"
    return SimulatedRecording(
        recording_id=recording_id,
        path=path,
        patient=patient,
        site=take.site,
        duration_s=take.duration_s,
        sample_rate_hz=take.sample_rate_hz,
        sounds=take.source.sounds,
        labels={"record": _RECORD_LABELS[record]},
        annotations=tuple(
            Event(recording_id, start / 1000, end / 1000, kind, SOURCE)
            for start, end, word in events
            for kind in ("cycle", *_MEANT[word])
        ),
    )
