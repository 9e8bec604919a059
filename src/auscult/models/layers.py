"""A network declared layer by layer in the experiment (`config.layers` holds the names, settings and shapes)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from auscult.config.layer_list import layer_shapes
from auscult.config.layers import LayerSettings, Shape
from auscult.config.model import LayersSettings
from auscult.models.classifier import Backbone, as_maps


def _settings_of(layer: LayerSettings) -> dict[str, Any]:
    return layer.model_dump(exclude={"layer"})


_INFERRED: dict[str, Callable[[LayerSettings, Shape], nn.Module]] = {
    "Conv2d": lambda layer, shape: nn.Conv2d(shape[0], **_settings_of(layer)),
    "BatchNorm2d": lambda layer, shape: nn.BatchNorm2d(shape[0], **_settings_of(layer)),
    "Linear": lambda layer, shape: nn.Linear(shape[0], **_settings_of(layer)),
    "LayerNorm": lambda layer, shape: nn.LayerNorm(shape[0], **_settings_of(layer)),
}
"""Layers that must be told what comes in."""

_PLAIN: dict[str, type[nn.Module]] = {
    kind.__name__: kind
    for kind in (
        nn.MaxPool2d,
        nn.AvgPool2d,
        nn.AdaptiveAvgPool2d,
        nn.AdaptiveMaxPool2d,
        nn.Dropout2d,
        nn.Dropout,
        nn.ReLU,
        nn.LeakyReLU,
        nn.ELU,
        nn.GELU,
        nn.SiLU,
        nn.Tanh,
        nn.Flatten,
    )
}
"""Layers that take what comes; their settings are torch's arguments."""


def make_layer(layer: LayerSettings, shape: Shape) -> nn.Module:
    """Return torch's layer for maps or features of `shape` (of one clip)."""
    if layer.name in _INFERRED:
        return _INFERRED[layer.name](layer, shape)
    return _PLAIN[layer.name](**_settings_of(layer))


class LayerNet(nn.Module):
    """The layers one after another; where they end in maps, the mean over mel and frames."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, spectrograms: Tensor) -> Tensor:
        """Turn [batch, mel, frame] into [batch, feature]."""
        given: Tensor = self.layers(as_maps(spectrograms))
        return given.mean(dim=(2, 3)) if given.ndim == 4 else given


def build(settings: LayersSettings, input_shape: tuple[int, int]) -> Backbone:
    """Build the backbone.

    Raises:
        ConfigError: A layer cannot take what comes to it: its number, its name and the shapes up to it.
    """
    shapes = layer_shapes(settings.layers, input_shape)
    incoming = [(1, *input_shape), *shapes[:-1]]
    layers = [make_layer(layer, shape) for layer, shape in zip(settings.layers, incoming, strict=True)]
    return Backbone(LayerNet(layers), shapes[-1][0])
