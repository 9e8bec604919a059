"""Grad-CAM and attention rollout on networks made by hand, where the right map is known, and on every family."""

import numpy as np
import pytest
import torch
from torch import nn

from auscult.config import ClipSettings, SpectrogramSettings
from auscult.config.model import HeadSettings
from auscult.evaluation import saliency as explain
from auscult.evaluation.saliency import Explainer, attention_rollout, grad_cam
from auscult.models import Normalisation, SavedModel, build_model
from auscult.models.classifier import Classifier, Head
from auscult.models.frontends import build_frontend
from auscult.models.normalisation import FullScale

N_MELS, N_FRAMES = 32, 64


def saved(module, n_targets=2, shape=(N_MELS, N_FRAMES)):
    names = [f"t{number}" for number in range(n_targets)]
    meta = {"targets": names, "input_shape": list(shape), "task": {"type": "multi_label"}}
    return SavedModel(module.eval(), Normalisation.from_bands(np.zeros(shape[0]), np.ones(shape[0])), meta)


class TwoMaps(nn.Module):
    """Two maps: what is above zero, and what is below; their means are the features."""

    def __init__(self):
        super().__init__()
        self.maps = nn.Conv2d(1, 2, 1, bias=False)
        self.maps.weight.data = torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1)

    def forward(self, spectrograms):
        return torch.relu(self.maps(spectrograms[:, None])).mean(dim=(2, 3))


def by_hand():
    head = Head(2, 2, HeadSettings(), dropout=0.0)
    head.linear.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    head.linear.bias.data.zero_()
    return saved(Classifier(TwoMaps(), head))


def test_the_evidence_is_where_the_network_looks_by_construction():
    clips = np.zeros((2, N_MELS, N_FRAMES), dtype=np.float32)
    clips[:, 4:8, 10:20] = 1.0
    clips[:, 20:24, 40:50] = -1.0
    explainer = Explainer(by_hand())
    assert (explainer.method, explainer.layer) == ("grad_cam", "backbone.maps")
    found = explainer.explain(clips, [0, 1]).maps
    assert np.array_equal(found[0] > 0, clips[0] > 0)
    assert np.array_equal(found[1] > 0, clips[1] < 0)
    assert found.max() == 1.0


def test_where_nothing_speaks_for_a_target_the_map_is_empty():
    clips = -np.ones((1, N_MELS, N_FRAMES), dtype=np.float32)
    assert not Explainer(by_hand()).explain(clips, [0]).maps.any()
    assert Explainer(by_hand()).explain(clips[:0], []).maps.shape == (0, N_MELS, N_FRAMES)


def test_one_target_is_asked_for_each_clip():
    with pytest.raises(ValueError, match="one column a clip"):
        Explainer(by_hand()).explain(np.zeros((2, N_MELS, N_FRAMES)), [0])


def test_grad_cam_is_its_formula():
    generator = torch.Generator().manual_seed(1)
    maps, gradient = (torch.randn(2, 3, 4, 5, generator=generator) for _ in range(2))
    found = grad_cam(maps, gradient)
    for clip in range(2):
        expected = np.zeros((4, 5))
        for channel in range(3):
            expected += gradient[clip, channel].numpy().mean() * maps[clip, channel].numpy()
        np.testing.assert_allclose(found[clip].numpy(), np.maximum(expected, 0), atol=1e-6)


def test_rollout_follows_attention_from_block_to_block():
    # Token 0 answers. In the last block it attends to token 1 alone, in the first token 1 attends to token 2 alone.
    last, first = torch.eye(4)[[1, 1, 2, 3]], torch.eye(4)[[0, 2, 2, 3]]
    rolled = attention_rollout([first[None, None], last[None, None]], 1, (1, 3), is_pooled=False)
    # Half stays at each step: 0 -> 0 (1/4 + 1/4), 0 -> 1 -> 1 (1/4), 0 -> 1 -> 2 (1/4).
    assert rolled.tolist() == [[[0.25, 0.25, 0.0]]]


def test_rollout_equals_plain_products_of_averaged_heads():
    generator = torch.Generator().manual_seed(2)
    blocks = [torch.rand(2, 3, 7, 7, generator=generator).softmax(dim=-1) for _ in range(4)]
    product = np.stack([np.eye(7)] * 2)
    for block in blocks:
        product = (block.numpy().mean(axis=1) + np.eye(7)) / 2 @ product
    np.testing.assert_allclose(
        attention_rollout(blocks, 1, (2, 3), is_pooled=False), product[:, 0, 1:].reshape(2, 2, 3), rtol=1e-5
    )
    pooled = product[:, 1:].mean(axis=1)[:, 1:].reshape(2, 2, 3)
    np.testing.assert_allclose(attention_rollout(blocks, 1, (2, 3), is_pooled=True), pooled, rtol=1e-5)


FAMILIES = [
    ({"name": "mixednet"}, "grad_cam"),
    ({"name": "inception_residual"}, "grad_cam"),
    ({"name": "sequence_net", "n_sequences": 3, "channels": [8, 16]}, "grad_cam"),
    ({"name": "cnn6"}, "grad_cam"),
    ({"name": "test_cnn"}, "grad_cam"),
    ({"name": "timm/test_resnet"}, "grad_cam"),
    ({"name": "timm/test_convnext"}, "grad_cam"),
    ({"name": "timm/test_vit"}, "attention_rollout"),
    ({"name": "timm/test_vit", "over_time": "attention"}, "attention_rollout"),
    ({"name": "timm/mobilenetv3_small_050", "over_time": "log_mean_exp", "stage": 3}, "grad_cam"),
    ({"name": "timm/swin_tiny_patch4_window7_224"}, "grad_cam"),
]


@pytest.mark.parametrize(("settings", "method"), FAMILIES, ids=str)
def test_every_family_is_explained_and_keeps_its_answers(settings, method):
    from pydantic import TypeAdapter

    from auscult.config.model import ModelSettings

    shape = (64, 101)
    module = build_model(TypeAdapter(ModelSettings).validate_python(settings), 2, shape, seed=0)
    # Frozen weights give no gradients of their own.
    module.requires_grad_(requires_grad=False)
    model = saved(module, shape=shape)
    clips = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    before = model.logits(clips)
    explainer = Explainer(model)
    assert explainer.method == method
    found = explainer.explain(clips, [0, 1, 0])
    assert found.maps.shape == (3, *shape)
    assert np.isfinite(found.maps).all()
    assert 0 <= found.maps.min() <= found.maps.max() <= 1
    if method == "attention_rollout":
        assert (found.maps.max(axis=(1, 2)) == 1).all()
        again = explainer.explain(clips, [1, 0, 1]).maps
        np.testing.assert_array_equal(found.maps, again)
    np.testing.assert_array_equal(model.logits(clips), before)


def test_pieces_of_a_clip_lie_side_by_side_again():
    from auscult.config.model import SequenceNetSettings

    settings = SequenceNetSettings(name="sequence_net", n_sequences=4, channels=(8,))
    module = build_model(settings, 2, (N_MELS, 102), seed=0)
    maps = torch.arange(8.0)[:, None, None, None].expand(8, 1, 2, 3)
    side_by_side = explain._channels_first(maps, module, 2)
    assert side_by_side.shape == (2, 1, 2, 12)
    assert side_by_side[1, 0, 0].tolist() == [4, 4, 4, 5, 5, 5, 6, 6, 6, 7, 7, 7]
    # Quiet in all pieces but the third: the evidence is there.
    clip = np.zeros((1, N_MELS, 102), dtype=np.float32)
    model = saved(module, shape=(N_MELS, 102))
    assert Explainer(model).explain(clip, [0]).maps.shape == (1, N_MELS, 102)


def test_a_model_without_maps_is_said_to_be_unexplained():
    class Flat(nn.Module):
        def forward(self, spectrograms):
            return spectrograms.flatten(1)[:, :2]

    model = saved(Classifier(Flat(), Head(2, 2, HeadSettings(), dropout=0.0)))
    explainer = Explainer(model)
    assert explainer.method == "none"
    assert not explainer.explain(np.ones((1, N_MELS, N_FRAMES)), [0]).maps.any()


@pytest.mark.parametrize("frontend", ["mel", "learnable_mel"])
def test_a_model_that_takes_waveforms_is_explained_over_its_own_spectrogram(frontend):
    from auscult.config.model import TestCnnSettings

    clips = ClipSettings(length_s=1, sample_rate_hz=4000)
    spectrogram = SpectrogramSettings(n_fft=256, hop_samples=32, n_mels=N_MELS)
    settings = TestCnnSettings.model_validate({"name": "test_cnn", "frontend": {"name": frontend}})
    shape = (N_MELS, (clips.n_samples - 256) // 32 + 1)
    module = build_model(settings, 2, shape, frontend=build_frontend(settings.frontend, spectrogram, clips), seed=0)
    meta = {"targets": ["a", "b"], "input_shape": list(shape), "task": {"type": "multi_label"}}
    model = SavedModel(module.eval(), FullScale(), {**meta, "clips": clips.model_dump(mode="json")})
    assert model.takes == "waveform"
    sound = np.random.default_rng(0).integers(-9000, 9000, size=(2, clips.n_samples)).astype(np.int16)
    explainer = Explainer(model)
    assert explainer.method == "grad_cam"
    assert explainer.layer.startswith("backbone.")
    found = explainer.explain(sound, [0, 1]).maps
    assert found.shape == (2, *shape)
    assert found.max() <= 1
