"""Layers that an experiment may name (`model: {name: layers, layers: [...]}`), and the shapes that they give.

The list is closed: a configuration reaches these names only, never a path to code. The names and their settings are
torch's. Shapes are computed here, in plain arithmetic: a dry run refuses a network that does not fit, without torch. A
shape is that of one clip: maps [channel, mel, frame], or after Flatten features [feature].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from auscult.config.base import Settings

Shape = tuple[int, ...]


def _read_pair(least: int) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        pair = [value, value] if isinstance(value, int) else value
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(_is_whole(size, least) for size in pair):
            message = f"expected a whole number from {least} on, or two of them: [along mel, along frames]"
            raise PydanticCustomError("size", "{message}", {"message": message})
        return tuple(pair)

    return read


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _pair_schema(least: int) -> dict[str, Any]:
    number = {"type": "integer", "minimum": least}
    return {"anyOf": [number, {"type": "array", "items": number, "minItems": 2, "maxItems": 2}]}


Size = Annotated[tuple[int, int], BeforeValidator(_read_pair(1)), WithJsonSchema(_pair_schema(1))]
"""Along mel and frames; a single number stands for both."""

Padding = Annotated[tuple[int, int], BeforeValidator(_read_pair(0)), WithJsonSchema(_pair_schema(0))]
"""Zeros on both sides, along mel and frames; a single number stands for both."""

ConvPadding = Annotated[
    tuple[int, int] | Literal["same"],
    BeforeValidator(lambda value: value if value == "same" else _read_pair(0)(value)),
    WithJsonSchema({"anyOf": [*_pair_schema(0)["anyOf"], {"const": "same"}]}),
]
"""As `Padding`, or `same`: as many zeros as keep the size of the maps."""


class LayerSettings(Settings):
    """What all layers share: unless it says otherwise, a layer takes any shape and keeps it."""

    @property
    def name(self) -> str:
        """The layer's name, as in `layer: <name>`."""
        return type(self).__name__

    def shape_after(self, shape: Shape) -> Shape:
        """Return the shape that this layer makes of `shape`.

        Raises:
            ValueError: It cannot take it; the message says why and how to mend it.
        """
        return shape


class _OnMaps(LayerSettings):
    """A layer that takes maps only."""

    def shape_after(self, shape: Shape) -> Shape:
        if len(shape) != 3:
            raise ValueError("it takes maps [channel, mel, frame]; move it before Flatten, or leave Flatten out")
        return self._maps_after(shape)

    def _maps_after(self, shape: Shape) -> Shape:
        return shape


class _OnFeatures(LayerSettings):
    """A layer that takes features only."""

    def shape_after(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise ValueError("it takes features; put {layer: Flatten} before it")
        return self._features_after(shape)

    def _features_after(self, shape: Shape) -> Shape:
        return shape


class Conv2d(_OnMaps):
    """Convolution along mel and frames; the channels that come in are inferred."""

    layer: Literal["Conv2d"]
    out_channels: int = Field(ge=1)
    kernel_size: Size
    stride: Size = (1, 1)
    padding: ConvPadding = (0, 0)
    dilation: Size = (1, 1)
    groups: int = Field(default=1, ge=1)
    bias: bool = True

    def _maps_after(self, shape: Shape) -> Shape:
        for what, channels in (("that come in", shape[0]), ("of out_channels", self.out_channels)):
            if channels % self.groups:
                raise ValueError(f"the {channels} channels {what} cannot be divided into {self.groups} groups")
        if self.padding == "same":
            if self.stride != (1, 1):
                raise ValueError(
                    f"padding 'same' needs stride 1, found {list(self.stride)}; give the padding in numbers"
                )
            return (self.out_channels, *shape[1:])
        return (self.out_channels, *_slide(shape, self.kernel_size, self.stride, self.padding, self.dilation))


class _Pool2d(_OnMaps):
    kernel_size: Size
    stride: Size | None = Field(default=None, description="default: kernel_size")
    padding: Padding = Field(default=(0, 0), description="at most half of kernel_size")

    def _maps_after(self, shape: Shape) -> Shape:
        if any(2 * zeros > size for zeros, size in zip(self.padding, self.kernel_size, strict=True)):
            raise ValueError(
                f"padding {list(self.padding)} exceeds half of kernel_size {list(self.kernel_size)}; use less"
            )
        return (shape[0], *_slide(shape, self.kernel_size, self.stride or self.kernel_size, self.padding, (1, 1)))


class MaxPool2d(_Pool2d):
    """The largest value of each window."""

    layer: Literal["MaxPool2d"]


class AvgPool2d(_Pool2d):
    """The mean of each window."""

    layer: Literal["AvgPool2d"]


class _AdaptivePool2d(_OnMaps):
    output_size: Size = (1, 1)

    def _maps_after(self, shape: Shape) -> Shape:
        return (shape[0], *self.output_size)


class AdaptiveAvgPool2d(_AdaptivePool2d):
    """The means of as many windows as are asked for, whatever the size of the maps."""

    layer: Literal["AdaptiveAvgPool2d"]


class AdaptiveMaxPool2d(_AdaptivePool2d):
    """The largest values of as many windows as are asked for, whatever the size of the maps."""

    layer: Literal["AdaptiveMaxPool2d"]


class BatchNorm2d(_OnMaps):
    """Batch norm of each channel; their number is inferred."""

    layer: Literal["BatchNorm2d"]
    eps: float = Field(default=1e-5, gt=0)
    momentum: float = Field(default=0.1, gt=0, le=1)


class Dropout2d(_OnMaps):
    """Whole channels are left out."""

    layer: Literal["Dropout2d"]
    p: float = Field(default=0.5, ge=0, lt=1)


class Dropout(LayerSettings):
    """Single values are left out."""

    layer: Literal["Dropout"]
    p: float = Field(default=0.5, ge=0, lt=1)


class ReLU(LayerSettings):
    """Rectified linear unit."""

    layer: Literal["ReLU"]


class LeakyReLU(LayerSettings):
    """ReLU that lets a share of what is negative through."""

    layer: Literal["LeakyReLU"]
    negative_slope: float = Field(default=0.01, ge=0)


class ELU(LayerSettings):
    """Exponential linear unit."""

    layer: Literal["ELU"]
    alpha: float = Field(default=1.0, gt=0)


class GELU(LayerSettings):
    """Gaussian error linear unit."""

    layer: Literal["GELU"]
    approximate: Literal["none", "tanh"] = "none"


class SiLU(LayerSettings):
    """Sigmoid linear unit (swish)."""

    layer: Literal["SiLU"]


class Tanh(LayerSettings):
    """Hyperbolic tangent."""

    layer: Literal["Tanh"]


class Flatten(_OnMaps):
    """All values of the maps in a row: features."""

    layer: Literal["Flatten"]

    def _maps_after(self, shape: Shape) -> Shape:
        return (shape[0] * shape[1] * shape[2],)


class Linear(_OnFeatures):
    """Dense layer; the features that come in are inferred."""

    layer: Literal["Linear"]
    out_features: int = Field(ge=1)
    bias: bool = True

    def _features_after(self, shape: Shape) -> Shape:
        return (self.out_features,)


class LayerNorm(_OnFeatures):
    """Layer norm over the features; their number is inferred."""

    layer: Literal["LayerNorm"]
    eps: float = Field(default=1e-5, gt=0)


Layer = Annotated[
    Conv2d
    | MaxPool2d
    | AvgPool2d
    | AdaptiveAvgPool2d
    | AdaptiveMaxPool2d
    | BatchNorm2d
    | Dropout2d
    | Dropout
    | ReLU
    | LeakyReLU
    | ELU
    | GELU
    | SiLU
    | Tanh
    | Flatten
    | Linear
    | LayerNorm,
    Field(discriminator="layer"),
]

LAYERS: dict[str, type[LayerSettings]] = {kind.__name__: kind for kind in get_args(get_args(Layer)[0])}
"""The layers that there are, by name."""


def _slide(
    shape: Shape, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int]
) -> list[int]:
    """Return height and width of what a sliding window makes of maps."""
    reach = [step * (size - 1) + 1 for size, step in zip(kernel, dilation, strict=True)]
    room = [size + 2 * zeros for size, zeros in zip(shape[1:], padding, strict=True)]
    if any(size < needed for size, needed in zip(room, reach, strict=True)):
        raise ValueError(
            f"its window of {reach} does not fit into {room}, the maps and their padding; "
            "use fewer or smaller poolings before it, a smaller kernel, padding, more mel bands or longer clips"
        )
    return [(size - needed) // step + 1 for size, needed, step in zip(room, reach, stride, strict=True)]
