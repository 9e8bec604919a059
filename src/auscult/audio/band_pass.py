"""Zero-phase band-pass filtering."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from auscult.config.clips import BandPass


def band_pass(waveform: NDArray[np.float32], settings: BandPass, sample_rate_hz: int) -> NDArray[np.float32]:
    """Return the waveform, shape [sample], filtered forwards and backwards by a Butterworth band-pass.

    Nothing is delayed; the two passes add up to twice the attenuation of one filter of `settings.order`, 6 dB at the
    edges.
    """
    # SciPy's signal package takes over a second to import, and most experiments filter nothing.
    from scipy import signal  # noqa: PLC0415

    edges = [settings.low_hz, settings.high_hz]
    sections = signal.butter(settings.order, edges, btype="bandpass", output="sos", fs=sample_rate_hz)
    n_sections = settings.order
    # SciPy's own choice of padding, shortened where the sound is shorter than it.
    padding = min(3 * (2 * n_sections + 1), len(waveform) - 1)
    filtered = signal.sosfiltfilt(sections, waveform.astype(np.float64), padlen=max(0, padding))
    return filtered.astype(np.float32)
