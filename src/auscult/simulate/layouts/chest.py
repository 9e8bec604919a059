"""One chest heard once, for the layouts that differ in nothing but files and words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from auscult.simulate.devices import DEVICES, LITTMANN_BELL
from auscult.simulate.layouts.plan import Plan
from auscult.simulate.patients import Patient
from auscult.simulate.recording import CRACKLE_KINDS, WHEEZE_KINDS, Sound, Source, draw_level, listen, simulate_source
from auscult.simulate.signals import Signal, uniform


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
