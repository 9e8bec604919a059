import pytest
import torch

from auscult.augment.random import ClipRandom
from auscult.augment.waveform import shares_of_one

N_CLIPS = 400


def noise(n_clips: int, n_samples: int) -> torch.Tensor:
    return torch.randn(n_clips, n_samples, generator=torch.Generator().manual_seed(1))


def augmix(functions: list, **settings) -> dict:
    return {"name": "augmix", "functions": functions, **settings}


LOUDER = {"name": "gain", "gain_db": [20, 20]}
"""Ten times as loud: how often it was applied can be read from the level."""


def test_the_share_of_the_chains_lies_in_its_range(augment) -> None:
    waveforms = noise(N_CLIPS, 50)
    mixed = augment(waveforms, augmix(["polarity"], chain_depth=1, weight=[0.1, 0.4]))
    # Every chain turns the sound round, so the sound is left by 1 - 2 * share.
    shares = (1 - mixed / waveforms) / 2
    assert torch.allclose(shares, shares[:, :1].expand_as(shares), atol=1e-3)
    assert shares.min() == pytest.approx(0.1, abs=0.01)
    assert shares.max() == pytest.approx(0.4, abs=0.01)
    assert shares.mean() == pytest.approx(0.25, abs=0.02)


def test_without_a_range_the_share_is_from_a_beta_distribution(augment) -> None:
    waveforms = noise(2000, 2)
    for alpha in (0.5, 1.0, 4.0):
        mixed = augment(waveforms, augmix(["polarity"], chain_depth=1, alpha=alpha))
        shares = (1 - mixed[:, 0] / waveforms[:, 0]) / 2
        assert shares.mean() == pytest.approx(0.5, abs=0.03)
        assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), abs=0.01)


def test_nothing_of_the_chains_leaves_the_clip_and_all_of_them_nothing_of_it(augment) -> None:
    waveforms = noise(50, 40)
    step = augmix(["polarity"], chain_depth=1)
    assert torch.equal(augment(waveforms, {**step, "weight": [0, 0]}), waveforms)
    torch.testing.assert_close(augment(waveforms, {**step, "weight": [1, 1]}), -waveforms)


def test_a_chain_has_from_one_link_to_its_depth_one_after_the_other(augment) -> None:
    waveforms = noise(N_CLIPS, 20)
    step = augmix([LOUDER], n_chains=1, chain_depth=3, weight=[1, 1])
    levels = (augment(waveforms, step) / waveforms).mean(dim=1).log10()
    torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)
    counts = levels.round().long().bincount(minlength=5)
    assert counts[0] == counts[4] == 0
    assert (counts[1:4] > N_CLIPS / 5).all()


def test_each_link_is_one_of_the_functions_drawn_alike(augment) -> None:
    waveforms = noise(N_CLIPS, 20)
    functions = ["polarity", LOUDER, {"name": "gain", "gain_db": [-20, -20]}]
    step = augmix(functions, n_chains=1, chain_depth=1, weight=[1, 1])
    factors = (augment(waveforms, step) / waveforms).mean(dim=1)
    for factor in (-1.0, 10.0, 0.1):
        share = torch.isclose(factors, torch.tensor(factor), rtol=1e-3).float().mean()
        assert share == pytest.approx(1 / 3, abs=0.08)


def test_the_chains_share_their_part_and_lose_nothing(augment) -> None:
    waveforms = noise(N_CLIPS, 20)
    step = augmix(["polarity", {"name": "gain", "gain_db": [0, 0]}], n_chains=2, chain_depth=1, weight=[1, 1])
    factors = (augment(waveforms, step) / waveforms).mean(dim=1)
    # Both as it is, both turned, or one of each: then evenly between -1 and 1, as Dirichlet(1, 1) is.
    is_one = torch.isclose(factors.abs(), torch.tensor(1.0), atol=1e-4)
    assert is_one.float().mean() == pytest.approx(0.5, abs=0.08)
    assert factors[~is_one].var() == pytest.approx(1 / 3, abs=0.06)


@pytest.mark.parametrize("alpha", [0.1, 1.0, 5.0])
def test_shares_are_from_a_dirichlet_distribution(alpha: float) -> None:
    shares = shares_of_one(ClipRandom(1, 1, torch.arange(20_000)).uniform(3), alpha)
    assert shares.isfinite().all()
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(20_000, dtype=torch.float64))
    assert shares.mean(dim=0) == pytest.approx([1 / 3] * 3, abs=0.01)
    variance = (1 / 3) * (2 / 3) / (3 * alpha + 1)
    assert shares.var(dim=0) == pytest.approx([variance] * 3, abs=0.01)
    covariance = torch.cov(shares.T)[0, 1]
    assert covariance == pytest.approx(-1 / 9 / (3 * alpha + 1), abs=0.01)


def test_every_function_may_stand_in_a_chain(tmp_path, augment) -> None:
    import soundfile

    from auscult.config.waveform_augment import WAVEFORM_FUNCTIONS

    soundfile.write(tmp_path / "a.wav", noise(1, 3000)[0].numpy() * 0.1, 8000)
    folder = {"background_noise": {"name": "background_noise", "folder": str(tmp_path)}}
    functions = [folder.get(name, name) for name in WAVEFORM_FUNCTIONS]
    waveforms = 0.1 * noise(6, 4000)
    mixed = augment(waveforms, augmix(functions, weight=[0.5, 0.5]))
    assert mixed.isfinite().all()
    # Half of the clip is the clip.
    assert (mixed - 0.5 * waveforms).norm() < 3 * waveforms.norm()
    parts = [augment(waveforms[[k]], augmix(functions, weight=[0.5, 0.5]), ids=torch.tensor([k])) for k in range(6)]
    assert torch.equal(torch.cat(parts), mixed)
