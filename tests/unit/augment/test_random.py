import pytest
import torch

from auscult.augment import ClipRandom


def rng(n_clips: int, *, seed: int = 3, epoch: int = 1) -> ClipRandom:
    return ClipRandom(seed, epoch, torch.arange(n_clips))


def test_numbers_are_uniform_and_independent() -> None:
    source = rng(2000)
    first, second = source.uniform(8), source.uniform(8)
    assert first.min() >= 0
    assert first.max() < 1
    assert first.mean() == pytest.approx(0.5, abs=0.01)
    assert first.var() == pytest.approx(1 / 12, abs=0.003)
    columns = torch.cat([first, second, rng(2000, seed=4).uniform(8), rng(2000, epoch=2).uniform(8)], dim=1)
    correlations = torch.corrcoef(columns.T) - torch.eye(columns.shape[1])
    assert correlations.abs().max() < 0.1
    assert torch.corrcoef(torch.stack([first[:-1, 0], first[1:, 0]]))[0, 1].abs() < 0.1


def test_normal_numbers_have_the_moments_of_the_standard_normal() -> None:
    values = rng(500).normal(400)
    assert values.mean() == pytest.approx(0, abs=0.01)
    assert values.std() == pytest.approx(1, abs=0.01)
    assert (values**4).mean() == pytest.approx(3, abs=0.1)
    assert values.isfinite().all()
