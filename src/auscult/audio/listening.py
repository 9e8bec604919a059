"""Sounds to listen to: small files that every browser plays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from auscult.audio.resample import resample
from auscult.storage.files import atomic_path

RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""What MP3 knows."""
PEAK = 0.7
"""Of full scale, to which the loudest sample is raised: lung sounds are recorded quietly."""


def write_listening_copy(waveform: NDArray[np.floating], rate_hz: int, path: Path) -> None:
    """Write a sound as MP3, its peak at `PEAK`; about 3 KB a second.

    Args:
        waveform: Of full scale 1, shape [sample]; silence stays silence.
        rate_hz: Samples a second. Another rate than MP3's own becomes the next higher one, or 48 kHz.
        path: The file.
    """
    sound = np.asarray(waveform, dtype=np.float32)
    peak = float(np.abs(sound).max(initial=0.0))
    mp3_hz = next((rate for rate in RATES_HZ if rate >= rate_hz), RATES_HZ[-1])
    louder = sound if peak == 0 else sound * np.float32(PEAK / peak)
    with atomic_path(path) as temporary:
        soundfile.write(temporary, resample([louder], rate_hz, mp3_hz), mp3_hz, format="MP3")
