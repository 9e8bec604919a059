import subprocess
import sys

import librosa
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as checking
from hypothesis import strategies as st

from auscult.audio.clip_store import to_float32
from auscult.config import SpectrogramSettings
from auscult.errors import ConfigError
from auscult.spectrograms.log_mel import LogMel

TOLERANCE_DB = 1e-3
"""Float32 rounding of two FFTs, near the floor too."""


def noise(n_clips: int = 2, n_samples: int = 20_000) -> np.ndarray:
    return np.random.default_rng(4).normal(0, 0.05, (n_clips, n_samples)).astype(np.float32)


def by_librosa(waveforms: np.ndarray, settings: SpectrogramSettings, rate: int) -> np.ndarray:
    power = librosa.feature.melspectrogram(
        y=waveforms,
        sr=rate,
        n_fft=settings.n_fft,
        hop_length=settings.hop_samples,
        n_mels=settings.n_mels,
        fmin=settings.f_min_hz,
        fmax=settings.f_max_hz or rate / 2,
        htk=settings.mel_scale == "htk",
        norm="slaney" if settings.mel_norm == "slaney" else None,
        window=settings.window,
        power=settings.power,
        center=settings.centred,
        pad_mode="reflect",
    )
    return librosa.power_to_db(power, ref=1.0, amin=10 ** (settings.floor_db / 10), top_db=None)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"centred": True},
        {"window": "hamming", "hop_samples": 100, "n_fft": 512, "n_mels": 40},
        {"mel_scale": "htk", "mel_norm": "none", "f_min_hz": 50, "f_max_hz": 2000, "n_mels": 64},
        {"power": 1.0, "floor_db": -40},
        {"power": 1.5, "floor_db": -150},
        {"n_fft": 1000, "hop_samples": 2000},
        {"n_fft": 511, "hop_samples": 77, "n_mels": 30, "centred": True},
    ],
)
def test_spectrograms_equal_those_of_librosa(changes: dict) -> None:
    settings = SpectrogramSettings(**changes)
    waveforms = noise()
    waveforms[1, 5000:] = 0
    ours = LogMel(settings, 8000)(waveforms)
    assert ours.dtype == np.float32
    assert ours.shape == (2, settings.n_mels, settings.n_frames(waveforms.shape[1]))
    assert np.abs(ours - by_librosa(waveforms, settings, 8000)).max() < TOLERANCE_DB


def test_the_preset_gives_128_by_311() -> None:
    settings = SpectrogramSettings(n_fft=1024, hop_samples=254, n_mels=128)
    assert LogMel(settings, 8000)(np.zeros((1, 80_000), np.float32)).shape == (1, 128, 311)


def test_silence_lies_on_the_floor() -> None:
    settings = SpectrogramSettings(floor_db=-80)
    assert np.allclose(LogMel(settings, 8000)(np.zeros((1, 8000), np.float32)), -80, atol=1e-4)


def test_a_sine_ten_times_as_loud_is_20_db_higher() -> None:
    sine = np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000).astype(np.float32)
    quiet, loud = LogMel(SpectrogramSettings(), 8000)(np.stack([0.05 * sine, 0.5 * sine]))
    peak = np.unravel_index(np.argmax(loud), loud.shape)
    assert loud[peak] - quiet[peak] == pytest.approx(20, abs=0.01)


def test_int16_is_full_scale_one() -> None:
    samples = np.random.default_rng(2).integers(-9000, 9000, (2, 4000)).astype(np.int16)
    log_mel = LogMel(SpectrogramSettings(), 8000)
    assert np.array_equal(log_mel(samples), log_mel(to_float32(samples)))


@checking(deadline=None, max_examples=30)
@given(
    n_sound=st.integers(1, 3000),
    centred=st.booleans(),
    hop=st.integers(50, 400),
)
def test_knowing_where_silence_begins_changes_no_value(n_sound: int, centred: bool, hop: int) -> None:
    waveforms = noise(1, 3000)
    waveforms[:, n_sound:] = 0
    log_mel = LogMel(SpectrogramSettings(n_fft=256, hop_samples=hop, n_mels=16, centred=centred), 8000)
    assert np.array_equal(log_mel(waveforms), log_mel(waveforms, np.array([n_sound])))


def test_a_border_that_reflects_the_last_sound_is_not_taken_for_silence() -> None:
    """The last frame starts where the sound ends, and its last sample is the sound's last one, reflected."""
    settings = SpectrogramSettings(n_fft=256, hop_samples=100, n_mels=16, centred=True, window="hamming", floor_db=-150)
    waveforms = noise(1, 3000)
    waveforms[:, 3000 - 128 :] = 0
    log_mel = LogMel(settings, 8000)
    expected = by_librosa(waveforms, settings, 8000)
    assert expected[0, :, -1].min() > -140
    assert np.abs(log_mel(waveforms, np.array([3000 - 128])) - expected).max() < TOLERANCE_DB


@checking(deadline=None)
@given(n_valid=st.integers(1, 3000), centred=st.booleans(), hop=st.integers(50, 400))
def test_valid_frames_are_those_that_see_true_sound(n_valid: int, centred: bool, hop: int) -> None:
    settings = SpectrogramSettings(n_fft=256, hop_samples=hop, n_mels=16, centred=centred)
    n_frames = settings.n_frames(3000)
    (counted,) = LogMel(settings, 8000).n_frames_valid(np.array([n_valid]), 3000)
    starts = np.arange(n_frames) * hop - (128 if centred else 0)
    assert counted == max(1, int(np.sum(starts < n_valid)))


def test_settings_that_do_not_fit_the_clips_are_refused() -> None:
    with pytest.raises(ConfigError, match="f_min_hz 0 to f_max_hz 4000 does not fit clips at 4000 Hz"):
        LogMel(SpectrogramSettings(f_max_hz=4000), 4000)
    with pytest.raises(ConfigError, match="n_fft 1024 is longer than a clip of 1000 samples"):
        LogMel(SpectrogramSettings(), 8000)(np.zeros((1, 1000), np.float32))


def test_bands_between_two_bins_are_counted() -> None:
    assert LogMel(SpectrogramSettings(n_fft=128, n_mels=128), 8000).n_empty_bands > 0
    assert LogMel(SpectrogramSettings(n_fft=1024, n_mels=64), 8000).n_empty_bands == 0


def test_the_stage_imports_neither_torch_nor_librosa() -> None:
    program = (
        "import sys, auscult.audio.cut_clips, auscult.spectrograms.make_spectrograms; "
        "print(sorted({'torch', 'librosa', 'scipy.signal', 'sklearn', 'mlflow', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
