import numpy as np
import pytest
import torch

from auscult.errors import ConfigError

RATE_HZ = 8000
N_SAMPLES = 32_000
HZ = np.fft.rfftfreq(N_SAMPLES, 1 / RATE_HZ)


def noise(n_clips: int, n_samples: int) -> torch.Tensor:
    return torch.randn(n_clips, n_samples, generator=torch.Generator().manual_seed(1))


def test_a_rolled_shift_moves_the_true_sound_round_by_up_to_its_reach(augment) -> None:
    waveforms = noise(300, 60)
    n_valid = torch.full((300,), 60)
    n_valid[::2] = 40
    waveforms[::2, 40:] = 0
    # 0.001 s are 8 samples.
    shifted = augment(waveforms, {"name": "time_shift", "max_shift_s": 0.001}, n_valid=n_valid)
    found = []
    for before, after, length in zip(waveforms, shifted, n_valid.tolist(), strict=True):
        fitting = [s for s in range(-8, 9) if torch.equal(before[:length].roll(s), after[:length])]
        assert len(fitting) == 1
        found += fitting
    assert set(found) == set(range(-8, 9))
    assert torch.equal(shifted.sort(dim=1).values, waveforms.sort(dim=1).values)


def test_a_shift_with_silence_brings_zeros_in_and_loses_what_leaves(augment) -> None:
    waveforms = noise(300, 60)
    shifted = augment(waveforms, {"name": "time_shift", "max_shift_s": 0.001, "fill": "zero"})
    found = []
    for before, after in zip(waveforms, shifted, strict=True):
        moved = {
            s: torch.cat([torch.zeros(max(s, 0)), before[max(-s, 0) : 60 - max(s, 0)], torch.zeros(max(-s, 0))])
            for s in range(-8, 9)
        }
        found += [s for s, expected in moved.items() if torch.equal(expected, after)]
    assert len(found) == 300
    assert set(found) == set(range(-8, 9))


def test_a_shift_beyond_the_sound_rolls_on_or_leaves_silence(augment) -> None:
    waveforms = noise(200, 50)
    rolled = augment(waveforms, {"name": "time_shift", "max_shift_s": 0.05})
    assert torch.equal(rolled.sort(dim=1).values, waveforms.sort(dim=1).values)
    emptied = augment(waveforms, {"name": "time_shift", "max_shift_s": 0.05, "fill": "zero"})
    # Shifts of 50 samples and more, of up to 400.
    assert (emptied == 0).all(dim=1).float().mean() == pytest.approx(1 - 99 / 801, abs=0.07)


def test_gain_is_one_factor_a_clip_evenly_drawn_in_decibels(augment) -> None:
    waveforms = noise(400, 50)
    factors = augment(waveforms, {"name": "gain", "gain_db": [-12, 6]}) / waveforms
    assert torch.allclose(factors, factors[:, :1].expand_as(factors))
    gains_db = 20 * factors[:, 0].log10()
    assert gains_db.min() == pytest.approx(-12, abs=0.2)
    assert gains_db.max() == pytest.approx(6, abs=0.2)
    assert gains_db.mean() == pytest.approx(-3, abs=0.6)


def test_what_exceeds_full_scale_is_kept(augment) -> None:
    waveforms = torch.full((1, 10), 0.9)
    assert torch.allclose(augment(waveforms, {"name": "gain", "gain_db": [20, 20]}), torch.full((1, 10), 9.0))


def test_polarity_changes_the_sign(augment) -> None:
    waveforms = noise(5, 50)
    assert torch.equal(augment(waveforms, {"name": "polarity"}), -waveforms)


def test_clipping_cuts_at_a_level_below_the_peak_and_nothing_else(augment) -> None:
    waveforms = noise(300, 400)
    # The peak may be a trough.
    waveforms[::2, 7] = -9.0
    clipped = augment(waveforms, {"name": "clipping", "below_peak_db": [2, 8]})
    limit = clipped.abs().amax(dim=1)
    below_db = 20 * (waveforms.abs().amax(dim=1) / limit).log10()
    assert below_db.min() == pytest.approx(2, abs=0.1)
    assert below_db.max() == pytest.approx(8, abs=0.1)
    assert torch.equal(clipped, waveforms.clamp(-limit[:, None], limit[:, None]))


def gains_db(augment, step: dict, n_clips: int = 12) -> np.ndarray:
    """Return the gain at each frequency, shape [clip, frequency]: of a click in the middle of the clip."""
    clicks = torch.zeros(n_clips, N_SAMPLES)
    clicks[:, N_SAMPLES // 2] = 1
    return 20 * np.log10(np.abs(np.fft.rfft(augment(clicks, step).double().numpy())) + 1e-12)


def test_a_band_stop_attenuates_in_the_band_and_not_outside(augment) -> None:
    step = {"name": "band_stop", "centre_hz": [600, 600], "width_hz": [200, 200]}
    (gain_db,) = gains_db(augment, step, 1)
    # As the formula of Butterworth's order 4 says, down to where a finite filter ends.
    with np.errstate(divide="ignore"):
        expected_db = -10 * np.log10(1 + (HZ * 200 / np.abs(HZ**2 - 500 * 700)) ** 8)
    assert np.abs(gain_db - expected_db)[expected_db > -20].max() < 0.7
    assert gain_db[(HZ > 570) & (HZ < 625)].max() < -33
    assert np.abs(gain_db[(HZ < 400) | (HZ > 850)]).max() < 0.1


def test_bands_are_drawn_over_the_whole_range_and_as_wide_as_asked(augment) -> None:
    gain_db = gains_db(augment, {"name": "band_stop", "centre_hz": [100, 3000], "width_hz": [80, 400]}, 200)
    stopped = gain_db < -3.01
    widths_hz = stopped.sum(axis=1) * HZ[1]
    middles_hz = np.array([HZ[row].mean() for row in stopped])
    assert 60 < widths_hz.min() < 110
    assert 360 < widths_hz.max() < 430
    assert middles_hz.min() < 120
    assert middles_hz.max() > 2700
    # Evenly in octaves: half of them below the geometric middle.
    assert np.median(middles_hz) == pytest.approx(np.sqrt(100 * 3000), rel=0.2)


def test_a_band_that_reaches_zero_takes_all_below_its_upper_edge(augment) -> None:
    (gain_db,) = gains_db(augment, {"name": "band_stop", "centre_hz": [60, 60], "width_hz": [300, 300]}, 1)
    assert gain_db[(HZ > 20) & (HZ < 120)].max() < -6
    assert np.abs(gain_db[HZ > 400]).max() < 0.1


def test_filters_delay_nothing_and_block_ends_leave_no_trace(augment) -> None:
    times_s = torch.arange(N_SAMPLES) / RATE_HZ
    tone = torch.sin(2 * torch.pi * 1500 * times_s)[None]
    filtered = augment(tone, {"name": "band_stop", "centre_hz": [300, 300], "width_hz": [100, 100]})
    assert (filtered - tone)[:, 600:-600].abs().max() < 2e-3


def test_a_device_has_its_cuts_and_nothing_else_without_peaks(augment) -> None:
    step = {"name": "device_response", "low_cut_hz": [100, 100], "high_cut_hz": [1000, 1000], "n_peaks": 0}
    (gain_db,) = gains_db(augment, step, 1)
    expected_db = -10 * np.log10(1 + (100 / np.maximum(HZ, 1)) ** 4) - 10 * np.log10(1 + (HZ / 1000) ** 4)
    assert np.abs(gain_db - expected_db)[HZ > 40].max() < 1
    assert gain_db[np.argmin(np.abs(HZ - 50))] - gain_db[np.argmin(np.abs(HZ - 100))] == pytest.approx(-9.3, abs=1.5)


def test_peaks_and_dips_lie_between_the_cuts_within_their_bounds(augment) -> None:
    cuts = {"name": "device_response", "low_cut_hz": [30, 30], "high_cut_hz": [3000, 3000], "quality": [1, 1]}
    (plain,) = gains_db(augment, {**cuts, "n_peaks": 0}, 1)
    peaks_db = gains_db(augment, {**cuts, "n_peaks": 1, "max_peak_db": 8}, 300) - plain
    heard = (HZ > 40) & (HZ < 3500)
    largest = np.abs(peaks_db[:, heard])
    assert largest.max() == pytest.approx(8, abs=0.5)
    signed = np.take_along_axis(peaks_db[:, heard], largest.argmax(axis=1)[:, None], axis=1)[:, 0]
    assert signed.mean() == pytest.approx(0, abs=0.9)
    centres_hz = HZ[heard][largest.argmax(axis=1)][largest.max(axis=1) > 2]
    assert np.median(centres_hz) == pytest.approx(np.sqrt(30 * 3000), rel=0.3)
    # Smooth: far from its centre a bell of quality 1 leaves the level.
    low = (centres_hz[:, None] > 1500) & (HZ > 60) & (HZ < 150)
    assert np.abs(peaks_db[largest.max(axis=1) > 2][low]).max() < 0.7


def test_each_device_is_another_and_all_are_smooth(augment) -> None:
    gain_db = gains_db(augment, {"name": "device_response"}, 40)[:, (HZ > 50) & (HZ < 3000)]
    assert gain_db.std(axis=0).mean() > 2
    assert np.abs(np.diff(gain_db, axis=1)).max() < 0.2


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"name": "band_stop", "centre_hz": [100, 4000]}, r"band_stop: centre_hz \[100.0, 4000.0\] reaches half"),
        (
            {"name": "device_response", "low_cut_hz": [100, 5000], "high_cut_hz": [6000, 7000]},
            "device_response: low_cut_hz .* reaches half the clips' sample rate, 4000 Hz",
        ),
    ],
)
def test_what_reaches_half_the_sample_rate_is_refused(step, message, augment) -> None:
    with pytest.raises(ConfigError, match=message):
        augment(torch.ones(1, 100), step)
