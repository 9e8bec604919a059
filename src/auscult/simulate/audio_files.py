"""Writing waveforms as WAV, FLAC, Ogg Vorbis and MP3; equal waveforms give equal bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import soundfile

from auscult.simulate.ogg_pages import with_fixed_stream
from auscult.simulate.signals import Signal

Subtype = Literal["PCM_16", "PCM_24", "PCM_32"]

AUDIO_FORMATS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}
"""Suffix -> libsndfile's names of the container and of the sample format."""


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


def write_audio(path: Path, waveform: Signal, sample_rate_hz: int) -> None:
    """Write a sound in the format that the path's suffix names; equal waveforms give equal bytes.

    Args:
        path: Its suffix is one of `AUDIO_FORMATS`; its folder is made when absent.
        waveform: In [-1, 1), shape [sample] or [sample, channel].
        sample_rate_hz: Written to the header; MP3 knows 8, 11.025, 12, 16, 22.05, 24, 32, 44.1 and 48 kHz.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    container, subtype = AUDIO_FORMATS[path.suffix]
    soundfile.write(path, waveform, sample_rate_hz, subtype=subtype, format=container)
    if path.suffix == ".ogg":
        path.write_bytes(with_fixed_stream(path.read_bytes()))
