"""Which models an experiment may name, and their settings. A new model is one class here and one file in `models/`."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from auscult.config.base import Settings
from auscult.errors import unknown_name

TIMM_PREFIX = "timm/"


class MixedNetSettings(Settings):
    """MixedNet: five stages of mixed depth-wise convolutions (MixConv, Tan & Le 2019)."""

    name: Literal["mixednet"]
    channels: tuple[int, ...] = Field(default=(8, 16, 32, 64, 128), min_length=1)
    kernel_sizes: tuple[int, ...] = Field(default=(3, 5, 7), min_length=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)


class TestCnnSettings(Settings):
    """A tiny network for fast tests."""

    __test__ = False
    name: Literal["test_cnn"]


def _check_timm_name(name: Any) -> Any:
    if isinstance(name, str) and name.removeprefix(TIMM_PREFIX) not in timm_names():
        known = [TIMM_PREFIX + known_name for known_name in timm_names()]
        raise PydanticCustomError("unknown_model", "{message}", {"message": unknown_name("model", name, known)})
    return name


class TimmSettings(Settings):
    """Any architecture of timm, fed with one channel."""

    name: Annotated[str, BeforeValidator(_check_timm_name)]
    dropout: float = Field(default=0.0, ge=0, lt=1)


MODELS: dict[str, type[Settings]] = {
    "mixednet": MixedNetSettings,
    "test_cnn": TestCnnSettings,
}
"""The registry line of each own model: its public name and its settings."""


@cache
def timm_names() -> frozenset[str]:
    """Architectures of the pinned timm, from a generated list: importing timm would cost seconds."""
    text = resources.files("auscult.config").joinpath("timm_models.txt").read_text(encoding="utf-8")
    return frozenset(text.split())


def _tag(value: Any) -> str:
    name = value.get("name") if isinstance(value, dict) else getattr(value, "name", None)
    if not isinstance(name, str):
        raise PydanticCustomError("model_without_name", "a model needs a name; allowed: {allowed}", {"allowed": _allowed()})
    if name.startswith(TIMM_PREFIX):
        return "timm"
    if name not in MODELS:
        message = unknown_name("model", name, [*MODELS, *(TIMM_PREFIX + known for known in timm_names())])
        raise PydanticCustomError("unknown_model", "{message}", {"message": message})
    return name


def _allowed() -> str:
    return ", ".join([*MODELS, "timm/<architecture>"])


ModelSettings = Annotated[
    Annotated[MixedNetSettings, Tag("mixednet")]
    | Annotated[TestCnnSettings, Tag("test_cnn")]
    | Annotated[TimmSettings, Tag("timm")],
    Discriminator(_tag),
]
