"""Filterbanks and windows in pure numpy: librosa's give the same numbers and take three seconds to import."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Slaney's Auditory Toolbox (1998): linear up to 1 kHz, 3 mel per 200 Hz; logarithmic above, 27 mel per factor 6.4.
_SLANEY_HZ_PER_MEL = 200.0 / 3
_SLANEY_KNEE_HZ = 1000.0
_SLANEY_KNEE_MEL = _SLANEY_KNEE_HZ / _SLANEY_HZ_PER_MEL
_SLANEY_LOG_STEP = np.log(6.4) / 27


def hz_to_mel(frequency_hz: ArrayLike, scale: Literal["slaney", "htk"]) -> NDArray[np.float64]:
    """Return frequencies in mel: Slaney's scale, or O'Shaughnessy's as HTK has it.

    >>> hz_to_mel([500.0, 1000.0], "slaney").round(6).tolist()
    [7.5, 15.0]
    """
    hz = np.asarray(frequency_hz, np.float64)
    if scale == "htk":
        return 2595.0 * np.log10(1.0 + hz / 700.0)
    above = _SLANEY_KNEE_MEL + np.log(np.maximum(hz, _SLANEY_KNEE_HZ) / _SLANEY_KNEE_HZ) / _SLANEY_LOG_STEP
    return np.where(hz < _SLANEY_KNEE_HZ, hz / _SLANEY_HZ_PER_MEL, above)


def mel_to_hz(mel: ArrayLike, scale: Literal["slaney", "htk"]) -> NDArray[np.float64]:
    """Return mel as frequencies in Hz; the inverse of `hz_to_mel`.

    >>> mel_to_hz([7.5, 15.0], "slaney").round(6).tolist()
    [500.0, 1000.0]
    """
    mels = np.asarray(mel, np.float64)
    if scale == "htk":
        return 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    above = _SLANEY_KNEE_HZ * np.exp(_SLANEY_LOG_STEP * (np.maximum(mels, _SLANEY_KNEE_MEL) - _SLANEY_KNEE_MEL))
    return np.where(mels < _SLANEY_KNEE_MEL, mels * _SLANEY_HZ_PER_MEL, above)


def mel_filterbank(
    *,
    sample_rate_hz: int,
    n_fft: int,
    n_mels: int,
    f_min_hz: float,
    f_max_hz: float,
    scale: Literal["slaney", "htk"],
    norm: Literal["slaney", "none"],
) -> NDArray[np.float32]:
    """Return triangular filters over FFT bins, shape [mel, n_fft // 2 + 1].

    Equal to `librosa.filters.mel(sr=..., n_fft=..., n_mels=..., fmin=..., fmax=..., htk=..., norm=...)`. With more
    bands than the FFT resolves, some filters fall between two bins and are all zero.

    Args:
        sample_rate_hz: Of the sound.
        n_fft: Length of the FFT.
        n_mels: Bands.
        f_min_hz: Lower edge of the first band.
        f_max_hz: Upper edge of the last band.
        scale: Spacing of the bands.
        norm: `slaney` gives every band the same area; `none` the same peak of 1.
    """
    bins_hz = np.fft.rfftfreq(n_fft, 1 / sample_rate_hz)
    ends_mel = hz_to_mel([f_min_hz, f_max_hz], scale)
    edges_hz = mel_to_hz(np.linspace(ends_mel[0], ends_mel[1], n_mels + 2), scale)
    lower, centre, upper = (edges[:, None] for edges in (edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]))
    rising = (bins_hz - lower) / (centre - lower)
    falling = (upper - bins_hz) / (upper - centre)
    filters = np.maximum(0.0, np.minimum(rising, falling))
    if norm == "slaney":
        filters *= 2.0 / (upper - lower)
    return filters.astype(np.float32)


def kaldi_filterbank(*, sample_rate_hz: int, n_fft: int, n_mels: int, f_min_hz: float) -> NDArray[np.float32]:
    """Return Kaldi's filters over FFT bins up to half the sample rate, shape [mel, n_fft // 2 + 1].

    Triangles of peak 1 that are straight on HTK's mel scale; the last bin counts for nothing. Equal to
    `torchaudio.compliance.kaldi.get_mel_banks`.

    Args:
        sample_rate_hz: Of the sound.
        n_fft: Length of the FFT.
        n_mels: Bands.
        f_min_hz: Lower edge of the first band.
    """
    bins = hz_to_mel(np.fft.rfftfreq(n_fft, 1 / sample_rate_hz), "htk")
    ends = hz_to_mel([f_min_hz, sample_rate_hz / 2], "htk")
    edges = np.linspace(ends[0], ends[1], n_mels + 2)
    lower, centre, upper = (part[:, None] for part in (edges[:-2], edges[1:-1], edges[2:]))
    filters = np.maximum(0.0, np.minimum((bins - lower) / (centre - lower), (upper - bins) / (upper - centre)))
    filters[:, -1] = 0.0
    return filters.astype(np.float32)


def linear_filterbank(
    *, sample_rate_hz: int, n_fft: int, n_bands: int | None, f_min_hz: float, f_max_hz: float
) -> NDArray[np.float32]:
    """Return bands of equal width on a linear scale of frequency, shape [band, n_fft // 2 + 1].

    Args:
        sample_rate_hz: Of the sound.
        n_fft: Length of the FFT.
        n_bands: Triangular filters with a peak of 1, which overlap by half; None: every FFT bin from `f_min_hz` to
            `f_max_hz` is a band.
        f_min_hz: Lower edge of the first band.
        f_max_hz: Upper edge of the last band.

    >>> linear_filterbank(sample_rate_hz=8, n_fft=8, n_bands=None, f_min_hz=1, f_max_hz=2).tolist()
    [[0.0, 1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0, 0.0]]
    """
    bins_hz = np.fft.rfftfreq(n_fft, 1 / sample_rate_hz)
    if n_bands is None:
        inside = (bins_hz >= f_min_hz) & (bins_hz <= f_max_hz)
        return np.eye(len(bins_hz), dtype=np.float32)[inside]
    edges_hz = np.linspace(f_min_hz, f_max_hz, n_bands + 2)
    distance = np.abs(bins_hz - edges_hz[1:-1, None])
    return np.maximum(0.0, 1.0 - distance / (edges_hz[1] - edges_hz[0])).astype(np.float32)


def constant_q_frequencies(*, f_min_hz: float, f_max_hz: float, bins_per_octave: int) -> NDArray[np.float64]:
    """Return the centres of the bands of a constant-Q transform, from `f_min_hz` up, below `f_max_hz`.

    >>> constant_q_frequencies(f_min_hz=100, f_max_hz=401, bins_per_octave=2).round(1).tolist()
    [100.0, 141.4, 200.0, 282.8, 400.0]
    """
    n_bands = int(np.ceil(bins_per_octave * np.log2(f_max_hz / f_min_hz)))
    return f_min_hz * 2.0 ** (np.arange(n_bands) / bins_per_octave)


def constant_q_kernel(
    frequency_hz: float, *, sample_rate_hz: int, bins_per_octave: int, n_samples: int
) -> NDArray[np.complex128]:
    """Return the kernel of one band (Brown 1991), in the middle of `n_samples`: its product with a sound is the band.

    A Hann window of Q periods times a complex tone, where Q = 1 / (2^(1 / bins_per_octave) - 1), scaled so that a tone
    of amplitude 1 at the band's frequency gives 1.

    Args:
        frequency_hz: The band's centre.
        sample_rate_hz: Of the sound.
        bins_per_octave: Bands in an octave.
        n_samples: Length of the result; at least that of the kernel (`constant_q_length`).

    Raises:
        ValueError: `n_samples` is too short.
    """
    length = constant_q_length(frequency_hz, sample_rate_hz=sample_rate_hz, bins_per_octave=bins_per_octave)
    if length > n_samples:
        raise ValueError(f"the kernel of {frequency_hz:g} Hz has {length} samples, more than {n_samples}")
    places = np.arange(length) - (length - 1) / 2
    window = 0.5 + 0.5 * np.cos(2 * np.pi * places / length)
    kernel = window * np.exp(-2j * np.pi * frequency_hz / sample_rate_hz * places) * (2 / window.sum())
    filled = np.zeros(n_samples, np.complex128)
    start = (n_samples - length) // 2
    filled[start : start + length] = kernel
    return filled


def constant_q_length(frequency_hz: float, *, sample_rate_hz: int, bins_per_octave: int) -> int:
    """Return the samples of a band's kernel.

    >>> constant_q_length(100.0, sample_rate_hz=8000, bins_per_octave=12)
    1346
    """
    quality = 1 / (2.0 ** (1 / bins_per_octave) - 1)
    return int(np.ceil(quality * sample_rate_hz / frequency_hz))


def analysis_window(name: Literal["hann", "hamming"], n_samples: int) -> NDArray[np.float32]:
    """Return the periodic window, as `scipy.signal.get_window` gives it.

    >>> analysis_window("hann", 4).tolist()
    [0.0, 0.5, 1.0, 0.5]
    """
    constant = {"hann": 0.5, "hamming": 0.54}[name]
    phase = 2 * np.pi * np.arange(n_samples) / n_samples
    return (constant - (1 - constant) * np.cos(phase)).astype(np.float32)
