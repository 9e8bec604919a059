import warnings

import librosa
import numpy as np
import pytest

from auscult.spectrograms.filterbanks import hz_to_mel, mel_filterbank, mel_to_hz


@pytest.mark.parametrize("norm", ["slaney", "none"])
@pytest.mark.parametrize("scale", ["slaney", "htk"])
@pytest.mark.parametrize(
    ("shape", "band_hz"),
    [
        ((8000, 1024, 128), (0, 4000)),
        ((4000, 256, 64), (50, 2000)),
        ((44_100, 2048, 40), (20, 12_345.6)),
        ((8000, 511, 20), (0, 4000)),
    ],
)
def test_filters_equal_those_of_librosa(
    shape: tuple[int, int, int], band_hz: tuple[float, float], scale: str, norm: str
) -> None:
    (rate, n_fft, n_mels), (f_min_hz, f_max_hz) = shape, band_hz
    ours = mel_filterbank(
        sample_rate_hz=rate, n_fft=n_fft, n_mels=n_mels, f_min_hz=f_min_hz, f_max_hz=f_max_hz, scale=scale, norm=norm
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of empty filters
        theirs = librosa.filters.mel(
            sr=rate,
            n_fft=n_fft,
            n_mels=n_mels,
            fmin=f_min_hz,
            fmax=f_max_hz,
            htk=scale == "htk",
            norm="slaney" if norm == "slaney" else None,
        )
    assert ours.dtype == np.float32
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 1e-6 * theirs.max()


@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_mel_and_hertz_are_inverse(scale: str) -> None:
    frequencies = np.linspace(0, 20_000, 501)
    assert np.allclose(mel_to_hz(hz_to_mel(frequencies, scale), scale), frequencies, atol=1e-8)
    assert np.allclose(hz_to_mel(frequencies, scale), librosa.hz_to_mel(frequencies, htk=scale == "htk"))
