"""Writing waveforms as WAV."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import soundfile

from auscult.simulate.signals import Signal

Subtype = Literal["PCM_16", "PCM_24", "PCM_32"]


def write_wav(path: Path, waveform: Signal, sample_rate_hz: int, subtype: Subtype = "PCM_16") -> None:
    """Write a mono WAV; equal waveforms give equal bytes.

    Args:
        path: Its folder is made when absent.
        waveform: In [-1, 1), shape [sample].
        sample_rate_hz: Written to the header.
        subtype: libsndfile's name of the sample format.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, waveform, sample_rate_hz, subtype=subtype, format="WAV")
