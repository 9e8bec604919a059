import numpy as np
import pytest
import soundfile
import torch

from auscult.augment.noise import EXPONENTS, coloured_noise, read_noises
from auscult.errors import ConfigError, DataError

RATE_HZ = 8000


def tones(n_clips: int, n_samples: int) -> torch.Tensor:
    """Tones of different levels, in float64: what is added to them is found to the last bit of float32."""
    times_s = torch.arange(n_samples) / RATE_HZ
    levels = 10 ** torch.linspace(-4, 0, n_clips)
    return levels[:, None] * torch.sin(2 * torch.pi * 200 * times_s)


def snr_db(signal: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    return 10 * (signal.double().square().sum(dim=1) / noise.double().square().sum(dim=1)).log10()


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(1)
    (tmp_path / "ward").mkdir()
    soundfile.write(tmp_path / "ward" / "b.wav", 0.01 * rng.standard_normal((30_000, 2)), 16_000)
    soundfile.write(tmp_path / "c.flac", 0.3 * rng.standard_normal(1500), 8000)
    (tmp_path / "notes.txt").write_text("no sound")
    return tmp_path


@pytest.mark.parametrize("name", ["gaussian_noise", "coloured_noise", "background_noise"])
@pytest.mark.parametrize("asked_db", [-10.0, 5.0, 30.0])
def test_the_signal_to_noise_ratio_over_the_true_sound_is_what_was_asked(name, asked_db, folder, augment) -> None:
    waveforms = tones(20, 12_000)
    n_valid = torch.full((20,), 12_000)
    n_valid[::2] = 3000
    waveforms[::2, 3000:] = 0
    step = {"name": name, "snr_db": [asked_db, asked_db], **({"folder": str(folder)} if "back" in name else {})}
    noise = augment(waveforms, step, n_valid=n_valid) - waveforms
    assert not noise[::2, 3000:].any()
    assert (snr_db(waveforms, noise) - asked_db).abs().max() < 0.01


def test_the_ratio_is_evenly_drawn_in_decibels(augment) -> None:
    waveforms = tones(400, 500)
    found = snr_db(waveforms, augment(waveforms, {"name": "gaussian_noise", "snr_db": [3, 23]}) - waveforms)
    assert found.min() == pytest.approx(3, abs=0.3)
    assert found.max() == pytest.approx(23, abs=0.3)
    assert found.mean() == pytest.approx(13, abs=1)


def test_gaussian_noise_is_gaussian_white_and_another_in_each_clip(augment) -> None:
    # Beside a tone of little power the noise is all that is left.
    waveforms = torch.full((40, 40_000), 1e-3)
    noise = augment(waveforms, {"name": "gaussian_noise", "snr_db": [-40, -40]}) - waveforms
    noise = noise / noise.std(dim=1, keepdim=True)
    assert (noise**3).mean() == pytest.approx(0, abs=0.02)
    assert (noise**4).mean() == pytest.approx(3, abs=0.05)
    assert (torch.corrcoef(noise) - torch.eye(40)).abs().max() < 0.03
    power = torch.fft.rfft(noise).abs().square().mean(dim=0)[1:].view(20, -1).mean(dim=1) / 40_000
    assert (power - 1).abs().max() < 0.02


@pytest.mark.parametrize("colour", [*EXPONENTS, 1.5])
def test_coloured_noise_falls_with_frequency_as_its_exponent_says(colour, augment) -> None:
    waveforms = torch.full((60, 16_000), 1e-3)
    step = {"name": "coloured_noise", "snr_db": [-40, -40], "colours": [colour]}
    noise = (augment(waveforms, step) - waveforms).double() * torch.hann_window(16_000)
    power = torch.fft.rfft(noise).abs().square().mean(dim=0).numpy()
    hz = np.fft.rfftfreq(16_000, 1 / RATE_HZ)
    heard = (hz > 40) & (hz < 3900)
    slope, _ = np.polyfit(np.log10(hz[heard]), np.log10(power[heard]), 1)
    exponent = EXPONENTS.get(colour, colour)
    assert -slope == pytest.approx(exponent, abs=0.05)
    # Level below 20 Hz, between the window's leakage from nothing and the first fall.
    assert power[(hz > 3) & (hz < 10)].mean() / power[(hz > 12) & (hz < 18)].mean() == pytest.approx(1, abs=0.3)


def test_each_clip_gets_one_of_the_colours(augment) -> None:
    waveforms = torch.full((300, 4000), 1e-3)
    step = {"name": "coloured_noise", "snr_db": [-40, -40], "colours": ["brown", "violet", "white"]}
    noise = augment(waveforms, step) - waveforms
    # The power of the differences of neighbouring samples: nothing, 2 and 3 times that of the samples.
    roughness = noise.diff(dim=1).square().mean(dim=1) / noise.square().mean(dim=1)
    shares = [
        ((roughness > low) & (roughness < high)).float().mean() for low, high in ((0, 0.5), (1.7, 2.3), (2.6, 3.4))
    ]
    assert shares == pytest.approx([1 / 3] * 3, abs=0.09)


def test_noise_is_the_same_each_time_and_closes_into_a_circle() -> None:
    noise = coloured_noise(1 << 16, 2.0, RATE_HZ)
    coloured_noise.cache_clear()
    assert np.array_equal(noise, coloured_noise(1 << 16, 2.0, RATE_HZ))
    assert np.mean(noise**2) == pytest.approx(1, abs=1e-5)
    # Brown noise moves in small steps, the one from its end to its beginning too.
    assert abs(noise[0] - noise[-1]) < 5 * np.std(np.diff(noise))


def test_background_noise_is_read_in_order_at_the_clips_rate_with_channels_averaged(folder) -> None:
    short, long = read_noises(folder, RATE_HZ)
    written, _ = soundfile.read(folder / "c.flac", dtype="float32")
    np.testing.assert_allclose(short, written, atol=1e-6)
    assert len(long) == 15_000
    # The mean of two channels has half their power, and half the frequencies hold half of that.
    assert long.std() == pytest.approx(0.01 / 2, rel=0.08)


def test_background_noise_is_a_stretch_of_one_file_and_a_short_file_goes_round(folder, augment) -> None:
    waveforms = 1e-6 * torch.ones(60, 4000)
    noise = augment(waveforms, {"name": "background_noise", "folder": str(folder), "snr_db": [-80, -80]})
    files = [torch.from_numpy(file) for file in read_noises(folder, RATE_HZ)]
    found, offsets = [], set()
    for clip in noise:
        for number, file in enumerate(files):
            # The place where the clip fits best, by correlation round the circle.
            folded = torch.zeros(len(file)).index_add(0, torch.arange(4000) % len(file), clip)
            offset = int(torch.fft.irfft(torch.fft.rfft(file) * torch.fft.rfft(folded).conj(), len(file)).argmax())
            stretch = file.roll(-offset).repeat(1 + 4000 // len(file))[:4000]
            if stretch @ clip / stretch.norm() / clip.norm() > 0.999:
                found.append(number)
                offsets.add((number, offset))
    assert len(found) == 60
    assert 15 < sum(found) < 45
    assert len(offsets) > 50


def test_a_folder_that_is_missing_or_holds_no_audio_is_refused(tmp_path, augment) -> None:
    for folder, message in ((tmp_path / "no", "no such folder; give one"), (tmp_path, r"holds no audio file; .*\.wav")):
        with pytest.raises(ConfigError, match=message) as error:
            augment(torch.ones(1, 10), {"name": "background_noise", "folder": str(folder)})
        assert str(folder) in str(error.value)


def test_a_file_that_cannot_be_decoded_or_is_silent_is_named(tmp_path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF but no sound")
    with pytest.raises(DataError, match=r"a\.wav: .*take it out of the folder"):
        read_noises(tmp_path, RATE_HZ)
    soundfile.write(tmp_path / "a.wav", np.zeros(100), RATE_HZ)
    with pytest.raises(DataError, match=r"a\.wav: is silent"):
        read_noises(tmp_path, RATE_HZ)
