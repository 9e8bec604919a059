import pytest
import torch

RATE_HZ = 8000


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
