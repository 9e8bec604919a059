"""The layouts that consist of WAVs and ICBHI's cycle files: ANTWERP, ANTWERP SIM, PERCH, and the core of ICBHI."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from auscult.storage.tables import Event
from auscult_simulate.audio_files import Subtype, write_wav
from auscult_simulate.devices import DEVICES
from auscult_simulate.layouts.plan import SOURCE, Plan, SimulatedRecording
from auscult_simulate.patients import SITES, Patient, deal_diseases
from auscult_simulate.recording import Sound, cycle_flags, draw_level, listen, simulate_source
from auscult_simulate.signals import Range, uniform

RESPIRATORY_SHARES = {
    "healthy": 2.0,
    "copd": 3.0,
    "asthma": 2.0,
    "bronchiectasis": 1.0,
    "pneumonia": 1.0,
    "lung fibrosis": 1.0,
}
PAEDIATRIC_SHARES = {"healthy": 2.0, "bronchiolitis": 2.0, "pneumonia": 3.0, "lower respiratory infection": 1.0}
PERCH_SITES = "BGKMSTZ"
"""One letter a study site."""

_RECORDING_MODES = ("sc", "mc")


@dataclass(frozen=True)
class Job:
    """One recording to be made: its file's stem, what it depends on, and the diagnosis if the layout tells one."""

    stem: str
    patient: Patient
    site: str
    device: str
    index: int
    sample_rate_hz: int = 4000
    subtype: Subtype = "PCM_16"
    duration_s: Range | None = None
    diagnosis: str | None = None


def as_written(time_s: float) -> float:
    """Return a time as the files have it: milliseconds, rounded down, so that nothing ends beyond its file.

    >>> as_written(1.2349)
    1.234
    """
    return int(time_s * 1000) / 1000


def write_cycle_file(path: Path, sounds: tuple[Sound, ...]) -> None:
    """Write ICBHI's four columns: start s, end s, crackle 0 or 1, wheeze 0 or 1; tabs, no header."""
    lines: list[str] = []
    for start_s, end_s, has_crackle, has_wheeze in cycle_flags(sounds):
        start, end = as_written(start_s), as_written(end_s)
        lines.append(f"{start:g}\t{end:g}\t{int(has_crackle)}\t{int(has_wheeze)}\n")
    path.write_text("".join(lines), encoding="ascii", newline="\n")


def cycle_events(recording_id: str, sounds: tuple[Sound, ...]) -> tuple[Event, ...]:
    """Return what a cycle file says: each cycle, and as long as it a crackle and a wheeze where flagged."""
    return tuple(
        Event(recording_id, as_written(start_s), as_written(end_s), kind, SOURCE)
        for start_s, end_s, has_crackle, has_wheeze in cycle_flags(sounds)
        for kind, is_there in (("cycle", True), ("crackle", has_crackle), ("wheeze", has_wheeze))
        if is_there
    )


def write_recording(plan: Plan, job: Job) -> SimulatedRecording:
    """Simulate one recording and write its WAV and its cycle file into the root."""
    rng = plan.rng(job.patient.patient_id, job.stem)
    duration_s = uniform(job.duration_s or plan.duration_s, rng)
    # Three cycles are what a short recording holds: the patient's round of cycle kinds goes on in the next one.
    source = simulate_source(job.patient, job.site, duration_s, job.sample_rate_hz, rng, first_cycle=3 * job.index)
    waveform = listen(source, DEVICES[job.device], job.sample_rate_hz, draw_level(rng), rng)[0]
    path = plan.root / f"{job.stem}.wav"
    write_wav(path, waveform, job.sample_rate_hz, job.subtype)
    write_cycle_file(path.with_suffix(".txt"), source.sounds)
    recording_id = f"{plan.dataset}/{job.stem}"
    return SimulatedRecording(
        recording_id=recording_id,
        path=path,
        patient=job.patient,
        site=job.site,
        duration_s=len(waveform) / job.sample_rate_hz,
        sample_rate_hz=job.sample_rate_hz,
        sounds=source.sounds,
        labels={} if job.diagnosis is None else {"diagnosis": job.diagnosis},
        annotations=cycle_events(recording_id, source.sounds),
    )


def draw_sites(plan: Plan, patient: Patient, count: int) -> list[str]:
    """Draw where a patient is listened to: the focus first and by preference, the trachea seldom."""
    rng = plan.rng(patient.patient_id, "sites")
    others = [site for site in SITES if site != patient.focus]
    weights = [0.03 if site == "Tc" else 0.97 / 5 for site in others]
    order = [patient.focus, *(others[i] for i in rng.choice(len(others), len(others), replace=False, p=weights))]
    return [order[index % len(order)] for index in range(count)]


def icbhi_stem(patient_id: str, index: int, *, site: str, mode: str, device: str) -> str:
    """Return a file stem of ICBHI; in 274 of the 920 the letter between the two digits is p instead of b.

    >>> icbhi_stem("101", 0, site="Al", mode="sc", device="Meditron")
    '101_1b1_Al_sc_Meditron'
    """
    letter = "p" if index % 10 in (3, 6, 8) else "b"
    return f"{patient_id}_{1 + index // 9}{letter}{index % 9 + 1}_{site}_{mode}_{device}"


def write_antwerp(plan: Plan) -> list[SimulatedRecording]:
    """Write ANTWERP's layout: names and cycle files as ICBHI's, nothing else."""
    return _write_icbhi_like(plan, first_id=301, device="Litt3200")


def write_antwerp_sim(plan: Plan) -> list[SimulatedRecording]:
    """Write ANTWERP SIM's layout: names and cycle files as ICBHI's, nothing else."""
    return _write_icbhi_like(plan, first_id=601, device="Meditron")


def _write_icbhi_like(plan: Plan, first_id: int, device: str) -> list[SimulatedRecording]:
    written: list[SimulatedRecording] = []
    diseases = deal_diseases(plan.n_patients, RESPIRATORY_SHARES, plan.rng("diseases"))
    for number, disease in enumerate(diseases):
        patient_id = str(first_id + number)
        patient = plan.draw_patient(patient_id, disease, (1, 85))
        mode = str(plan.rng(patient_id, "mode").choice(_RECORDING_MODES))
        for index, site in enumerate(draw_sites(plan, patient, plan.draw_count(patient_id))):
            stem = icbhi_stem(patient_id, index, site=site, mode=mode, device=device)
            written.append(write_recording(plan, Job(stem, patient, site, device, index)))
    return written


def write_perch(plan: Plan) -> list[SimulatedRecording]:
    """Write PERCH's layout: `Z02666-08.wav_F.wav` and `Z02666-08.wav_F.txt`; children of 1 to 59 months."""
    written: list[SimulatedRecording] = []
    diseases = deal_diseases(plan.n_patients, PAEDIATRIC_SHARES, plan.rng("diseases"))
    numbers = plan.rng("numbers").choice(90_000, plan.n_patients, replace=False) + 100
    for position, disease in enumerate(diseases):
        patient_id = f"{PERCH_SITES[position % len(PERCH_SITES)]}{numbers[position]:05d}"
        patient = plan.draw_patient(patient_id, disease, (1 / 12, 59 / 12))
        for index, site in enumerate(draw_sites(plan, patient, plan.draw_count(patient_id))):
            stem = f"{patient_id}-{index + 1:02d}.wav_F"
            written.append(write_recording(plan, Job(stem, patient, site, "ds32a", index)))
    return written
