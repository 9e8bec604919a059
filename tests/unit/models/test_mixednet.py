import itertools

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional

from auscult.config import MixedNetSettings
from auscult.errors import ConfigError
from auscult.models import build_model, count_parameters
from auscult.models.mixednet import MixedConv2d, MixedStage

SETTINGS = MixedNetSettings(name="mixednet")


def test_shapes_layer_by_layer():
    model = build_model(SETTINGS, 2, (128, 311), seed=0)
    seen = []
    for stage in model.backbone.stages:
        stage.register_forward_hook(lambda _module, _inputs, output: seen.append(tuple(output.shape)))
    logits = model(torch.zeros(4, 128, 311))
    assert seen == [(4, 8, 64, 155), (4, 16, 32, 77), (4, 32, 16, 38), (4, 64, 8, 19), (4, 128, 4, 9)]
    assert model.backbone(torch.zeros(4, 128, 311)).shape == (4, 128)
    assert logits.shape == (4, 2)


def test_layers_of_a_stage_stand_in_the_stated_order():
    first, second = MixedStage(1, 8, (3, 5, 7)), MixedStage(8, 16, (3, 5, 7))
    assert [type(layer).__name__ for layer in second] == ["MixedConv2d", "Conv2d", "ReLU", "AvgPool2d", "BatchNorm2d"]
    assert [type(layer).__name__ for layer in first] == ["MixedConv2d", "ReLU", "AvgPool2d", "BatchNorm2d"]


@pytest.mark.parametrize("n_channels", [8, 9, 16])
def test_mixed_convolution_equals_one_convolution_for_each_group(n_channels):
    convolution = MixedConv2d(n_channels, (3, 5, 7))
    sizes = [len(kernel) for kernel in convolution.kernels]
    assert sum(sizes) == n_channels
    assert max(sizes) - min(sizes) <= 1
    maps = torch.randn(2, n_channels, 20, 33, generator=torch.Generator().manual_seed(0))
    parts = [
        functional.conv2d(part, kernel, padding=kernel.shape[-1] // 2, groups=len(kernel))
        for part, kernel in zip(maps.split(sizes, dim=1), convolution.kernels, strict=True)
    ]
    torch.testing.assert_close(convolution(maps), torch.cat(parts, dim=1))


def test_zeros_around_small_kernels_are_never_trained():
    convolution = MixedConv2d(6, (3, 5, 7))
    convolution(torch.randn(1, 6, 9, 9)).square().sum().backward()
    assert [tuple(kernel.shape) for kernel in convolution.kernels] == [(2, 1, 3, 3), (2, 1, 5, 5), (2, 1, 7, 7)]
    assert all(kernel.grad.abs().min() > 0 for kernel in convolution.kernels)
    assert convolution.weight()[:2, :, 0].abs().max() == 0


def test_parameter_count_equals_the_hand_count():
    def mixed(n_channels):
        groups = [n_channels // 3 + (group < n_channels % 3) for group in range(3)]
        return sum(size * kernel**2 for size, kernel in zip(groups, (3, 5, 7), strict=True))

    channels = (8, 16, 32, 64, 128)
    expected = mixed(8) + 2 * 8
    for n_in, n_out in itertools.pairwise(channels):
        expected += mixed(n_in) + n_in * n_out + 2 * n_out
    expected += 128 + 1
    assert count_parameters(build_model(SETTINGS, 1, (128, 311))) == expected == 14_945


def test_an_input_that_the_poolings_would_swallow_is_refused():
    build_model(SETTINGS, 1, (32, 32))
    with pytest.raises(ConfigError, match=r"needs at least \[32 mel, 32 frames\]; found \[64 mel, 31 frames\]"):
        build_model(SETTINGS, 1, (64, 31))


@pytest.mark.parametrize(
    ("values", "message"),
    [({"kernel_sizes": [3, 4]}, r"\[4\] are not odd"), ({"channels": [2, 8]}, "fewer than the 3 kernel sizes")],
)
def test_impossible_settings_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        MixedNetSettings(name="mixednet", **values)


def test_it_can_overfit_one_batch():
    generator = torch.Generator().manual_seed(0)
    spectrograms = torch.randn(8, 32, 32, generator=generator)
    targets = torch.tensor([0.0, 1, 0, 1, 1, 0, 1, 0])[:, None]
    model = build_model(MixedNetSettings(name="mixednet", dropout=0), 1, (32, 32), seed=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        loss = functional.binary_cross_entropy_with_logits(model(spectrograms), targets)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.01
