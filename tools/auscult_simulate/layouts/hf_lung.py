"""The layout of HF_Lung_V1: 15 s at 4 kHz with breath phases, crackles, wheezes and rhonchi in a text file beside.

There is no patient id: a stethoscope's recording (`steth_...`) stands alone, so such a patient has one whatever is
asked for; the pieces and channels of a longer recording (`trunc_...`) share its device and time. Variant `a` has its
label rows in the order of time, variant `b` by kind. In both: label files without a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from auscult.storage.tables import Event
from auscult_simulate.audio_files import write_wav
from auscult_simulate.layouts.cycles import RESPIRATORY_SHARES, as_written, draw_sites
from auscult_simulate.layouts.plan import SOURCE, Plan, SimulatedRecording
from auscult_simulate.layouts.takes import Take, record_chest
from auscult_simulate.patients import deal_diseases
from auscult_simulate.recording import CRACKLE_KINDS, Source

SAMPLE_RATE_HZ = 4000
KINDS = {"I": "inhalation", "E": "exhalation", "D": "crackle", "Wheeze": "wheeze", "Rhonchi": "rhonchus"}
MIN_PHASE_S = 0.2
"""Shorter rests of a breath phase at the recording's ends are not marked."""
_FIRST_DAY = datetime(2018, 8, 14)
_STETH_EVERY = 3
_EMPTY_EVERY = 11
_CHANNELS = 8


@dataclass(frozen=True)
class Mark:
    """A row of a label file; times as written."""

    code: str
    start_s: float
    end_s: float


def write_hf_lung(plan: Plan) -> list[SimulatedRecording]:
    """Write sounds and label files; a fourth of the patients lie in the folder `test`."""
    written: list[SimulatedRecording] = []
    for position, disease in enumerate(deal_diseases(plan.n_patients, RESPIRATORY_SHARES, plan.rng("diseases"))):
        name = f"patient {position}"
        moment = _FIRST_DAY + timedelta(days=position, seconds=int(plan.rng(name, "time").integers(86_400)))
        is_steth = position % _STETH_EVERY == 0
        session = f"steth_{moment:%Y%m%d_%H_%M_%S}" if is_steth else f"trunc_{moment:%Y-%m-%d-%H-%M-%S}"
        patient = plan.draw_patient(session, disease, (20, 85), stream=name)
        count = 1 if is_steth else plan.draw_count(session)
        for index, site in enumerate(draw_sites(plan, patient, count)):
            take = record_chest(plan, patient, site, index, device="Litt3200", sample_rate_hz=SAMPLE_RATE_HZ)
            stem = session if is_steth else f"{session}-L{index % _CHANNELS + 1}_{index // _CHANNELS + 1}"
            written.append(_write(plan, take, stem, is_empty=(2 * position + index) % _EMPTY_EVERY == _EMPTY_EVERY - 1))
    return written


def marks_of(source: Source, duration_s: float) -> list[Mark]:
    """Return what a listener marks, by start: the phases of each breath, one D over its crackles, each wheeze."""
    marks: list[Mark] = []
    for breath in source.breaths:
        phases = (
            ("I", breath.start_s, breath.expiration_start_s),
            ("E", breath.expiration_start_s, breath.expiration_end_s),
        )
        for code, phase_start_s, phase_end_s in phases:
            start_s, end_s = max(phase_start_s, 0.0), min(phase_end_s, duration_s)
            if end_s - start_s >= MIN_PHASE_S:
                marks.append(_mark(code, start_s, end_s))
        crackles = [
            sound
            for sound in source.sounds
            if sound.kind in CRACKLE_KINDS and breath.start_s <= sound.start_s < breath.end_s
        ]
        if crackles:
            end_s = max(crackle.end_s for crackle in crackles)
            marks.append(_mark("D", min(crackle.start_s for crackle in crackles), end_s))
    codes = {"wheeze": "Wheeze", "rhonchus": "Rhonchi"}
    marks += [_mark(codes[sound.kind], sound.start_s, sound.end_s) for sound in source.sounds if sound.kind in codes]
    return sorted(marks, key=lambda mark: (mark.start_s, mark.end_s, mark.code))


def clock(time_s: float) -> str:
    """Return a time in the layout's form.

    >>> clock(62.5)
    '00:01:02.500'
    """
    milliseconds = round(time_s * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}.{rest % 1000:03d}"


def _mark(code: str, start_s: float, end_s: float) -> Mark:
    return Mark(code, as_written(start_s), as_written(end_s))


def _write(plan: Plan, take: Take, stem: str, *, is_empty: bool) -> SimulatedRecording:
    session = take.patient.patient_id
    side = "test" if int(plan.rng(session, "side").integers(4)) == 0 else "train"
    path = plan.root / side / f"{stem}.wav"
    write_wav(path, take.waveform, take.sample_rate_hz)
    marks = [] if is_empty else marks_of(take.source, take.duration_s)
    if plan.variant == "b":
        marks.sort(key=lambda mark: list(KINDS).index(mark.code))
    rows = "".join(f"{mark.code} {clock(mark.start_s)} {clock(mark.end_s)}\n" for mark in marks)
    path.with_name(f"{stem}_label.txt").write_text(rows, encoding="ascii", newline="\n")
    recording_id = f"{plan.dataset}/{stem}"
    return SimulatedRecording(
        recording_id=recording_id,
        path=path,
        patient=take.patient,
        site=take.site,
        duration_s=take.duration_s,
        sample_rate_hz=take.sample_rate_hz,
        sounds=take.source.sounds,
        annotations=tuple(Event(recording_id, mark.start_s, mark.end_s, KINDS[mark.code], SOURCE) for mark in marks),
    )
