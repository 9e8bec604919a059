"""A network declared layer by layer in the experiment (`config.layers` holds the names, settings and shapes)."""

from __future__ import annotations

from torch import Tensor, nn

from auscult.config.layers import LAYERS, LayerSettings, Shape, layer_shapes, maps_shape
from auscult.config.model import LayersSettings
from auscult.models.classifier import Backbone, as_maps


def make_layer(layer: LayerSettings, shape: Shape) -> nn.Module:
    """Return torch's layer for maps or features of `shape` (of one clip); its settings are torch's arguments."""
    told = [shape[0]] if layer.is_told_input else []
    module: nn.Module = LAYERS.implementation(layer.name)(*told, **layer.model_dump(exclude={"layer"}))
    return module


class LayerNet(nn.Module):
    """The layers one after another; where they end in maps, the mean over mel and frames, or height and width."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, spectrograms: Tensor) -> Tensor:
        """Turn [batch, mel, frame], or pictures [batch, channel, height, width], into [batch, feature]."""
        given: Tensor = self.layers(as_maps(spectrograms))
        return given.mean(dim=(2, 3)) if given.ndim == 4 else given


def build(settings: LayersSettings, input_shape: tuple[int, ...]) -> Backbone:
    """Build the backbone.

    Raises:
        ConfigError: A layer cannot take what comes to it: its number, its name and the shapes up to it.
    """
    shapes = layer_shapes(settings.layers, input_shape)
    incoming = [maps_shape(input_shape), *shapes[:-1]]
    layers = [make_layer(layer, shape) for layer, shape in zip(settings.layers, incoming, strict=True)]
    return Backbone(LayerNet(layers), shapes[-1][0])
