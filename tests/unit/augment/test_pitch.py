"""Speed, stretch and pitch: of tones, clicks and a mixed sound, and beside librosa."""

import librosa
import numpy as np
import pytest
import torch

from auscult.augment.pitch import PhaseVocoder, PitchShifter, Resampler
from auscult.augment.waveform import Sounds
from auscult.config.waveform_augment import PitchShift

RATE_HZ = 8000
N_SAMPLES = 32_000
CPU = torch.device("cpu")


def tone(frequency_hz: float, n_samples: int = N_SAMPLES) -> torch.Tensor:
    return 0.5 * torch.sin(2 * torch.pi * frequency_hz * torch.arange(n_samples).double() / RATE_HZ).float()[None]


def peak_hz(waveform: torch.Tensor) -> float:
    """Return the frequency of the highest peak, by a parabola through its logarithm."""
    n_fft = 1 << 17
    windowed = waveform.double() * torch.hann_window(len(waveform), dtype=torch.float64)
    power = torch.fft.rfft(windowed, n_fft).abs().log()
    top = int(power.argmax())
    left, middle, right = power[top - 1 : top + 2].tolist()
    return (top + (left - right) / (left - 2 * middle + right) / 2) * RATE_HZ / n_fft


def pitched(waveforms: torch.Tensor, hundredths: int) -> torch.Tensor:
    step = PitchShifter(PitchShift(name="pitch_shift", max_semitones=12), RATE_HZ, CPU)
    sounds = Sounds(waveforms, torch.full((len(waveforms),), waveforms.shape[1]), has_padding=False)
    return step.apply(sounds, (torch.full((len(waveforms),), hundredths),))


def stretched(waveforms: torch.Tensor, rate: float) -> torch.Tensor:
    rates = torch.full((len(waveforms),), rate, dtype=torch.float64)
    return PhaseVocoder(RATE_HZ, CPU)(waveforms, rates, waveforms.shape[1])


def mixed_sound() -> np.ndarray:
    """Ten seconds of a rising chirp, a wheeze with vibrato, breath noise and crackles."""
    rng = np.random.default_rng(1)
    times_s = np.arange(80_000) / RATE_HZ
    sound = 0.2 * np.sin(2 * np.pi * (100 * times_s + 20 * times_s**2))
    sound += 0.1 * np.sin(2 * np.pi * 400 * times_s + 3 * np.sin(2 * np.pi * 4 * times_s))
    sound += 0.05 * rng.standard_normal(80_000) * np.sin(np.pi * times_s / 3) ** 2
    crackle = 0.3 * np.exp(-np.arange(80) / 15) * np.sin(2 * np.pi * 500 * np.arange(80) / RATE_HZ)
    for start in rng.integers(0, 79_000, 40):
        sound[start : start + 80] += crackle
    return sound.astype(np.float32)


def mel_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Return the correlation of two log-mel spectrograms, over what both hold."""
    n_samples = min(len(first), len(second))
    spectra = [
        np.log10(
            librosa.feature.melspectrogram(y=y[:n_samples], sr=RATE_HZ, n_fft=1024, hop_length=256, n_mels=64) + 1e-3
        )
        for y in (first, second)
    ]
    return float(np.corrcoef(spectra[0].ravel(), spectra[1].ravel())[0, 1])


@pytest.mark.parametrize(("hundredths", "expected_hz"), [(200, 880.0), (50, 220.0), (112, 492.8), (89, 391.6)])
def test_a_tone_of_440_hz_is_shifted_by_the_ratio_and_lasts_as_long(hundredths: int, expected_hz: float) -> None:
    shifted = pitched(tone(440), hundredths)
    assert peak_hz(shifted[0, 4000:-4000]) == pytest.approx(expected_hz, abs=0.2)
    envelope = shifted[0].unfold(0, 800, 800).square().mean(dim=1).sqrt()
    assert envelope[2:-2] == pytest.approx(0.5 / np.sqrt(2), rel=0.05)
    assert envelope[[0, 1, -2, -1]] == pytest.approx(0.5 / np.sqrt(2), rel=0.35)


def test_twelve_semitones_are_the_furthest_that_is_drawn_of_twelve(augment) -> None:
    shifted = augment(tone(440, 8000).expand(300, -1), {"name": "pitch_shift", "max_semitones": 12})
    semitones = np.array([12 * np.log2(peak_hz(clip[1000:-1000]) / 440) for clip in shifted])
    assert semitones.min() == pytest.approx(-12, abs=0.3)
    assert semitones.max() == pytest.approx(12, abs=0.3)
    assert np.median(semitones) == pytest.approx(0, abs=1.5)


@pytest.mark.parametrize("hundredths", [80, 125, 200])
def test_a_shift_keeps_events_at_their_places(hundredths: int) -> None:
    waveforms = torch.zeros(1, N_SAMPLES)
    waveforms[0, 10_000] = waveforms[0, 22_000] = 1
    energy = pitched(waveforms, hundredths)[0].square().unfold(0, 100, 100).sum(dim=1)
    for begin, end, place in ((0, 160, 100), (160, 320, 220)):
        weights = energy[begin:end]
        assert float((weights * (torch.arange(begin, end) + 0.5)).sum() / weights.sum()) == pytest.approx(place, abs=5)


@pytest.mark.parametrize("rate", [0.5, 0.8, 1.25, 2.0])
def test_a_stretch_keeps_the_pitch_and_changes_when_events_come(rate: float) -> None:
    kept = stretched(tone(440), rate)
    n_left = min(N_SAMPLES, int(N_SAMPLES / rate))
    assert peak_hz(kept[0, 2000 : n_left - 2000]) == pytest.approx(440, abs=0.2)
    assert kept[0, 2000 : n_left - 2000].square().mean().sqrt() == pytest.approx(0.5 / np.sqrt(2), rel=0.05)
    if rate > 1:
        assert not kept[0, n_left + 1024 :].any()
    waveforms = torch.zeros(1, N_SAMPLES)
    waveforms[0, 6000] = waveforms[0, 14_000] = 1
    # The place of a click's energy; a vocoder spreads a click over its window, of 1024 samples.
    energy = stretched(waveforms, rate)[0].square()
    middle = int(10_000 / rate)
    for begin, end, place in ((0, middle, 6000 / rate), (middle, min(N_SAMPLES, 2 * middle), 14_000 / rate)):
        weights, samples = energy[begin:end], torch.arange(begin, end)
        assert float((weights * samples).sum() / weights.sum()) == pytest.approx(place, abs=500)


def test_a_stretch_and_a_shift_by_nothing_change_nothing() -> None:
    waveforms = torch.from_numpy(mixed_sound())[None]
    torch.testing.assert_close(stretched(waveforms, 1.0), waveforms, atol=5e-6, rtol=0)
    torch.testing.assert_close(pitched(waveforms, 100), waveforms, atol=5e-6, rtol=0)


@pytest.mark.parametrize("rate", [0.8, 0.9, 1.1, 1.25, 2.0])
def test_a_stretch_is_as_near_to_librosas_as_that_is_to_itself_at_another_hop(rate: float) -> None:
    sound = mixed_sound()
    ours = stretched(torch.from_numpy(sound)[None], rate)[0].numpy()
    theirs, others = (librosa.effects.time_stretch(sound, rate=rate, n_fft=1024, hop_length=hop) for hop in (256, 128))
    n_samples = min(len(theirs), len(sound))
    found, own = mel_correlation(ours[:n_samples], theirs), mel_correlation(others[:n_samples], theirs)
    assert found > 0.955
    assert found > own - 0.01


@pytest.mark.parametrize("hundredths", [50, 89, 94, 106, 112, 150])
def test_a_shift_has_the_spectrum_of_librosas(hundredths: int) -> None:
    sound = mixed_sound()
    ours = pitched(torch.from_numpy(sound)[None], hundredths)[0].numpy()
    semitones = 12 * np.log2(hundredths / 100)
    theirs = librosa.effects.pitch_shift(sound, sr=RATE_HZ, n_steps=semitones, n_fft=1024, hop_length=256)
    assert mel_correlation(ours, theirs) > 0.96


@pytest.mark.parametrize("hundredths", [80, 93, 107, 125, 200])
def test_resampling_is_that_of_librosa_below_the_upper_band_edge(hundredths: int) -> None:
    # Sound up to 0.8 of what is left of the frequencies, where neither filter has begun to fall.
    rng = np.random.default_rng(2)
    spectrum = np.fft.rfft(rng.standard_normal(N_SAMPLES))
    spectrum[int(0.8 * len(spectrum) * min(1, 100 / hundredths)) :] = 0
    sound = np.fft.irfft(spectrum).astype(np.float32)
    ours = Resampler(CPU)(torch.from_numpy(sound)[None], torch.tensor([hundredths]), N_SAMPLES)[0].numpy()
    theirs = librosa.resample(sound, orig_sr=hundredths, target_sr=100)[:N_SAMPLES]
    inner = slice(200, len(theirs) - 200)
    assert np.abs(ours[inner] - theirs[inner]).max() < 1e-4 * np.abs(theirs).max()
    assert not ours[len(theirs) + 1 :].any()


def test_what_would_lie_above_half_the_rate_is_gone_not_folded_down() -> None:
    faster = Resampler(CPU)(tone(3000), torch.tensor([200]), N_SAMPLES)
    assert faster[0, 500 : N_SAMPLES // 2 - 500].abs().max() < 1e-4


def test_speed_changes_pitch_and_tempo_together(augment) -> None:
    waveforms = tone(400).expand(100, -1).clone()
    waveforms[:, 10_000:10_400] = 0
    faster = augment(waveforms, {"name": "speed", "rate": [0.8, 1.25]})
    ratios = np.array([peak_hz(clip[:7500]) / 400 for clip in faster])
    gaps = np.array([float(clip.unfold(0, 200, 1)[:14_000].square().sum(dim=1).argmin()) + 100 for clip in faster])
    np.testing.assert_allclose(gaps * ratios, 10_200, atol=120)
    np.testing.assert_allclose(ratios, ratios.round(2), atol=3e-4)
    assert ratios.min() == pytest.approx(0.8, abs=0.02)
    assert ratios.max() == pytest.approx(1.25, abs=0.02)


def test_what_runs_beyond_the_true_sound_is_cut_and_what_ends_early_leaves_silence(augment) -> None:
    waveforms = tone(400).expand(2, -1).clone()
    waveforms[:, 20_000:] = 0
    n_valid = torch.full((2,), 20_000)
    for name in ("speed", "time_stretch"):
        slower = augment(waveforms, {"name": name, "rate": [0.8, 0.8]}, n_valid=n_valid)
        assert slower[:, 19_900:20_000].square().mean() > 0.1
        assert not slower[:, 20_000:].any()
        faster = augment(waveforms, {"name": name, "rate": [1.25, 1.25]}, n_valid=n_valid)
        assert faster[:, 15_000:15_900].square().mean() > 0.1
        assert faster[:, 17_100:].abs().max() < 1e-4
