"""Any architecture of timm as a backbone: any spectrogram or picture, its classifier replaced by our head.

Convolutional architectures take the spectrogram as it is. Those that are built for one image size (transformers,
mostly) are built for this spectrogram's size where timm supports it, padded at the end of both axes with zeros (the
training mean) up to the next size that the architecture can divide. Where no such size is found, the spectrogram is
resized (bilinear) to the architecture's own size. The few that work with three channels alone get the spectrogram three
times. Pictures have channels of their own, and are fitted likewise. `input_note` says which; it is logged and stored
with the model. Encoders that pool nothing are averaged over their tokens or maps. Where the head decides over time, the
maps of one of the architecture's stages are its features.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from auscult.config.layers import maps_shape
from auscult.config.model import TIMM_PREFIX, TimmSettings
from auscult.errors import ConfigError
from auscult.models.classifier import Backbone, steps_of_maps

_MULTIPLES = (32, 14, 64, 48)
"""What architectures divide their input by: strides of hierarchical ones, patches of plain ones (14, 16, 32)."""

MISFITS = (RuntimeError, AssertionError, ValueError, TypeError, NotImplementedError, IndexError)
"""What timm raises where a size or an argument does not fit an architecture."""


@dataclass(frozen=True)
class _Fit:
    """One way to bring a spectrogram into an architecture."""

    size: tuple[int, int]
    is_resized: bool
    tells_size: bool
    n_channels: int = 1
    stage: int | None = None

    @property
    def whole(self) -> dict[str, Any]:
        """What timm is told, to build all but the classifier."""
        size = {"img_size": self.size} if self.tells_size else {}
        return {"in_chans": self.n_channels, "num_classes": 0, **size}

    @property
    def arguments(self) -> dict[str, Any]:
        if self.stage is None:
            return self.whole
        return {**self.whole, "features_only": True, "out_indices": (self.stage,)}

    def note(self, given: tuple[int, ...]) -> str:
        """Say how inputs of maps `given`, [channel, height, width], are brought in."""
        notes: list[str] = []
        if self.size != given[1:]:
            way = "resized (bilinear)" if self.is_resized else "padded with zeros"
            notes.append(f"{way} from [{given[1]}, {given[2]}] to [{self.size[0]}, {self.size[1]}]")
        if self.n_channels > given[0]:
            notes.append(f"given {self.n_channels} times, as {self.n_channels} channels")
        return ", ".join(notes)


class TimmBackbone(nn.Module):
    """A timm architecture without its classifier.

    Args:
        name: As timm has it.
        model: Maps [batch, channel, height, width] to pooled features, or to a list of the maps of one stage.
        fit: How a spectrogram is brought into it.

    Attributes:
        name: As given.
        arguments: What timm was told, to build the same again.
        whole: The same, to build the architecture to its end where the model stops at a stage.
    """

    def __init__(self, name: str, model: nn.Module, fit: _Fit) -> None:
        super().__init__()
        self.name = name
        self.arguments = fit.arguments
        self.whole = fit.whole
        self.model = model
        self.size = fit.size
        self.is_resized = fit.is_resized
        self.n_channels = fit.n_channels
        self.keeps_time = fit.stage is not None

    def forward(self, spectrograms: Tensor) -> Tensor:
        """Turn [batch, mel, frame], or [batch, channel, height, width], into [batch, (step,) feature]."""
        maps = spectrograms if spectrograms.ndim == 4 else spectrograms.unsqueeze(1)
        if maps.shape[2:] != self.size:
            if self.is_resized:
                maps = functional.interpolate(maps, self.size, mode="bilinear", align_corners=False)
            else:
                maps = functional.pad(maps, (0, self.size[1] - maps.shape[3], 0, self.size[0] - maps.shape[2]))
        if self.n_channels > maps.shape[1]:
            maps = maps.expand(-1, self.n_channels, -1, -1)
        found = self.model(maps.contiguous(memory_format=torch.channels_last))
        if not self.keeps_time:
            return _pool(found)
        steps = steps_of_maps(_channels_first(found[0], self.model))
        # Steps of nothing but padding are no sound to decide on.
        share = 1.0 if self.is_resized else spectrograms.shape[2] / self.size[1]
        return steps[:, : math.ceil(share * steps.shape[1])]


def build(settings: TimmSettings, input_shape: tuple[int, ...]) -> Backbone:
    """Build the backbone.

    Args:
        settings: Its name, and the stage of its maps.
        input_shape: Mel bands and frames; of pictures channels, height and width.

    Raises:
        ConfigError: No way was found to bring such spectrograms into the architecture.
    """
    name = settings.name.removeprefix(TIMM_PREFIX)
    stage = None if settings.over_time is None else -1 if settings.stage is None else settings.stage
    given = maps_shape(input_shape)
    candidates = [replace(fit, stage=stage) for fit in _candidates(name, given)]
    for fit, model, n_features in _working(name, candidates):
        return Backbone(
            TimmBackbone(name, model, fit),
            n_features,
            fit.note(given),
            frames_per_step=_frames_per_step(model, fit, given[2]),
        )
    if stage is not None:
        raise ConfigError(
            f"model {settings.name!r}: over_time: the architecture gives no maps of {_stage_named(settings.stage)} for "
            f"[{given[1]} mel, {given[2]} frames]; choose a smaller `stage`, or another architecture"
        )
    raise ConfigError(
        f"model {settings.name!r} takes no input of {list(input_shape)}, "
        "neither as it is nor padded nor resized; choose another architecture"
    )


def pretrained_standard(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and deviation of each colour that an architecture's pretrained weights presuppose.

    Args:
        name: `timm/<architecture>`.

    Returns:
        Of brightness from 0 to 1.

    Raises:
        ConfigError: timm knows no pretrained weights of it.
    """
    config = timm.get_pretrained_cfg(name.removeprefix(TIMM_PREFIX))
    if config is None:
        raise ConfigError(
            f"train.normalise: timm knows no pretrained weights of {name}; give {{mean: [...], std: [...]}}, or leave "
            "normalise out"
        )
    return tuple(config.mean), tuple(config.std)


def _frames_per_step(model: nn.Module, fit: _Fit, n_frames: int) -> float:
    """Return how many frames of the spectrogram lie between two steps of the maps; 1 where there are none."""
    if fit.stage is None:
        return 1.0
    info: Any = model.feature_info
    share = n_frames / fit.size[1] if fit.is_resized else 1.0
    return float(info.reduction()[0]) * share


def _working(name: str, candidates: list[_Fit]) -> Iterator[tuple[_Fit, nn.Module, int]]:
    """Yield what works, in order: the fit, the model on the default device, its number of pooled features."""
    device = torch.get_default_device().type
    for fit in candidates:
        # Tried without memory or arithmetic (meta device) first: most fits of a large architecture fail.
        tried = _try(name, fit, "meta")
        if tried is not None and device != "meta":
            tried = _try(name, fit, device)
        if tried is not None:
            yield fit, *tried
    for fit in candidates:
        # A few architectures cannot be tried that way.
        tried = _try(name, fit, "cpu")
        if tried is not None:
            yield fit, *tried


def _stage_named(stage: int | None) -> str:
    return "its last stage" if stage is None else f"a stage {stage}"


def _channels_first(maps: Tensor, model: nn.Module) -> Tensor:
    """Return maps [batch, feature, band, step]; some architectures give [batch, band, step, feature]."""
    layout: Any = getattr(model, "output_fmt", None)
    return maps.permute(0, 3, 1, 2) if getattr(layout, "name", "") == "NHWC" else maps


def _pool(given: Tensor) -> Tensor:
    """Return features [batch, feature]; tokens [batch, token, feature] and maps [batch, feature, ...] are averaged."""
    if given.ndim == 3:
        return given.mean(dim=1)
    return given.mean(dim=(2, 3)) if given.ndim == 4 else given


def _candidates(name: str, given: tuple[int, ...]) -> Iterator[_Fit]:
    """Yield the ways to bring maps `given`, [channel, height, width], into an architecture, the best first."""
    n_channels, height, width = given
    for fit in _candidates_of_size(name, (height, width)):
        if fit.n_channels > 1:
            # Three times the same: of one channel alone.
            yield from [fit] if n_channels == 1 else []
        else:
            yield replace(fit, n_channels=n_channels)


def _candidates_of_size(name: str, input_shape: tuple[int, int]) -> Iterator[_Fit]:
    config = timm.get_pretrained_cfg(name)
    is_fixed = config is not None and bool(config.fixed_input_size)
    own_size = tuple(config.input_size[1:]) if config is not None else (224, 224)
    as_is = _Fit(input_shape, is_resized=False, tells_size=False)
    if not is_fixed:
        yield as_is
    height, width = input_shape
    padded = [(-(-height // step) * step, -(-width // step) * step) for step in _MULTIPLES]
    for size in padded:
        yield _Fit(size, is_resized=False, tells_size=True)
    if is_fixed:
        yield as_is
    yield from (_Fit(size, is_resized=False, tells_size=False) for size in padded)
    resized = _Fit((own_size[0], own_size[1]), is_resized=True, tells_size=False)
    yield resized
    for fit in (as_is, _Fit(padded[0], is_resized=False, tells_size=False), resized):
        yield replace(fit, n_channels=3)


def _try(name: str, fit: _Fit, device: str) -> tuple[nn.Module, int] | None:
    """Return the model, in training mode, and its number of pooled features, or None where `fit` does not fit."""
    try:
        with torch.device(device), torch.no_grad(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*in_chans=1 may not work")  # then the forward pass fails
            model = timm.create_model(name, pretrained=False, **fit.arguments)
            features = model.eval()(torch.zeros(1, fit.n_channels, *fit.size))
            if fit.stage is not None:
                features = steps_of_maps(_channels_first(features[0], model)).mean(dim=1)
    except MISFITS:
        return None
    patch_embed: Any = getattr(model, "patch_embed", None)
    patch = getattr(patch_embed, "patch_size", None)
    if isinstance(patch, tuple) and (fit.size[0] % patch[0] or fit.size[1] % patch[1]):
        return None  # the architecture would cut off the last frames in silence
    if not isinstance(features, Tensor) or features.ndim not in {2, 3, 4}:
        return None
    return model.train(), int(_pool(features).shape[1])
