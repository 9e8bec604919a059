"""Read and check a list of layers as a whole: every fault names the layer by its number and name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from auscult.config.layers import LAYERS, Layer, LayerSettings, Shape
from auscult.errors import ConfigError, nearest


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


Layers = Annotated[tuple[Layer, ...], BeforeValidator(_read_layers)]
"""A network as it is declared, from the spectrogram on."""


def layer_shapes(layers: Sequence[LayerSettings], input_shape: tuple[int, int]) -> list[Shape]:
    """Return the shape after each layer, of one clip.

    Args:
        layers: From the spectrogram on.
        input_shape: Mel bands and frames.

    Raises:
        ConfigError: A layer cannot take what comes to it: its number, its name, the shapes up to it, how to mend it.
    """
    shapes: list[Shape] = [(1, *input_shape)]
    for number, layer in enumerate(layers, start=1):
        try:
            shapes.append(layer.shape_after(shapes[-1]))
        except ValueError as error:
            names = ["input", *(f"{index} {known.name}" for index, known in enumerate(layers[: number - 1], start=1))]
            way = ", ".join(f"{name} {list(shape)}" for name, shape in zip(names, shapes, strict=True))
            raise ConfigError(
                f"layer {number} ({layer.name}) cannot take {_in_words(shapes[-1])}: {error}. Shapes up to it: {way}"
            ) from None
    return shapes[1:]


def _in_words(shape: Shape) -> str:
    if len(shape) == 1:
        return f"{shape[0]} features"
    return f"maps of [{shape[0]} channels, {shape[1]} mel, {shape[2]} frames]"
