"""One chest heard once, for the layouts that differ in files and words alone; recordings in all formats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from auscult.storage.tables import Event
from auscult_simulate.audio_files import write_audio
from auscult_simulate.devices import DEVICES, LITTMANN_BELL
from auscult_simulate.layouts.cycles import RESPIRATORY_SHARES, draw_sites
from auscult_simulate.layouts.plan import Plan, SimulatedRecording
from auscult_simulate.patients import Patient, deal_diseases
from auscult_simulate.recording import CRACKLE_KINDS, WHEEZE_KINDS, Sound, Source, draw_level, listen, simulate_source
from auscult_simulate.signals import Signal, uniform


@dataclass(frozen=True)
class Take:
    """One recording that is not yet a file.

    Attributes:
        patient: Whose chest.
        index: Which of the patient's recordings, from 0.
        site: Where on the chest, in ICBHI's codes.
        source: What was at the skin, with the truth about it.
        waveform: Shape [sample], or [sample, channel] where several microphones listened.
        sample_rate_hz: Of the waveform.
    """

    patient: Patient
    index: int
    site: str
    source: Source
    waveform: Signal
    sample_rate_hz: int

    @property
    def duration_s(self) -> float:
        """Length of the waveform."""
        return len(self.waveform) / self.sample_rate_hz

    @property
    def n_channels(self) -> int:
        """Channels of the waveform."""
        return 1 if self.waveform.ndim == 1 else self.waveform.shape[1]


def record_chest(
    plan: Plan,
    patient: Patient,
    site: str,
    index: int,
    *,
    device: str,
    sample_rate_hz: int,
    is_stereo: bool = False,
) -> Take:
    """Record a patient; the draws depend on the patient and the index alone.

    Args:
        plan: Gives the seed and the length.
        patient: Whose chest.
        site: Where, in ICBHI's codes.
        index: Which of the patient's recordings; the round of cycle kinds goes on from one to the next.
        device: A key of `devices.DEVICES`.
        sample_rate_hz: Of the result.
        is_stereo: Whether a second microphone, a bell, listens too.
    """
    rng = plan.rng(patient.patient_id, "recording", str(index))
    source = simulate_source(patient, site, uniform(plan.duration_s, rng), sample_rate_hz, rng, first_cycle=3 * index)
    responses = (DEVICES[device].response, LITTMANN_BELL) if is_stereo else None
    waveforms = listen(source, DEVICES[device], sample_rate_hz, draw_level(rng), rng, responses=responses)
    waveform = np.stack(waveforms, axis=1) if is_stereo else waveforms[0]
    return Take(patient, index, site, source, waveform, sample_rate_hz)


def is_heard(sounds: tuple[Sound, ...]) -> tuple[bool, bool]:
    """Tell whether there is a crackle, and whether there is a wheeze or rhonchus, anywhere in a recording."""
    kinds = {sound.kind for sound in sounds}
    return not kinds.isdisjoint(CRACKLE_KINDS), not kinds.isdisjoint(WHEEZE_KINDS)


DEVICE = "Litt3200"
_FORMATS = (".wav", ".flac", ".wav", ".ogg", ".wav", ".mp3", ".wav", ".wav")
_RATES_HZ = {".wav": 4000, ".flac": 8000, ".ogg": 8000, ".mp3": 8000}
_STEREO_EVERY = 5
_UNKNOWN_EVERY = 7


def draw_takes(plan: Plan) -> Iterator[tuple[Take, str]]:
    """Yield each recording of the collection, patient by patient, and the suffix of its file.

    Formats and channels go round by patient and index, so that a recording does not depend on how many others there
    are. The patients are called P001, P002, ...
    """
    for position, disease in enumerate(deal_diseases(plan.n_patients, RESPIRATORY_SHARES, plan.rng("diseases"))):
        patient_id = f"P{position + 1:03d}"
        patient = plan.draw_patient(patient_id, disease, (1, 85))
        for index, site in enumerate(draw_sites(plan, patient, plan.draw_count(patient_id))):
            number = 3 * position + index
            suffix = _FORMATS[number % len(_FORMATS)]
            take = record_chest(
                plan,
                patient,
                site,
                index,
                device=DEVICE,
                sample_rate_hz=_RATES_HZ[suffix],
                is_stereo=number % _STEREO_EVERY == 2,
            )
            yield take, suffix


def is_unknown(take: Take) -> bool:
    """Tell whether nobody has said what this recording holds: one in seven patients, by their number."""
    return int(take.patient.patient_id.removeprefix("P")) % _UNKNOWN_EVERY == 0


def write_take(
    plan: Plan, take: Take, file: str, *, labels: Mapping[str, str | None], annotations: tuple[Event, ...] = ()
) -> SimulatedRecording:
    """Write a recording's sound.

    Args:
        plan: Gives the root.
        take: The recording.
        file: Where to, relative to the root; without its suffix it is the recording's name in its id.
        labels: What the tree says of it.
        annotations: What the tree says lies where.
    """
    path = plan.root / file
    write_audio(path, take.waveform, take.sample_rate_hz)
    return SimulatedRecording(
        recording_id=recording_id_of(plan, file),
        path=path,
        patient=take.patient,
        site=take.site,
        duration_s=take.duration_s,
        sample_rate_hz=take.sample_rate_hz,
        sounds=take.source.sounds,
        labels=labels,
        annotations=annotations,
        n_channels=take.n_channels,
    )


def recording_id_of(plan: Plan, file: str) -> str:
    """Return the id of a file of the collection: its path without suffix."""
    return f"{plan.dataset}/{file.rpartition('.')[0]}"
