"""Heads that decide at each step of time: what they combine, which models can, and what is loaded into them."""

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from pydantic import TypeAdapter, ValidationError

from auscult.config.model import ModelSettings
from auscult.config.train import PretrainedSettings
from auscult.errors import ConfigError, DataError
from auscult.models.registry import build_model
from auscult.training.pretrained import load_pretrained

SHAPE = (64, 200)


def settings(**model):
    return TypeAdapter(ModelSettings).validate_python({"over_time": "mean", **model})


def built(n_targets=2, **model):
    return build_model(settings(**model), n_targets, SHAPE).eval()


@pytest.mark.parametrize(
    ("way", "combined"),
    [
        ("mean", lambda steps, _: steps.mean(axis=0)),
        ("max", lambda steps, _: steps.max(axis=0)),
        ("log_mean_exp", lambda steps, _: np.log(np.exp(steps).mean(axis=0))),
        ("attention", lambda steps, scores: (np.exp(scores) / np.exp(scores).sum(axis=0) * steps).sum(axis=0)),
    ],
)
def test_the_decisions_of_all_steps_are_combined_as_the_setting_says(way, combined):
    model = built(name="test_cnn", over_time=way, head={"hidden_size": 5})
    clip = torch.randn(1, *SHAPE)
    features = model.backbone(clip)[0].detach()
    hidden = torch.relu(features @ model.head.hidden.weight.T + model.head.hidden.bias).detach()
    steps = (hidden @ model.head.linear.weight.T + model.head.linear.bias).detach().double().numpy()
    scores = None
    if way == "attention":
        scores = (hidden @ model.head.attention.weight.T + model.head.attention.bias).detach().double().numpy()
    np.testing.assert_allclose(model(clip)[0].detach(), combined(steps, scores), atol=1e-5)
    np.testing.assert_allclose(model.embed(clip)[0].detach(), features.mean(dim=0), atol=1e-6)


@pytest.mark.parametrize(
    ("model", "n_steps"),
    [
        ({"name": "mixednet"}, 6),
        ({"name": "inception_residual"}, 3),
        ({"name": "cnn6"}, 12),
        ({"name": "timm/mobilenetv3_small_050", "stage": 3}, 13),
        ({"name": "timm/mobilenetv3_small_050"}, 7),
        ({"name": "timm/test_vit"}, 13),  # 13 of the 14 that the padded input has
        ({"name": "timm/swin_tiny_patch4_window7_224", "stage": 2}, 13),
    ],
)
def test_a_sound_at_a_time_changes_the_steps_of_that_time(model, n_steps):
    model = built(**model)
    clip = torch.zeros(1, *SHAPE)
    assert model.backbone(clip).shape == (1, n_steps, model.n_features)
    loud = clip.clone()
    loud[:, :, 190:] = 3.0
    change = (model.backbone(loud) - model.backbone(clip)).detach().abs().mean(dim=2)[0]
    assert change.argmax() >= n_steps - 2


def test_models_that_pool_time_themselves_are_refused_with_those_that_do_not():
    with pytest.raises(ValidationError, match=r"sequence_net pools its features itself; .*mixednet.*timm/"):
        settings(name="sequence_net")
    with pytest.raises(ValidationError, match="stage says which maps are used by over_time"):
        settings(name="timm/resnet18", stage=2, over_time=None)
    with pytest.raises(ConfigError, match=r"gives no maps of a stage 9 for \[64 mel, 200 frames\]; choose a smaller"):
        built(name="timm/mobilenetv3_small_050", stage=9)


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "test_vit", "test_convnext"])
def test_timms_weights_arrive_in_the_stages_that_are_used(tmp_path, name):
    path = tmp_path / "weights.safetensors"
    weights = timm.create_model(name, pretrained=False).state_dict()
    safetensors.torch.save_file(weights, path)
    model = settings(name=f"timm/{name}", stage=1)
    module = build_model(model, 2, SHAPE)
    load_pretrained(module, PretrainedSettings(timm=str(path)), model, SHAPE)
    used = timm.create_model(
        name, pretrained=True, pretrained_cfg_overlay={"state_dict": weights}, features_only=True, **{
            key: value for key, value in module.backbone.arguments.items() if key in {"in_chans", "img_size"}
        }, out_indices=(1,),
    )  # fmt: skip
    assert all(
        torch.equal(tensor, used.state_dict()[key]) for key, tensor in module.backbone.model.state_dict().items()
    )
    weights.pop(sorted(key for key in weights if key.startswith(("blocks.", "stages.")))[0])
    safetensors.torch.save_file(weights, path)
    with pytest.raises(DataError, match="1 missing"):
        load_pretrained(module, PretrainedSettings(timm=str(path)), model, SHAPE)


def test_a_backbone_that_was_trained_with_pooled_features_goes_on_over_time(tmp_path):
    pooled = build_model(settings(name="timm/mobilenetv3_small_050", over_time=None), 2, SHAPE, seed=1)
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file(pooled.state_dict(), path)
    model = settings(name="timm/mobilenetv3_small_050", stage=3)
    module = build_model(model, 5, SHAPE)
    load_pretrained(module, PretrainedSettings(weights=str(path), parts="backbone"), model, SHAPE)
    whole = pooled.state_dict()
    assert all(
        torch.equal(tensor, whole[name]) for name, tensor in module.state_dict().items() if name.startswith("backbone.")
    )
