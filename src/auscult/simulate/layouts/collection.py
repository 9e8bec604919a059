"""What the general layouts have in common: patients, and recordings in all formats, some of two channels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from auscult.simulate.audio_files import write_audio
from auscult.simulate.layouts.chest import Take, record_chest
from auscult.simulate.layouts.cycles import RESPIRATORY_SHARES, draw_sites
from auscult.simulate.layouts.plan import Plan, SimulatedRecording
from auscult.simulate.patients import deal_diseases, draw_patient
from auscult.tables import Event

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
        patient = draw_patient(patient_id, disease, (1, 85), plan.rng(patient_id))
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
