"""Pictures go through the same models, losses and loop as sound; what was too hard to annotate counts for nothing."""

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from auscult.config import LossSettings, TaskSettings
from auscult.config.model import ModelSettings
from auscult.models.registry import build_model
from auscult.training.losses import build_map_loss

ADAPTER = TypeAdapter(ModelSettings)
TASK = TaskSettings.model_validate(
    {
        "description": "",
        "type": "objects",
        "targets": ["disc"],
        "level": "recording",
        "datasets": {"d": {"disc": {"column": "objects", "positive": ["present"], "negative": ["absent"]}}},
    }
)
LOSSES = ("bce", "focal", "mse", "asymmetric", "dice")


def build(name, shape, **settings):
    values = {"name": name, "channels": 4, "depth": 2, "over_time": "max", **settings}
    return build_model(ADAPTER.validate_python(values), 1, shape, seed=1, learns_maps=True)


@pytest.mark.parametrize("name", ["unet", "dcan"])
@pytest.mark.parametrize("trim", ["resize", "padding", "reflect"])
@pytest.mark.parametrize("shape", [(1, 16, 24), (3, 21, 30), (5, 9, 7)])
def test_maps_have_the_size_of_the_picture_and_those_of_clips_are_their_highest(name, trim, shape) -> None:
    model = build(name, shape, trim=trim).eval()
    pictures = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    maps = model(pictures, as_maps=True)
    assert maps.shape == (2, 2, *shape[1:])
    assert torch.equal(model(pictures)[:, 0], maps[:, 0].flatten(1).amax(dim=1))
    assert model.embed(pictures).shape == (2, model.n_features)


@pytest.mark.parametrize("name", ["unet", "dcan"])
def test_what_is_moved_in_a_picture_moves_in_its_maps(name: str) -> None:
    model = build(name, (1, 32, 32)).eval()
    picture = torch.zeros(1, 1, 32, 32)
    picture[:, :, 8:12, 12:16] = 3.0
    maps = model(picture, as_maps=True)
    # By whole cells of the deepest level: those of the middle, which see no border.
    moved = model(picture.roll((8, 4), dims=(2, 3)), as_maps=True)
    inside = np.s_[:, :, 16:22, 14:22]
    assert torch.allclose(maps.roll((8, 4), dims=(2, 3))[inside], moved[inside], atol=1e-4)
    assert not torch.allclose(maps[inside], moved[inside], atol=1e-2)


@pytest.mark.parametrize("name", LOSSES)
def test_what_was_too_hard_changes_neither_loss_nor_gradient(name: str) -> None:
    rng = np.random.default_rng(2)
    maps = rng.integers(-1, 2, (3, 2, 6, 5)).astype(np.int8)
    loss = build_map_loss(maps, TASK, LossSettings(name=name, obj_weight=2, bnd_weight=3), torch.device("cpu"))
    logits = torch.from_numpy(rng.normal(size=maps.shape).astype(np.float32))
    found = []
    for noise in (0.0, 50.0):
        noisy = (logits + noise * torch.from_numpy(maps == -1)).requires_grad_()
        value = loss(noisy, torch.from_numpy(maps)).mean()
        value.backward()
        assert noisy.grad is not None
        assert (noisy.grad[torch.from_numpy(maps == -1)] == 0).all()
        found.append((value.detach(), noisy.grad))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_of_a_picture_is_that_of_its_pixels_in_a_row(name: str) -> None:
    rng = np.random.default_rng(3)
    maps = rng.integers(-1, 2, (3, 2, 6, 5)).astype(np.int8)
    logits = torch.from_numpy(rng.normal(size=maps.shape).astype(np.float32))
    settings = LossSettings(name=name, class_weights="none" if name == "dice" else "balanced", bnd_weight=2)
    values = []
    for shape in (maps.shape, (3, 2, 30)):
        loss = build_map_loss(maps.reshape(shape), TASK, settings, torch.device("cpu"))
        found = loss(logits.reshape(shape), torch.from_numpy(maps.reshape(shape)))
        assert int(found.n_known) == loss.count_known(maps.reshape(shape))
        values.append(found.mean())
    assert torch.allclose(values[0], values[1], rtol=1e-6)
