import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from auscult.config import ClipSettings, SpectrogramSettings
from auscult.config.spectrogram import FrontendSettings, frontend_bands, frontend_fault, frontend_range_hz
from auscult.models.frontends import ConstantQ, Frontend, build_frontend, log_mel
from auscult.spectrograms.filterbanks import constant_q_frequencies, constant_q_kernel, constant_q_length
from auscult.spectrograms.log_mel import LogMel

CLIPS = ClipSettings(length_s=2.0, sample_rate_hz=8000)
SPECTROGRAM = SpectrogramSettings(n_fft=512, hop_samples=128, n_mels=32)
NAMES = ("mel", "learnable_mel", "linear", "cqt")


def settings_of(name, **values):
    return TypeAdapter(FrontendSettings).validate_python({"name": name, **values})


def noise(n_clips=3):
    return torch.from_numpy(0.1 * np.random.default_rng(0).standard_normal((n_clips, CLIPS.n_samples), np.float32))


def tone(frequency_hz, amplitude=0.5):
    time_s = torch.arange(CLIPS.n_samples) / CLIPS.sample_rate_hz
    return amplitude * torch.sin(2 * torch.pi * frequency_hz * time_s)[None]


@pytest.mark.parametrize(
    "changes", [{}, {"centred": True}, {"power": 1.0, "mel_scale": "htk"}, {"window": "hamming", "f_min_hz": 100.0}]
)
def test_the_mel_bands_are_those_of_the_stores(changes):
    settings = SPECTROGRAM.model_copy(update=changes)
    expected = LogMel(settings, CLIPS.sample_rate_hz)(noise().numpy())
    np.testing.assert_allclose(log_mel(settings, CLIPS)(noise()), expected, atol=1e-3)
    silent = log_mel(settings, CLIPS)(torch.zeros(1, CLIPS.n_samples))
    assert (silent == settings.floor_db).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_shape_is_known_before_anything_is_built(name):
    settings = settings_of(name)
    frontend = build_frontend(settings, SPECTROGRAM, CLIPS)
    n_bands = frontend_bands(settings, SPECTROGRAM, CLIPS)
    assert frontend.shape == (n_bands, SPECTROGRAM.n_frames(CLIPS.n_samples))
    assert frontend(noise()).shape == (3, *frontend.shape)
    # A clip's answer does not depend on its batch once the statistics are settled.
    frontend.eval()
    torch.testing.assert_close(frontend(noise())[1:2], frontend(noise()[1:2]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_a_tone_is_loudest_in_its_band(name):
    settings = settings_of(name)
    frontend = build_frontend(settings, SPECTROGRAM, CLIPS)
    levels_db = frontend.bands(tone(1000.0))[0].mean(dim=1)
    low, high = frontend_range_hz(settings, SPECTROGRAM, CLIPS)
    if name == "linear":
        centre = 1000.0 / (high - low) * (len(levels_db) - 1)
    elif name == "cqt":
        centre = 24 * np.log2(1000.0 / low)
    else:
        from auscult.spectrograms.filterbanks import hz_to_mel

        mels = hz_to_mel([low, 1000.0, high], "slaney")
        centre = (mels[1] - mels[0]) / (mels[2] - mels[0]) * (len(levels_db) + 1) - 1
    assert abs(int(levels_db.argmax()) - centre) <= 0.51


def test_linear_bands_may_be_fewer_than_bins():
    settings = settings_of("linear", n_bands=16)
    frontend = build_frontend(settings, SPECTROGRAM, CLIPS)
    assert frontend.shape[0] == 16
    assert int(frontend.bands(tone(4000 / 17 * 5))[0].mean(dim=1).argmax()) == 4


def test_the_constant_q_transform_equals_its_definition():
    settings = settings_of("cqt", bins_per_octave=12, f_min_hz=100.0)
    transform = ConstantQ(settings, SPECTROGRAM, CLIPS.sample_rate_hz, (100.0, 3000.0))
    waveform = noise(1)
    found = 10 ** (transform(waveform)[0].numpy() / 20)
    padded = np.pad(waveform[0].numpy().astype(np.float64), 4000)
    for band, hz in enumerate(constant_q_frequencies(f_min_hz=100.0, f_max_hz=3000.0, bins_per_octave=12)):
        n_samples = constant_q_length(float(hz), sample_rate_hz=8000, bins_per_octave=12)
        kernel = constant_q_kernel(float(hz), sample_rate_hz=8000, bins_per_octave=12, n_samples=n_samples)
        for frame in (0, 17, found.shape[1] - 1):
            middle = 4000 + SPECTROGRAM.n_fft // 2 + frame * SPECTROGRAM.hop_samples
            # Kernels of an octave are centred in one length: an odd and an even one may lie a sample apart.
            direct = [
                abs((padded[start : start + n_samples] * kernel).sum())
                for start in (middle - n_samples // 2 + shift for shift in (-1, 0, 1))
            ]
            assert min(abs(np.asarray(direct) - found[band, frame])) < 1e-4


def test_a_tone_of_amplitude_one_is_0_db_in_its_constant_q_band():
    settings = settings_of("cqt", f_min_hz=110.0)
    transform = build_frontend(settings, SPECTROGRAM, CLIPS).bands
    levels_db = transform(tone(440.0, amplitude=1.0))[0]
    assert levels_db[48, 40:80] == pytest.approx(np.zeros(40), abs=0.05)


def test_only_learnable_filters_are_trained_and_negative_weights_count_as_none():
    n_trained = {
        name: sum(p.numel() for p in build_frontend(settings_of(name), SPECTROGRAM, CLIPS).bands.parameters())
        for name in NAMES
    }
    assert n_trained == {"mel": 0, "learnable_mel": 32 * 257, "linear": 0, "cqt": 0}
    learnable = log_mel(SPECTROGRAM, CLIPS, is_learnable=True)
    before = learnable(noise())
    learnable(noise()).mean().backward()
    assert learnable.filters.grad.abs().sum() > 0
    with torch.no_grad():
        learnable.filters[learnable.filters == 0] = -1.0
    torch.testing.assert_close(learnable(noise()), before)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_stay_finite_on_silence(name):
    frontend = build_frontend(settings_of(name), SPECTROGRAM, CLIPS)
    waveforms = torch.zeros(2, CLIPS.n_samples, requires_grad=True)
    frontend(waveforms).square().sum().backward()
    assert waveforms.grad.isfinite().all()


def test_bands_beyond_half_the_sample_rate_are_refused():
    fault = frontend_fault(settings_of("cqt", f_max_hz=5000.0), SPECTROGRAM, CLIPS)
    assert "from 60 Hz to 5000 Hz; they must rise, and end at or below 4000 Hz" in fault
    assert frontend_fault(settings_of("mel"), SPECTROGRAM, CLIPS) is None


def test_the_statistics_are_those_of_training():
    frontend = build_frontend(settings_of("mel"), SPECTROGRAM, CLIPS)
    assert isinstance(frontend, Frontend)
    for _ in range(100):
        frontend(noise())
    frontend.eval()
    normalised = frontend(noise())
    assert normalised.mean(dim=(0, 2)).abs().max() < 0.02
    assert (normalised.std(dim=(0, 2)) - 1).abs().max() < 0.02
