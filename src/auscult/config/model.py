"""Which models an experiment may name, and their settings.

A new one is one class here, registered with the function in `models/` that builds it.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, Union

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from auscult.config.base import Settings
from auscult.config.clips import Trim
from auscult.config.encoder import encoder_names, load_encoder
from auscult.config.layers import Layers
from auscult.config.plugins import PluginSettings
from auscult.config.registry import Registry
from auscult.config.spectrogram import FrontendSettings, PublishedFrontend
from auscult.errors import nearest

TIMM_PREFIX = "timm/"

OverTime = Literal["mean", "max", "log_mean_exp", "attention"]
"""How decisions at each step of time become one; `attention` weighs them by what it learns."""


class HeadSettings(Settings):
    """What turns pooled features into logits: by default one linear layer, with `hidden_size` two."""

    hidden_size: int | None = Field(default=None, ge=1, description="width of a dense layer before the last one")
    activation: Literal["relu", "gelu", "silu", "elu", "tanh"] = Field(default="relu", description="hidden_size only")
    layer_norm: bool = Field(default=False, description="hidden_size only: normalise before the activation")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="hidden_size only: before the last layer")

    @model_validator(mode="after")
    def _check_hidden(self) -> Self:
        if self.hidden_size is None and (self.layer_norm or self.dropout or self.activation != "relu"):
            raise ValueError("activation, layer_norm and dropout of the head need its hidden_size")
        return self


class BaseModelSettings(Settings):
    """What every model has, beside its name."""

    if TYPE_CHECKING:
        name: Any  # each model declares its own

    decides_over_time: ClassVar[bool] = False
    """Whether its maps keep the axis of time, so that `over_time` can be said of it."""

    takes_pictures: ClassVar[bool] = False
    """Whether it takes pictures [channel, height, width] too."""

    dropout: float = Field(default=0.0, ge=0, lt=1, description="on the pooled features")
    over_time: OverTime | None = Field(
        default=None,
        description="the head decides at each step of time, and the decisions are combined so; default: it decides "
        "once, on features that are pooled over the clip",
    )
    head: HeadSettings = HeadSettings()
    frontend: FrontendSettings | None = Field(
        default=None, description="the model takes waveforms and makes its spectrograms itself"
    )

    @model_validator(mode="after")
    def _check_over_time(self) -> Self:
        if self.over_time is not None and not self.decides_over_time:
            able = [name for name, settings in MODELS.items() if settings.decides_over_time]
            raise ValueError(
                f"over_time: {self.name} pools its features itself; those that can decide over time: "
                f"{', '.join(able)}, {TIMM_PREFIX}<architecture>"
            )
        return self


@cache
def timm_names() -> frozenset[str]:
    """Architectures of the pinned timm, from a generated list: importing timm would cost seconds."""
    text = resources.files("auscult.config").joinpath("timm_models.txt").read_text(encoding="utf-8")
    return frozenset(text.split())


class TimmSettings(BaseModelSettings):
    """Any architecture of timm, fed with one channel, or the channels of pictures."""

    decides_over_time: ClassVar[bool] = True
    takes_pictures: ClassVar[bool] = True

    name: str = Field(pattern=rf"^{TIMM_PREFIX}")
    stage: int | None = Field(
        default=None, ge=0, description="over_time only: the stage that gives the maps, from 0 on; default: the last"
    )

    @model_validator(mode="after")
    def _check_stage(self) -> Self:
        if self.stage is not None and self.over_time is None:
            raise ValueError("stage says which maps are used by over_time, which is not given")
        return self


_LAYERS_TAG = "layer list"
"""Not `layers`: that is also a key of it, which errors must go on to name."""


class _ModelRegistry(Registry[BaseModelSettings]):
    """Our own models; as a type, also any architecture of timm."""

    def union(self) -> Any:
        own = [Annotated[settings, Tag(_tag_of(name))] for name, settings in self.items()]
        kinds = (*own, Annotated[TimmSettings, Tag("timm")])
        return Annotated[Union[kinds], Discriminator(_tag), BeforeValidator(self._check_name)]  # noqa: UP007

    @property
    def tags(self) -> frozenset[str]:
        """What tells the kinds apart in the places that errors state; nobody writes these as keys."""
        return frozenset({"timm", *map(_tag_of, self)})

    def _check_name(self, value: Any) -> Any:
        name = value.get("name") if isinstance(value, dict) else getattr(value, "name", None)
        if not isinstance(name, str):
            allowed = ", ".join([*self, f"{TIMM_PREFIX}<architecture>"])
            raise PydanticCustomError("named", "a model needs a `name`; allowed: {allowed}", {"allowed": allowed})
        if name not in self and name.removeprefix(TIMM_PREFIX) not in timm_names():
            # The nearest match is sought among all; the list shown is short: timm alone has over a thousand.
            names = self.names()
            close = nearest(name, [*names, *(TIMM_PREFIX + known for known in timm_names())])
            hint = f", did you mean {close!r}?" if close else ";"
            message = (
                f"unknown model {name!r}{hint} allowed: {', '.join(names)}, "
                f"{TIMM_PREFIX}<architecture> ({len(timm_names())} architectures, "
                "in src/auscult/config/timm_models.txt)"
            )
            raise PydanticCustomError("named", "{message}", {"message": message})
        return value


def _tag(value: Any) -> str:
    return _tag_of(value["name"] if isinstance(value, dict) else value.name)


def _tag_of(name: str) -> str:
    if name == "layers":
        return _LAYERS_TAG
    return "timm" if name.startswith(TIMM_PREFIX) else name


MODELS = _ModelRegistry("model")
"""Our own models. Implementations: `(settings, input_shape) -> Backbone`."""

ModelSettings = Annotated[BaseModelSettings, MODELS]


@MODELS.takes_plugins("model")
class PluginModelSettings(PluginSettings, BaseModelSettings, extra="allow"):
    """A model of a file in `plugins/`; its features are pooled over the clip."""

    takes_pictures: ClassVar[bool] = True

    name: str


@MODELS.register("auscult.models.mixednet:build")
class MixedNetSettings(BaseModelSettings):
    """MixedNet: five stages of mixed depth-wise convolutions (MixConv, Tan & Le 2019)."""

    decides_over_time: ClassVar[bool] = True

    name: Literal["mixednet"]
    channels: tuple[int, ...] = Field(default=(8, 16, 32, 64, 128), min_length=1)
    kernel_sizes: tuple[int, ...] = Field(default=(3, 5, 7), min_length=1)
    dropout: float = Field(default=0.1, ge=0, lt=1, description="on the pooled features")

    @model_validator(mode="after")
    def _check_groups(self) -> Self:
        even = [size for size in self.kernel_sizes if size < 1 or size % 2 == 0]
        if even:
            raise ValueError(f"kernel_sizes {even} are not odd: a kernel needs a middle")
        if min(self.channels) < len(self.kernel_sizes):
            raise ValueError(
                f"channels {min(self.channels)} are fewer than the {len(self.kernel_sizes)} kernel sizes: "
                "each size takes a group of channels"
            )
        return self


@MODELS.register("auscult.models.inception_residual:build")
class InceptionResidualSettings(BaseModelSettings):
    """An Inception stem (Szegedy et al. 2015), then stages of inverted residual blocks (Sandler et al. 2018)."""

    decides_over_time: ClassVar[bool] = True

    name: Literal["inception_residual"]
    stem_channels: int = Field(default=16, ge=1, description="of each of the three towers")
    channels: tuple[int, ...] = Field(default=(32, 64, 128, 256, 512), min_length=1)
    kernel_size: int = Field(default=6, ge=1, le=15, description="of the depth-wise convolutions")
    expansion: int = Field(default=2, ge=1, le=8, description="how many times wider a block is inside")
    stage_dropout: float = Field(default=0.1, ge=0, lt=1, description="of whole maps, after each stage")


@MODELS.register("auscult.models.sequence_net:build")
class SequenceNetSettings(BaseModelSettings):
    """The clip cut into pieces, the same CNN on each, and bidirectional LSTMs over what it saw."""

    name: Literal["sequence_net"]
    n_sequences: int = Field(default=9, ge=1, le=256, description="pieces of a clip, along time")
    channels: tuple[int, ...] = Field(default=(16, 32, 64, 128), min_length=1)
    lstm_size: int = Field(default=128, ge=1, description="of each direction")
    lstm_layers: int = Field(default=2, ge=1, le=8)
    dropout: float = Field(default=0.1, ge=0, lt=1, description="on the pooled features")
    head: HeadSettings = HeadSettings(hidden_size=64)


@MODELS.register("auscult.models.panns:build")
class Cnn6Settings(BaseModelSettings):
    """Cnn6 of PANNs (Kong et al. 2020)."""

    decides_over_time: ClassVar[bool] = True

    name: Literal["cnn6"]
    block_dropout: float = Field(default=0.2, ge=0, lt=1, description="after each block")
    dropout: float = Field(default=0.5, ge=0, lt=1, description="on the pooled features")
    head: HeadSettings = HeadSettings(hidden_size=512, dropout=0.5)


@MODELS.register("auscult.models.panns:build")
class Cnn10Settings(BaseModelSettings):
    """Cnn10 of PANNs (Kong et al. 2020)."""

    decides_over_time: ClassVar[bool] = True

    name: Literal["cnn10"]
    block_dropout: float = Field(default=0.2, ge=0, lt=1, description="after each block")
    dropout: float = Field(default=0.5, ge=0, lt=1, description="on the pooled features")
    head: HeadSettings = HeadSettings(hidden_size=512, dropout=0.5)


@MODELS.register("auscult.models.panns:build")
class Cnn14Settings(BaseModelSettings):
    """Cnn14 of PANNs (Kong et al. 2020)."""

    decides_over_time: ClassVar[bool] = True

    name: Literal["cnn14"]
    block_dropout: float = Field(default=0.2, ge=0, lt=1, description="after each block")
    dropout: float = Field(default=0.5, ge=0, lt=1, description="on the pooled features")
    head: HeadSettings = HeadSettings(hidden_size=2048, dropout=0.5)


@MODELS.register("auscult.models.ast:build")
class AstSettings(BaseModelSettings):
    """The Audio Spectrogram Transformer (Gong, Chung and Glass 2021): a distilled DeiT on overlapping patches."""

    name: Literal["ast"]
    width: int = Field(default=768, ge=1, description="features of a token; the heads share them")
    depth: int = Field(default=12, ge=1, description="blocks")
    heads: int = Field(default=12, ge=1)
    patch_size: int = Field(default=16, ge=1, description="mel bands and frames of a patch")
    stride: int = Field(default=10, ge=1, description="mel bands and frames from one patch to the next")

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not divisible by {self.heads} heads")
        return self


@MODELS.register("auscult.models.encoders:build")
class PublishedSettings(BaseModelSettings):
    """A published pretrained encoder with its own front end; its weights: `train.pretrained.published`."""

    name: Literal["published"]
    encoder: str = Field(description="one of src/auscult/config/encoders")
    pad: bool = Field(default=True, description="shorter clips are padded to the encoder's own number of frames")

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, value: Any) -> Any:
        """Take front end, head and dropout from the encoder, where the experiment does not say them."""
        if not isinstance(value, dict) or value.get("encoder") not in encoder_names():
            return value
        encoder = load_encoder(value["encoder"])
        frontend = {"name": "published", "encoder": value["encoder"], "pad": value.get("pad", True)}
        return {"dropout": encoder.dropout, "head": encoder.head, "frontend": frontend, **value}

    @model_validator(mode="after")
    def _check_frontend(self) -> Self:
        own = PublishedFrontend(name="published", encoder=self.encoder, pad=self.pad)
        if self.frontend != own:
            raise ValueError(f"{self.encoder} has a front end of its own: leave `frontend` out, or take another model")
        return self


@MODELS.register("auscult.models.layers:build")
class LayersSettings(BaseModelSettings):
    """A network declared layer by layer; maps that are left at its end are averaged, and the head follows."""

    takes_pictures: ClassVar[bool] = True

    name: Literal["layers"]
    layers: Layers = Field(
        min_length=1, description="from the spectrogram [1, mel, frame] on, or the picture [channel, height, width]"
    )


class HalvingSettings(BaseModelSettings):
    """Of networks that halve the maps level by level, and enlarge them again."""

    decides_over_time: ClassVar[bool] = True
    takes_pictures: ClassVar[bool] = True

    channels: int = Field(default=16, ge=1, description="of the first level; each further level has twice as many")
    depth: int = Field(default=4, ge=1, le=8, description="how often the maps are halved")
    block_dropout: float = Field(default=0.0, ge=0, lt=1, description="of whole maps, in each block")
    trim: Trim = Field(default="padding", description="how sizes are fitted that cannot be halved so often")


@MODELS.register("auscult.models.unet:build")
class UNetSettings(HalvingSettings):
    """U-Net (Ronneberger et al. 2015): down by halves and up again, each level joined with its own size on the way."""

    name: Literal["unet"]


@MODELS.register("auscult.models.dcan:build")
class DcanSettings(HalvingSettings):
    """DCAN (Chen et al. 2016): one way down, and from all its levels two branches up, of objects and of contours."""

    name: Literal["dcan"]
    final_activation: Literal["sigmoid", "tanh"] = Field(
        default="sigmoid", description="of maps; tanh: from -1 to 1, read as a probability from 0 to 1"
    )


@MODELS.register("auscult.models.crnn:build")
class CrnnSettings(BaseModelSettings):
    """Convolutions that pool over frequency, then a recurrent network over time (Cakir et al. 2017)."""

    decides_over_time: ClassVar[bool] = True

    name: Literal["crnn"]
    channels: tuple[int, ...] = Field(default=(32, 64, 64), min_length=1, description="of each block")
    time_pool: int = Field(default=1, ge=1, le=16, description="frames that the first block joins to one step")
    gru_size: int = Field(default=64, ge=1, description="of each direction")
    gru_layers: int = Field(default=1, ge=1, le=4)
    block_dropout: float = Field(default=0.0, ge=0, lt=1, description="of whole maps, after each block")


@MODELS.register("auscult.models.tiny_cnn:build")
class TestCnnSettings(BaseModelSettings):
    """A tiny network for fast tests."""

    __test__ = False
    decides_over_time: ClassVar[bool] = True
    takes_pictures: ClassVar[bool] = True

    name: Literal["test_cnn"]
