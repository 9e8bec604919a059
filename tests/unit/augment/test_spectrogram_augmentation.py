import pytest
import torch

from auscult.augment import Draws, augment_spectrograms
from auscult.augment.registry import _SPECTROGRAM
from auscult.config.augment import SPECTROGRAM_AUGMENTATIONS, GaussianNoise, MaskFrequency, MaskTime

EVERY_STEP = (
    MaskTime(name="mask_time", max_width_frames=10),
    MaskFrequency(name="mask_frequency", max_width_bands=5),
    GaussianNoise(name="gaussian_noise"),
)


def draws(n_clips: int = 400, *, seed: int = 3, epoch: int = 1) -> Draws:
    return Draws(seed, epoch, torch.arange(n_clips))


def test_the_two_registries_hold_the_same_names() -> None:
    assert set(_SPECTROGRAM) == set(SPECTROGRAM_AUGMENTATIONS) == {step.name for step in EVERY_STEP}


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
    masked = augment_spectrograms(torch.ones(400, 32, 60), [step], draws())
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
        augment_spectrograms(torch.ones(4, 32, 60), [step], draws(4))


def test_noise_has_the_deviation_that_was_drawn() -> None:
    step = GaussianNoise(name="gaussian_noise", max_deviation=2.0, probability=1)
    noise = augment_spectrograms(torch.zeros(300, 64, 64), [step], draws(300))
    deviations = noise.std(dim=(1, 2))
    assert noise.mean().abs() < 0.01
    assert deviations.max() < 2.1
    assert deviations.mean() == pytest.approx(1.0, abs=0.1)


def test_each_clip_is_changed_with_its_own_probability() -> None:
    step = MaskTime(name="mask_time", max_width_frames=60, probability=0.25)
    masked = augment_spectrograms(torch.ones(4000, 1, 60), [step], draws(4000))
    share = (masked == 0).any(dim=(1, 2)).float().mean()
    assert share == pytest.approx(0.25 * 60 / 61, abs=0.03)


@pytest.mark.parametrize("step", EVERY_STEP, ids=lambda step: step.name)
def test_the_result_depends_on_the_clip_not_on_its_batch_and_the_input_is_unchanged(step) -> None:
    spectrograms = torch.rand(40, 16, 20, generator=torch.Generator().manual_seed(1))
    before = spectrograms.clone()
    whole = augment_spectrograms(spectrograms, [step], Draws(3, 2, torch.arange(40)))
    order = torch.randperm(40, generator=torch.Generator().manual_seed(2))
    parts = [augment_spectrograms(spectrograms[part], [step], Draws(3, 2, part)) for part in order.split(7)]
    assert torch.equal(torch.cat(parts), whole[order])
    assert torch.equal(spectrograms, before)
    assert not torch.equal(whole, spectrograms)
    other_epoch = augment_spectrograms(spectrograms, [step], Draws(3, 3, torch.arange(40)))
    assert not torch.equal(other_epoch, whole)


def test_draws_are_uniform_and_independent() -> None:
    source = draws(2000)
    first, second = source.uniform(8), source.uniform(8)
    assert first.min() >= 0
    assert first.max() < 1
    assert first.mean() == pytest.approx(0.5, abs=0.01)
    assert first.var() == pytest.approx(1 / 12, abs=0.003)
    columns = torch.cat([first, second, draws(2000, seed=4).uniform(8), draws(2000, epoch=2).uniform(8)], dim=1)
    correlations = torch.corrcoef(columns.T) - torch.eye(columns.shape[1])
    assert correlations.abs().max() < 0.1
    assert torch.corrcoef(torch.stack([first[:-1, 0], first[1:, 0]]))[0, 1].abs() < 0.1


def test_normal_draws_have_the_moments_of_the_standard_normal() -> None:
    values = draws(500).normal(400)
    assert values.mean() == pytest.approx(0, abs=0.01)
    assert values.std() == pytest.approx(1, abs=0.01)
    assert (values**4).mean() == pytest.approx(3, abs=0.1)
    assert values.isfinite().all()
