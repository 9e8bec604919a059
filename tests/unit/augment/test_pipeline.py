import numpy as np
import pytest
import torch

from auscult.augment import Augmenter, ItemMaker
from auscult.config.augment import AugmentSettings
from auscult.config.task import TaskSettings
from auscult.errors import InfeasibleError

N, SHAPE = 60, (8, 10)
BINARY = TaskSettings.model_validate(
    {
        "description": "toy", "type": "binary", "targets": ["sick"], "level": "clip",
        "datasets": {"toy": {"sick": {"column": "health", "positive": ["sick"], "negative": "others"}}},
    }
)  # fmt: skip
TARGETS = (np.arange(N) % 3 == 0).astype(np.float32)[:, None]
TARGETS[5::10] = np.nan
UNPADDED = np.arange(N) % 4 != 1


def maker(*steps, targets=TARGETS, seed=3, unpadded=UNPADDED):
    settings = AugmentSettings.model_validate({"spectrogram": steps})
    return ItemMaker(settings, targets, task=BINARY, is_unpadded=unpadded, shape=SHAPE, seed=seed)


def test_without_steps_an_epoch_is_the_training_clips():
    items = maker().epoch(1)
    assert items.clips.tolist() == list(range(N))
    np.testing.assert_array_equal(items.targets, TARGETS)
    rows = items.rows(np.array([7, 3]))
    assert (rows.clips.tolist(), rows.ids.tolist(), rows.mixed) == ([7, 3], [7, 3], ())


def test_quantity_adds_items_and_leaves_the_clips_alone():
    items = maker(
        {"name": "mixup", "quantity": 0.5, "weight": [0.3, 0.7]}, {"name": "mask_time", "quantity": 0.2}
    ).epoch(1)
    assert len(items.clips) == N + 30 + 12
    assert (items.made_by[:N] == -1).all()
    assert items.made_by[N:].tolist() == [0] * 30 + [1] * 12
    (mix,) = items.mixes
    assert (mix.partners >= 0).tolist() == (items.made_by == 0).tolist()
    np.testing.assert_array_equal(items.targets[:N], TARGETS)
    np.testing.assert_array_equal(items.targets[N + 30 :], TARGETS[items.clips[N + 30 :]])
    added = slice(N, N + 30)
    assert ((mix.shares[added] >= 0.3) & (mix.shares[added] <= 0.7)).all()
    share = mix.shares[added, None]
    soft = (1 - share) * TARGETS[items.clips[added]] + share * TARGETS[mix.partners[added]]
    np.testing.assert_allclose(items.targets[added], soft, rtol=1e-6)
    # No clip is taken twice before all were taken once.
    assert len(set(items.clips[added].tolist())) == 30


def test_classes_pair_clips_of_the_first_with_clips_of_the_second_and_padded_ones_stay_out():
    step = {"name": "cutmix", "probability": 1.0, "classes": [0, 1], "unpadded_only": True}
    items = maker(step).epoch(2)
    (mix,) = items.mixes
    mixed = mix.partners >= 0
    assert mixed.tolist() == ((TARGETS[:, 0] == 0) & UNPADDED).tolist()
    partners = mix.partners[mixed]
    assert (TARGETS[partners, 0] == 1).all()
    assert UNPADDED[partners].all()
    assert len(set(partners.tolist())) > 3


def test_in_place_each_item_is_mixed_by_its_own_probability_never_with_itself():
    make = maker(
        {"name": "mixup", "probability": 0.3, "alpha": 0.4},
        targets=np.tile(TARGETS, (20, 1)),
        unpadded=np.ones(20 * N, bool),
    )
    items = make.epoch(1)
    mixed = items.mixes[0].partners >= 0
    assert abs(mixed.mean() - 0.3) < 0.05
    assert (items.mixes[0].partners[mixed] != items.clips[mixed]).all()
    # Beta(0.4, 0.4): mean 0.5, variance 1 / (4 x 1.8).
    shares = items.mixes[0].shares
    assert abs(shares.mean() - 0.5) < 0.04
    assert abs(shares.var() - 1 / 7.2) < 0.015
    assert (make.epoch(2).mixes[0].partners != items.mixes[0].partners).any()
    again = maker(
        {"name": "mixup", "probability": 0.3, "alpha": 0.4},
        targets=np.tile(TARGETS, (20, 1)),
        unpadded=np.ones(20 * N, bool),
    ).epoch(1)
    assert again.mixes[0].partners.tolist() == items.mixes[0].partners.tolist()


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"name": "mixup", "classes": [0, 1]}, "mixup: no clip of the training part is of class 1"),
        ({"name": "mask_time", "unpadded_only": True}, "mask_time: no clip of the training part is unpadded"),
    ],
)
def test_a_step_that_finds_no_clip_is_refused(step, message):
    with pytest.raises(InfeasibleError, match=message):
        maker(step, targets=np.zeros((N, 1), np.float32), unpadded=np.zeros(N, bool))


STEPS = (
    {"name": "mask_time", "probability": 0.5, "max_width_frames": 4},
    {"name": "mixup", "probability": 0.6},
    {"name": "gaussian_noise", "quantity": 0.2, "unpadded_only": True},
    {"name": "cutmix", "quantity": 0.3, "classes": [1, 0]},
    {"name": "roll_time", "probability": 0.5, "max_shift_frames": 3},
)


def augmented(items, chosen, spectrograms, *, seed=3):
    settings = AugmentSettings.model_validate({"spectrogram": STEPS})
    n_valid = np.where(UNPADDED, 100, 50)
    augmenter = Augmenter(
        settings, n_valid=n_valid, n_samples=100, sample_rate_hz=10, seed=seed, device=torch.device("cpu")
    )
    rows = items.rows(chosen)
    return augmenter.batch(items, rows, 1).spectrograms(spectrograms[rows.clips])


def test_an_item_is_the_same_in_every_batch_and_the_input_stays_as_it_is():
    spectrograms = torch.randn(N, *SHAPE, generator=torch.Generator().manual_seed(0))
    before = spectrograms.clone()
    items = maker(*STEPS).epoch(1)
    whole = augmented(items, np.arange(len(items.clips)), spectrograms)
    assert whole.shape == (len(items.clips), *SHAPE)
    order = np.random.default_rng(1).permutation(len(items.clips))
    for part in np.array_split(order, 7):
        assert torch.equal(augmented(items, part, spectrograms), whole[part])
    assert torch.equal(spectrograms, before)
    assert not torch.equal(augmented(items, order, spectrograms, seed=4), whole[order])


def test_what_the_steps_do_not_touch_stays_and_what_they_add_is_changed():
    spectrograms = torch.randn(N, *SHAPE, generator=torch.Generator().manual_seed(0))
    make = maker({"name": "cutmix", "quantity": 0.5, "weight": [0.4, 0.6]})
    items = make.epoch(1)
    settings = AugmentSettings.model_validate(
        {"spectrogram": [{"name": "cutmix", "quantity": 0.5, "weight": [0.4, 0.6]}]}
    )
    augmenter = Augmenter(
        settings, n_valid=np.full(N, 1), n_samples=1, sample_rate_hz=10, seed=3, device=torch.device("cpu")
    )
    rows = items.rows(np.arange(len(items.clips)))
    out = augmenter.batch(items, rows, 1).spectrograms(spectrograms[rows.clips])
    assert torch.equal(out[:N], spectrograms)
    mix = items.mixes[0]
    for item in range(N, len(items.clips)):
        first, second = spectrograms[items.clips[item]], spectrograms[mix.partners[item]]
        from_second = out[item] == second
        assert ((out[item] == first) | from_second).all()
        assert from_second.float().mean().item() == pytest.approx(mix.shares[item], abs=1e-6)
