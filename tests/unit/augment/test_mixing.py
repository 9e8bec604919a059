import numpy as np
import pytest
import torch

from auscult.augment.mixing import Taken, mixed_targets, mixer_of
from auscult.augment.random import ClipRandom
from auscult.config.augment import Cutmix, Mixup, PatchMix

SHAPE = (24, 50)
STEPS = (Mixup(name="mixup"), Cutmix(name="cutmix"), PatchMix(name="patch_mix", patch_bands=5, patch_frames=8))


def mixed(step, weights, *, seed=1, order=None):
    """Mix ones into zeros, so that what comes out says what was taken."""
    n = len(weights)
    order = torch.arange(n) if order is None else order
    sizes, shares = mixer_of(step).portions(np.asarray(weights, np.float64), SHAPE)
    taken = Taken(torch.from_numpy(shares.astype(np.float32))[order], torch.from_numpy(sizes)[order])
    first, second = torch.zeros(n, *SHAPE), torch.ones(n, *SHAPE)
    out = mixer_of(step).mix(first, second, taken, ClipRandom(seed, 1, order))
    assert not first.any()
    assert second.all()
    return out, shares


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_the_share_of_the_label_is_the_share_of_the_sound(step):
    weights = np.linspace(0, 1, 41)
    out, shares = mixed(step, weights)
    # A grid's cells are equal to a band and a frame: 5 rows of 4 or 5 bands, 7 columns of 7 or 8 frames.
    tolerance = 0.05 if step.name == "patch_mix" else 1e-6
    np.testing.assert_allclose(out.mean(dim=(1, 2)), shares, atol=tolerance)
    np.testing.assert_allclose(shares, weights, atol=0.04)
    sizes, _ = mixer_of(step).portions(weights, SHAPE)
    assert (sizes.shape, sizes.dtype) == ((41, 2), np.int64)
    assert not out[0].any()
    assert out[-1].all()


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_a_pair_is_mixed_alike_in_any_batch_and_otherwise_by_other_draws(step):
    weights = np.linspace(0.2, 0.8, 30)
    out, _ = mixed(step, weights)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    assert torch.equal(mixed(step, weights, order=order)[0], out[order])
    other, _ = mixed(step, weights, seed=2)
    assert torch.equal(other, out) == (step.name == "mixup")  # the shares of mixup are all that it draws


def test_cutmix_takes_one_rectangle_of_the_clips_proportions_anywhere():
    out, _ = mixed(Cutmix(name="cutmix"), np.full(300, 0.25))
    bands, frames = out.any(dim=2), out.any(dim=1)
    assert torch.equal(out.bool(), bands[:, :, None] & frames[:, None, :])
    for taken, size in ((bands, 12), (frames, 25)):
        assert (taken.sum(dim=1) == size).all()
        starts = taken.int().argmax(dim=1)
        assert (taken.int().diff(dim=1).abs().sum(dim=1) <= 2).all()
        assert set(starts.tolist()) == set(range(taken.shape[1] - size + 1))


def test_patch_mix_takes_whole_cells_of_the_grid():
    step = PatchMix(name="patch_mix", patch_bands=8, patch_frames=10)
    out, _ = mixed(step, np.full(200, 0.4))
    cells = out.view(200, 3, 8, 5, 10).transpose(2, 3).reshape(200, 15, -1)
    assert ((cells == 0).all(dim=2) | (cells == 1).all(dim=2)).all()
    assert (cells[:, :, 0].sum(dim=1) == 6).all()
    # Each cell is as likely as any other.
    assert (cells[:, :, 0].mean(dim=0) - 0.4).abs().max() < 0.12


def test_mixup_is_the_weighted_sum_in_golden_numbers():
    step = Mixup(name="mixup")
    first, second = torch.tensor([[[1.0, -2.0]]]), torch.tensor([[[3.0, 6.0]]])
    taken = Taken(torch.tensor([0.25]), torch.zeros(1, 2, dtype=torch.int64))
    assert mixer_of(step).mix(first, second, taken, ClipRandom(0, 1, torch.arange(1))).tolist() == [[[1.5, 0.0]]]


NAN = float("nan")


@pytest.mark.parametrize(
    ("label", "share", "first", "second", "expected"),
    [
        ("soft", 0.25, [0, 1, NAN, 1], [1, 1, 1, 0], [0.25, 1, NAN, 0.75]),
        ("soft", 0.0, [0, 1, 0, 1], [1, NAN, 1, 0], [0, 1, 0, 1]),
        ("soft", 1.0, [NAN, 1, 0, 1], [1, 0, 1, 0], [1, 0, 1, 0]),
        ("dominant", 0.4, [0, 1, NAN, 1], [1, NAN, 1, 0], [0, 1, NAN, 1]),
        ("dominant", 0.6, [0, 1, NAN, 1], [1, NAN, 1, 0], [1, NAN, 1, 0]),
        ("dominant", 0.5, [0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1]),
        ("union", 0.1, [0, 0, NAN, NAN], [0, 1, 1, 0], [0, 1, 1, NAN]),
    ],
)
def test_labels_follow_the_rule_and_unknown_is_never_negative(label, share, first, second, expected):
    step = Mixup(name="mixup", label=label)
    found = mixed_targets(step, np.float32([first]), np.float32([second]), np.array([share]))
    np.testing.assert_array_equal(found, np.float32([expected]))
    assert found.dtype == np.float32
