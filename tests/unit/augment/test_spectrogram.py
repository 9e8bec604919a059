import pytest
import torch

from auscult.augment import ClipRandom, augment_spectrograms
from auscult.config.augment import (
    SPECTROGRAM_FUNCTIONS,
    CoarseDropout,
    GaussianNoise,
    MaskFrequency,
    MaskTime,
    ResizeCrop,
    RollFrequency,
    RollTime,
)

EVERY_STEP = (
    MaskTime(name="mask_time", max_width_frames=10),
    MaskFrequency(name="mask_frequency", max_width_bands=5),
    GaussianNoise(name="gaussian_noise"),
    RollTime(name="roll_time", max_shift_frames=7),
    RollFrequency(name="roll_frequency", max_shift_bands=3),
    CoarseDropout(name="coarse_dropout", n_holes=3, max_height_bands=4, max_width_frames=5),
    ResizeCrop(name="resize_crop"),
)


def rng(n_clips: int = 400, *, seed: int = 3, epoch: int = 1) -> ClipRandom:
    return ClipRandom(seed, epoch, torch.arange(n_clips))


def test_every_step_is_tested_here() -> None:
    shipped = set(SPECTROGRAM_FUNCTIONS)
    assert shipped == {step.name for step in EVERY_STEP}


def runs_of(hidden: torch.Tensor) -> torch.Tensor:
    """Count the separate runs of true in each row."""
    padded = torch.nn.functional.pad(hidden.int(), (1, 0))
    return (padded.diff(dim=1) == 1).sum(dim=1)


@pytest.mark.parametrize(
    ("step", "axis", "width"),
    [
        (MaskTime(name="mask_time", max_width_frames=10, probability=1), 2, 10),
        (MaskFrequency(name="mask_frequency", max_width_bands=5, probability=1), 1, 5),
    ],
)
def test_a_mask_is_one_run_that_never_exceeds_its_width(step, axis: int, width: int) -> None:
    masked = augment_spectrograms(torch.ones(400, 32, 60), [step], rng())
    other = 3 - axis
    hidden = (masked == 0).all(dim=other)
    assert torch.equal(hidden, (masked == 0).any(dim=other))
    assert runs_of(hidden).max() == 1
    # Every width from none to the widest comes up, and every place is reached.
    assert set(hidden.sum(dim=1).tolist()) == set(range(width + 1))
    assert hidden.any(dim=0).all()


def test_a_mask_wider_than_the_spectrogram_is_refused() -> None:
    step = MaskTime(name="mask_time", max_width_frames=61)
    with pytest.raises(ValueError, match="max_width_frames 61 exceeds the 60"):
        augment_spectrograms(torch.ones(4, 32, 60), [step], rng(4))


def test_noise_has_the_deviation_that_was_drawn() -> None:
    step = GaussianNoise(name="gaussian_noise", max_deviation=2.0, probability=1)
    noise = augment_spectrograms(torch.zeros(300, 64, 64), [step], rng(300))
    deviations = noise.std(dim=(1, 2))
    assert noise.mean().abs() < 0.01
    assert deviations.max() < 2.1
    assert deviations.mean() == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(
    ("step", "axis", "reach"),
    [
        (RollTime(name="roll_time", max_shift_frames=4, probability=1), 2, 4),
        (RollFrequency(name="roll_frequency", max_shift_bands=3, probability=1), 1, 3),
    ],
)
def test_a_roll_moves_everything_by_one_shift_and_keeps_the_sum(step, axis: int, reach: int) -> None:
    spectrograms = torch.rand(400, 12, 20, generator=torch.Generator().manual_seed(1))
    rolled = augment_spectrograms(spectrograms, [step], rng())
    shifts = []
    for before, after in zip(spectrograms, rolled, strict=True):
        fitting = [s for s in range(-reach, reach + 1) if torch.equal(before.roll(s, dims=axis - 1), after)]
        assert len(fitting) == 1
        shifts += fitting
    assert set(shifts) == set(range(-reach, reach + 1))
    assert torch.equal(rolled.flatten(1).sort().values, spectrograms.flatten(1).sort().values)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (RollTime(name="roll_time", max_shift_frames=61), "max_shift_frames 61 exceeds the 60"),
        (RollFrequency(name="roll_frequency", max_shift_bands=33), "max_shift_bands 33 exceeds the 32"),
        (CoarseDropout(name="coarse_dropout", max_height_bands=33), "max_height_bands 33 exceeds the 32"),
        (CoarseDropout(name="coarse_dropout", max_width_frames=61), "max_width_frames 61 exceeds the 60"),
    ],
)
def test_what_exceeds_the_spectrogram_is_refused(step, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        augment_spectrograms(torch.ones(4, 32, 60), [step], rng(4))


def test_one_hole_is_one_full_rectangle_within_its_size() -> None:
    step = CoarseDropout(name="coarse_dropout", n_holes=1, max_height_bands=5, max_width_frames=7, probability=1)
    hidden = augment_spectrograms(torch.ones(600, 16, 24), [step], rng(600)) == 0
    heights, widths = hidden.any(dim=2).sum(dim=1), hidden.any(dim=1).sum(dim=1)
    assert torch.equal(hidden.sum(dim=(1, 2)), heights * widths)
    assert runs_of(hidden.any(dim=2)).max() == runs_of(hidden.any(dim=1)).max() == 1
    assert set(heights.tolist()) == set(range(1, 6))
    assert set(widths.tolist()) == set(range(1, 8))
    assert hidden.any(dim=0).all()


def test_several_holes_hide_no_more_than_their_areas_and_nothing_else_changes() -> None:
    step = CoarseDropout(name="coarse_dropout", n_holes=6, max_height_bands=3, max_width_frames=4, probability=1)
    spectrograms = 1 + torch.rand(200, 16, 24, generator=torch.Generator().manual_seed(1))
    dropped = augment_spectrograms(spectrograms, [step], rng(200))
    hidden = dropped == 0
    assert hidden.sum(dim=(1, 2)).max() <= 6 * 3 * 4
    assert hidden.sum(dim=(1, 2)).float().mean() > 3 * 2 * 2.5
    assert torch.equal(dropped[~hidden], spectrograms[~hidden])


def test_a_resized_crop_of_a_ramp_is_a_flatter_ramp_inside_the_old_one() -> None:
    step = ResizeCrop(name="resize_crop", min_share_time=0.5, min_share_frequency=0.6, probability=1)
    # One unit a frame plus a thousand a band: slopes tell the two shares apart, values tell the place.
    ramp = torch.arange(40.0)[None, None, :] + 1000 * torch.arange(30.0)[None, :, None]
    cut = augment_spectrograms(ramp.repeat(300, 1, 1).double(), [step], rng(300))
    inner = cut[:, 3:-3, 3:-3]
    time_slopes, band_slopes = inner.diff(dim=2), inner.diff(dim=1) / 1000
    share_time, share_frequency = time_slopes.mean(dim=(1, 2)), band_slopes.mean(dim=(1, 2))
    assert torch.allclose(time_slopes, share_time[:, None, None].expand_as(time_slopes), atol=2e-3)
    assert torch.allclose(band_slopes, share_frequency[:, None, None].expand_as(band_slopes), atol=2e-3)
    assert share_time.min() == pytest.approx(0.5, abs=0.02)
    assert share_frequency.min() == pytest.approx(0.6, abs=0.02)
    assert max(share_time.max(), share_frequency.max()) == pytest.approx(1.0, abs=0.02)
    assert cut.min() >= 0
    assert cut.max() <= ramp.max()
    assert (cut[:, 0, 0] < 1000).any()
    assert (cut[:, -1, -1] > ramp.max() - 1000).any()


def test_a_crop_of_everything_changes_nothing() -> None:
    step = ResizeCrop(name="resize_crop", min_share_time=1, min_share_frequency=1, probability=1)
    spectrograms = torch.rand(5, 16, 20, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(augment_spectrograms(spectrograms, [step], rng(5)), spectrograms, atol=1e-5)


def test_each_clip_is_changed_with_its_own_probability() -> None:
    step = MaskTime(name="mask_time", max_width_frames=60, probability=0.25)
    masked = augment_spectrograms(torch.ones(4000, 1, 60), [step], rng(4000))
    share = (masked == 0).any(dim=(1, 2)).float().mean()
    assert share == pytest.approx(0.25 * 60 / 61, abs=0.03)


@pytest.mark.parametrize("step", EVERY_STEP, ids=lambda step: step.name)
def test_the_result_depends_on_the_clip_not_on_its_batch_and_the_input_is_unchanged(step) -> None:
    spectrograms = torch.rand(40, 16, 20, generator=torch.Generator().manual_seed(1))
    before = spectrograms.clone()
    whole = augment_spectrograms(spectrograms, [step], ClipRandom(3, 2, torch.arange(40)))
    order = torch.randperm(40, generator=torch.Generator().manual_seed(2))
    parts = [augment_spectrograms(spectrograms[part], [step], ClipRandom(3, 2, part)) for part in order.split(7)]
    assert torch.equal(torch.cat(parts), whole[order])
    assert torch.equal(spectrograms, before)
    assert not torch.equal(whole, spectrograms)
    other_epoch = augment_spectrograms(spectrograms, [step], ClipRandom(3, 3, torch.arange(40)))
    assert not torch.equal(other_epoch, whole)


@pytest.mark.parametrize("step", EVERY_STEP, ids=lambda step: step.name)
def test_clips_that_are_not_picked_are_left_to_the_last_bit_and_change_no_other(step) -> None:
    spectrograms = torch.randn(60, 16, 23, generator=torch.Generator().manual_seed(1))
    always = step.model_copy(update={"probability": 1.0})
    whole = augment_spectrograms(spectrograms, [always], rng(60))
    picked = torch.arange(60) % 3 == 0
    part = augment_spectrograms(spectrograms, [always], rng(60), eligible=[picked])
    assert torch.equal(part[~picked], spectrograms[~picked])
    assert torch.equal(part[picked], whole[picked])
    assert not torch.equal(whole[picked], spectrograms[picked])
