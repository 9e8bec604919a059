"""Layers that an experiment may name (`model: {name: layers, layers: [...]}`), and the shapes that they give.

The list is closed: a configuration reaches these names only, never a path to code. The names and their settings are
torch's. Shapes are computed here, in plain arithmetic: a dry run refuses a network that does not fit, without torch. A
new layer is one class here. A shape is that of one clip: maps [channel, mel, frame], or after Flatten features
[feature]. Of pictures, height stands for mel and width for frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    WithJsonSchema,
    model_serializer,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from auscult.config.base import Settings
from auscult.config.registry import Registry
from auscult.errors import ConfigError, nearest

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


_INCOMING = ("in_channels", "in_features", "num_features", "normalized_shape")
"""What torch calls the number of channels or features that come in."""

Incoming = Annotated[int | None, Field(ge=1, description="checked where it is given; default: inferred")]


class LayerSettings(Settings):
    """What all layers share: unless it says otherwise, a layer takes any shape and keeps it."""

    is_told_input: ClassVar[bool] = False
    """Whether torch's first argument is the number of channels or features that come in."""

    @property
    def name(self) -> str:
        """The layer's name, as in `layer: <name>`."""
        return type(self).__name__

    @model_serializer(mode="wrap")
    def _without_what_is_inferred(self, to_dict: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # It is a check, and no setting of the network.
        return {key: value for key, value in to_dict(self).items() if key not in _INCOMING}

    def shape_after(self, shape: Shape) -> Shape:
        """Return the shape that this layer makes of `shape`.

        Raises:
            ValueError: It cannot take it; the message says why and how to fix it.
        """
        return shape

    def _require_incoming(self, shape: Shape) -> None:
        for key in _INCOMING:
            said = getattr(self, key, None)
            if said is not None and said != shape[0]:
                raise ValueError(
                    f"it says {key} {said}, and {shape[0]} come in; correct it or the layers before it, or leave {key} "
                    "out: it is inferred"
                )


LAYERS: Registry[LayerSettings] = Registry("layer", field="layer")
"""The layers that there are. Implementations: torch's, which take the settings as arguments."""


class _OnMaps(LayerSettings):
    """A layer that takes maps only."""

    def shape_after(self, shape: Shape) -> Shape:
        if len(shape) != 3:
            raise ValueError("it takes maps [channel, mel, frame]; move it before Flatten, or leave Flatten out")
        self._require_incoming(shape)
        return self._maps_after(shape)

    def _maps_after(self, shape: Shape) -> Shape:
        return shape


class _OnFeatures(LayerSettings):
    """A layer that takes features only."""

    def shape_after(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise ValueError("it takes features; put {layer: Flatten} before it")
        self._require_incoming(shape)
        return self._features_after(shape)

    def _features_after(self, shape: Shape) -> Shape:
        return shape


@LAYERS.register("torch.nn:Conv2d")
class Conv2d(_OnMaps):
    """Convolution along mel and frames; the channels that come in are inferred."""

    is_told_input = True
    layer: Literal["Conv2d"]
    in_channels: Incoming = None
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


@LAYERS.register("torch.nn:MaxPool2d")
class MaxPool2d(_Pool2d):
    """The largest value of each window."""

    layer: Literal["MaxPool2d"]


@LAYERS.register("torch.nn:AvgPool2d")
class AvgPool2d(_Pool2d):
    """The mean of each window."""

    layer: Literal["AvgPool2d"]


class _AdaptivePool2d(_OnMaps):
    output_size: Size = (1, 1)

    def _maps_after(self, shape: Shape) -> Shape:
        return (shape[0], *self.output_size)


@LAYERS.register("torch.nn:AdaptiveAvgPool2d")
class AdaptiveAvgPool2d(_AdaptivePool2d):
    """The means of as many windows as are asked for, whatever the size of the maps."""

    layer: Literal["AdaptiveAvgPool2d"]


@LAYERS.register("torch.nn:AdaptiveMaxPool2d")
class AdaptiveMaxPool2d(_AdaptivePool2d):
    """The largest values of as many windows as are asked for, whatever the size of the maps."""

    layer: Literal["AdaptiveMaxPool2d"]


@LAYERS.register("torch.nn:BatchNorm2d")
class BatchNorm2d(_OnMaps):
    """Batch norm of each channel; their number is inferred."""

    is_told_input = True
    layer: Literal["BatchNorm2d"]
    num_features: Incoming = None
    eps: float = Field(default=1e-5, gt=0)
    momentum: float = Field(default=0.1, gt=0, le=1)


@LAYERS.register("torch.nn:Dropout2d")
class Dropout2d(_OnMaps):
    """Whole channels are left out."""

    layer: Literal["Dropout2d"]
    p: float = Field(default=0.5, ge=0, lt=1)


@LAYERS.register("torch.nn:Dropout")
class Dropout(LayerSettings):
    """Single values are left out."""

    layer: Literal["Dropout"]
    p: float = Field(default=0.5, ge=0, lt=1)


@LAYERS.register("torch.nn:ReLU")
class ReLU(LayerSettings):
    """Rectified linear unit."""

    layer: Literal["ReLU"]


@LAYERS.register("torch.nn:LeakyReLU")
class LeakyReLU(LayerSettings):
    """ReLU that lets a share of what is negative through."""

    layer: Literal["LeakyReLU"]
    negative_slope: float = Field(default=0.01, ge=0)


@LAYERS.register("torch.nn:ELU")
class ELU(LayerSettings):
    """Exponential linear unit."""

    layer: Literal["ELU"]
    alpha: float = Field(default=1.0, gt=0)


@LAYERS.register("torch.nn:GELU")
class GELU(LayerSettings):
    """Gaussian error linear unit."""

    layer: Literal["GELU"]
    approximate: Literal["none", "tanh"] = "none"


@LAYERS.register("torch.nn:SiLU")
class SiLU(LayerSettings):
    """Sigmoid linear unit (swish)."""

    layer: Literal["SiLU"]


@LAYERS.register("torch.nn:Tanh")
class Tanh(LayerSettings):
    """Hyperbolic tangent."""

    layer: Literal["Tanh"]


@LAYERS.register("torch.nn:Flatten")
class Flatten(_OnMaps):
    """All values of the maps in a row: features."""

    layer: Literal["Flatten"]

    def _maps_after(self, shape: Shape) -> Shape:
        return (shape[0] * shape[1] * shape[2],)


@LAYERS.register("torch.nn:Linear")
class Linear(_OnFeatures):
    """Dense layer; the features that come in are inferred."""

    is_told_input = True
    layer: Literal["Linear"]
    in_features: Incoming = None
    out_features: int = Field(ge=1)
    bias: bool = True

    def _features_after(self, shape: Shape) -> Shape:
        return (self.out_features,)


@LAYERS.register("torch.nn:LayerNorm")
class LayerNorm(_OnFeatures):
    """Layer norm over the features; their number is inferred."""

    is_told_input = True
    layer: Literal["LayerNorm"]
    normalized_shape: Incoming = None
    eps: float = Field(default=1e-5, gt=0)


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


def _read_layers(value: Any) -> Any:
    if not isinstance(value, list | tuple) or not value:
        message = f"found {_shortened(value)}, expected a list of {{layer: <name>, <its settings>}}"
        raise PydanticCustomError("named", "{message}", {"message": message})
    faults: list[InitErrorDetails] = []
    layers: list[Any] = []
    for number, item in enumerate(value, start=1):
        if isinstance(item, LayerSettings):
            layers.append(item)
            continue
        found, messages = _read_layer(item)
        layers.append(found)
        for message in messages:
            fault = PydanticCustomError("named", "{message}", {"message": f"layer {number}{message}"})
            faults.append(InitErrorDetails(type=fault, loc=(), input=item))
    if faults:
        raise ValidationError.from_exception_data("layers", faults)
    return layers


def _read_layer(item: Any) -> tuple[LayerSettings | None, list[str]]:
    """Return the settings of one layer, or what is wrong with it."""
    allowed = ", ".join(sorted(LAYERS, key=str.lower))
    if not isinstance(item, dict) or not isinstance(item.get("layer"), str):
        return None, [f": found {_shortened(item)}, expected {{layer: <name>, <its settings>}}; names: {allowed}"]
    name = item["layer"]
    if name not in LAYERS:
        return None, [f": unknown layer {name!r}{_hint(name, LAYERS)} allowed: {allowed}"]
    try:
        return LAYERS[name].model_validate(item), []
    except ValidationError as error:
        return None, [f" ({name}): {_describe(LAYERS[name], dict(fault))}" for fault in error.errors()]


def _describe(kind: type[LayerSettings], fault: dict[str, Any]) -> str:
    settings = [name for name in kind.model_fields if name != "layer"]
    if fault["type"] == "unknown_key":
        key = fault["ctx"]["key"]
        allowed = f"allowed: {', '.join(settings)}" if settings else "it has none"
        return f"unknown setting {key!r}{_hint(key, settings)} {allowed}"
    key = fault["loc"][0]
    if fault["type"] == "missing":
        return f"{key} is missing; add it"
    message = str(fault["msg"]).removeprefix("Value error, ")
    return f"{key}: found {_shortened(fault['input'])}; {message[:1].lower()}{message[1:]}"


def _hint(name: str, allowed: Any) -> str:
    close = nearest(name, allowed)
    return f", did you mean {close!r}?" if close else ";"


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."


Layers = Annotated[tuple[Annotated[LayerSettings, LAYERS], ...], BeforeValidator(_read_layers)]
"""A network as it is declared, from the spectrogram on."""


def maps_shape(input_shape: Shape) -> Shape:
    """Return the maps that layers are given of one clip.

    >>> maps_shape((128, 311)), maps_shape((3, 224, 224))
    ((1, 128, 311), (3, 224, 224))
    """
    return input_shape if len(input_shape) == 3 else (1, *input_shape)


def layer_shapes(layers: Sequence[LayerSettings], input_shape: Shape) -> list[Shape]:
    """Return the shape after each layer, of one clip.

    Args:
        layers: From the spectrogram, or the picture, on.
        input_shape: Mel bands and frames; of a picture channels, height and width.

    Raises:
        ConfigError: A layer cannot take what comes to it: its number, its name, the shapes up to it, how to fix it.
    """
    shapes: list[Shape] = [maps_shape(input_shape)]
    sides = ("high", "wide") if len(input_shape) == 3 else ("mel", "frames")
    for number, layer in enumerate(layers, start=1):
        try:
            shapes.append(layer.shape_after(shapes[-1]))
        except ValueError as error:
            names = ["input", *(f"{index} {known.name}" for index, known in enumerate(layers[: number - 1], start=1))]
            way = ", ".join(f"{name} {list(shape)}" for name, shape in zip(names, shapes, strict=True))
            given = _in_words(shapes[-1], sides)
            raise ConfigError(
                f"layer {number} ({layer.name}) cannot take {given}: {error}. Shapes up to it: {way}"
            ) from None
    return shapes[1:]


def _in_words(shape: Shape, sides: tuple[str, str]) -> str:
    if len(shape) == 1:
        return f"{shape[0]} features"
    return f"maps of [{shape[0]} channels, {shape[1]} {sides[0]}, {shape[2]} {sides[1]}]"
