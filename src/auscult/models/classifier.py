"""What all models share: a backbone that pools a spectrogram into features, and a head that turns them into logits."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from auscult.config.model import HeadSettings, OverTime
from auscult.errors import ConfigError, unknown_name
from auscult.models.frontends import Frontend
from auscult.models.neighbours import NeighbourHead

EmbeddingLayer = Literal["backbone", "head"]
"""Where features are taken: the pooled backbone, or the first dense layer of the head before its activation."""

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "tanh": nn.Tanh,
}


@dataclass(frozen=True)
class Backbone:
    """What the builder of a model returns.

    Attributes:
        module: Maps spectrograms [batch, mel, frame] to features, [batch, n_features], or, where the head decides over
            time, [batch, step, n_features]. Pictures [batch, channel, height, width] it maps to features [batch,
            n_features] or [batch, height, width, n_features].
        n_features: Width of the features.
        input_note: How the input is padded or resized; empty when it is taken as it is.
        least_shape: The smallest spectrogram that is taken with these settings, mel bands and frames; None where only
            trying would tell.
        frames_per_step: Frames from one step of time to the next, where features keep time.
        is_branched: The features are two halves: for maps of objects, and for maps of boundaries.
        logit_scale: What the logits of maps are multiplied by.
    """

    module: nn.Module
    n_features: int
    input_note: str = ""
    least_shape: tuple[int, int] | None = None
    frames_per_step: float = 1.0
    is_branched: bool = False
    logit_scale: float = 1.0


def as_maps(spectrograms: Tensor) -> Tensor:
    """Turn [batch, mel, frame] into maps of one channel, [batch, 1, mel, frame], the channel innermost in memory.

    Pictures, [batch, channel, height, width], are maps.
    """
    maps = spectrograms if spectrograms.ndim == 4 else spectrograms.unsqueeze(1)
    return maps.contiguous(memory_format=torch.channels_last)


def steps_of_maps(maps: Tensor) -> Tensor:
    """Turn maps [batch, feature, band, step] into features of each step of time, [batch, step, feature].

    Over the bands the mean and the maximum are added (Kong et al. 2020, PANNs): a sound may fill few of them.
    """
    return (maps.mean(dim=2) + maps.amax(dim=2)).transpose(1, 2)


def require_size(name: str, input_shape: tuple[int, int], least: tuple[int, int], reason: str) -> None:
    """Refuse spectrograms that a model's poolings would swallow.

    Raises:
        ConfigError: Naming the model, the reason, what it needs at least and what was found (mel bands, frames).
    """
    if input_shape[0] < least[0] or input_shape[1] < least[1]:
        raise ConfigError(
            f"{name} {reason} and needs at least [{least[0]} mel, {least[1]} frames]; "
            f"found [{input_shape[0]} mel, {input_shape[1]} frames]: use more mel bands, a smaller hop_samples, "
            "longer clips, or another model"
        )


class Head(nn.Module):
    """Dropout and a linear layer; with `hidden_size`, a dense layer, layer norm, activation and dropout before it.

    It gives logits: sigmoid or softmax is the task's (`models.saved.probabilities`), and the losses include it. Of
    features at steps of time it decides at each, and combines the logits of all steps.

    Args:
        n_features: Width of the features.
        n_targets: Number of logits.
        settings: The dense layer, and whether it is normalised (before the activation).
        dropout: On the features.
        over_time: How the logits of steps become one.
    """

    def __init__(
        self,
        n_features: int,
        n_targets: int,
        settings: HeadSettings,
        dropout: float,
        over_time: OverTime | None = None,
    ) -> None:
        super().__init__()
        self.n_features = n_features
        self.over_time: OverTime | None = over_time
        self.dropout = nn.Dropout(dropout)
        self.hidden: nn.Module = nn.Identity()
        self.after_hidden: nn.Module = nn.Identity()
        width = n_features
        if settings.hidden_size is not None:
            width = settings.hidden_size
            self.hidden = nn.Linear(n_features, width)
            norm = [nn.LayerNorm(width)] if settings.layer_norm else []
            activation = _ACTIVATIONS[settings.activation]()
            self.after_hidden = nn.Sequential(*norm, activation, nn.Dropout(settings.dropout))
        self.linear = nn.Linear(width, n_targets)
        if over_time == "attention":
            self.attention = nn.Linear(width, n_targets)

    def embed(self, features: Tensor) -> Tensor:
        """Turn features [..., feature] into what the first dense layer gives, before norm and activation.

        Without `hidden_size` the first dense layer is the last one, and what it gives are the logits.
        """
        dense = self.linear if isinstance(self.hidden, nn.Identity) else self.hidden
        return dense(self.dropout(features))

    def forward(self, features: Tensor) -> Tensor:
        """Turn features [batch, feature] or [batch, step, feature] into logits [batch, target]."""
        hidden = self.after_hidden(self.hidden(self.dropout(features)))
        logits = self.linear(hidden)
        return logits if features.ndim == 2 else self._over_time(logits, hidden)

    def _over_time(self, logits: Tensor, hidden: Tensor) -> Tensor:
        """Combine the logits of steps, [batch, step, target]."""
        if self.over_time == "attention":
            return (self.attention(hidden).softmax(dim=1) * logits).sum(dim=1)
        return _combined(logits, self.over_time)


def _combined(logits: Tensor, over_time: OverTime | None) -> Tensor:
    """Combine the logits of steps, [batch, step, target], without weights."""
    if over_time == "log_mean_exp":
        return logits.logsumexp(dim=1) - math.log(logits.shape[1])
    return logits.amax(dim=1) if over_time == "max" else logits.mean(dim=1)


class _Branches(nn.Module):
    """A linear layer for each half of the features: objects, and boundaries."""

    def __init__(self, n_features: int, n_targets: int) -> None:
        super().__init__()
        self.objects = nn.Linear(n_features // 2, n_targets)
        self.boundaries = nn.Linear(n_features // 2, n_targets)

    def forward(self, features: Tensor) -> Tensor:
        """Turn [..., feature] into [..., 2 x target]."""
        of_objects, of_boundaries = features.chunk(2, dim=-1)
        return torch.cat([self.objects(of_objects), self.boundaries(of_boundaries)], dim=-1)


class EventHead(Head):
    """A head that decides at each step of time, or pixel, on objects and on boundaries of each kind of event or object.

    Args:
        backbone: Gives features at steps of time.
        n_targets: Kinds of events, or of objects.
        settings: As of `Head`.
        dropout: On the features.
        over_time: How the logits of a clip's frames become those of the clip.
        over_bands: Maps are over the bands and frames of a spectrogram; of a frame the highest band counts.

    Raises:
        ConfigError: The model pools its features over the clip, or weighs steps by attention, or a branched one is
            given a dense layer.
    """

    def __init__(
        self,
        backbone: Backbone,
        n_targets: int,
        settings: HeadSettings,
        dropout: float,
        over_time: OverTime | None,
        *,
        over_bands: bool = False,
    ) -> None:
        if over_time is None or over_time == "attention":
            raise ConfigError(
                f"model.over_time: found {over_time}; a model that learns maps combines its frames or pixels by max, "
                "mean or log_mean_exp"
            )
        super().__init__(backbone.n_features, 2 * n_targets, settings, dropout, over_time)
        if backbone.is_branched:
            if settings.hidden_size is not None:
                raise ConfigError("model.head.hidden_size: each branch has a linear layer of its own; leave it out")
            branches: Any = _Branches(backbone.n_features, n_targets)
            self.linear = branches
        self.n_targets = n_targets
        self.over_bands = over_bands
        self.frames_per_step = backbone.frames_per_step
        self.logit_scale = backbone.logit_scale

    def forward(self, features: Tensor) -> Tensor:
        """Turn features [batch, step, feature] into logits [batch, step, 2 x target]: of objects, of boundaries.

        Those of pictures are [batch, height, width, feature], and become [batch, height, width, 2 x target].
        """
        return self.linear(self.after_hidden(self.hidden(self.dropout(features)))) * self.logit_scale

    def at_frames(self, logits: Tensor, n_frames: int) -> Tensor:
        """Turn logits at steps [batch, step, channel] into maps [batch, channel, frame], linear between two steps.

        Those of pictures, [batch, height, width, channel], become [batch, channel, height, width].
        """
        if logits.ndim == 4:
            return logits.movedim(-1, 1)
        n_steps = logits.shape[1]
        if self.frames_per_step == 1 and n_steps == n_frames:
            return logits.transpose(1, 2)
        middles = (torch.arange(n_frames, device=logits.device) + 0.5) / self.frames_per_step - 0.5
        places = middles.clamp(0, n_steps - 1)
        before = places.floor().long()
        behind = (before + 1).clamp_max(n_steps - 1)
        share = (places - before).to(logits.dtype)[:, None]
        return torch.lerp(logits[:, before], logits[:, behind], share).transpose(1, 2)

    def over_clip(self, maps: Tensor) -> Tensor:
        """Turn the logits of maps [batch, channel, ...] into those of clips [batch, target]."""
        objects = maps[:, : self.n_targets]
        if self.over_bands:
            objects = objects.amax(dim=2)
        return _combined(objects.flatten(2).transpose(1, 2), self.over_time)


class Classifier(nn.Module):
    """A backbone and a head, and perhaps a front end; the one kind of model that is trained, stored and explained.

    Args:
        backbone: Maps spectrograms [batch, mel, frame] to features [batch, feature] or [batch, step, feature].
        head: Maps features to logits [batch, target].
        input_note: How the input is fitted to the architecture (padded, resized); empty when it is taken as it is.
        frontend: Maps waveforms [batch, sample] to spectrograms; None: the model's inputs are spectrograms.

    Attributes:
        n_features: Width of the features.
        test_step: A plugin's function (model, inputs) -> logits, by which it decides when it is not in training.
    """

    test_step: Callable[[Callable[[Tensor], Tensor], Tensor], Tensor] | None

    def __init__(self, backbone: nn.Module, head: Head, input_note: str = "", frontend: Frontend | None = None) -> None:
        super().__init__()
        self.head: Head | NeighbourHead
        if frontend is not None:
            self.frontend = frontend
        self.takes_waveforms = frontend is not None
        self.backbone = backbone
        self.head = head
        self.n_features = head.n_features
        self.input_note = input_note
        self.test_step = None

    def forward(
        self, inputs: Tensor, change: Callable[[Tensor], Tensor] | None = None, *, as_maps: bool = False
    ) -> Tensor:
        """Turn inputs into logits [batch, target].

        Args:
            inputs: Normalised spectrograms [batch, mel, frame] or pictures [batch, channel, height, width]; with a
                front end, waveforms [batch, sample] of full scale 1.
            change: Augments the spectrograms.
            as_maps: Of a model that learns maps: return their logits, [batch, 2 x target, frame], over bands [batch,
                2 x target, band, frame], of pictures [batch, 2 x target, height, width].
        """
        if self.test_step is not None and not self.training:
            return self.test_step(self._logits, inputs)
        return self._logits(inputs, change, as_maps=as_maps)

    def _logits(
        self, inputs: Tensor, change: Callable[[Tensor], Tensor] | None = None, *, as_maps: bool = False
    ) -> Tensor:
        spectrograms = self.spectrograms(inputs)
        if change is not None:
            spectrograms = change(spectrograms)
        logits = self.head(self.backbone(spectrograms))
        if not isinstance(self.head, EventHead):
            return logits
        maps = self.head.at_frames(logits, spectrograms.shape[2])
        return maps if as_maps else self.head.over_clip(maps)

    def spectrograms(self, inputs: Tensor) -> Tensor:
        """Return what the backbone sees of the inputs, shape [batch, band, frame]."""
        return self.frontend(inputs) if self.takes_waveforms else inputs

    def embed(self, inputs: Tensor, layer: EmbeddingLayer = "backbone") -> Tensor:
        """Return features instead of logits.

        Args:
            inputs: As `forward` takes them.
            layer: `backbone` for the features, `head` for the first dense layer of the head before its activation (the
                logits themselves when the head has no hidden layer); of several steps of time their mean.

        Returns:
            Shape [batch, feature].

        Raises:
            ConfigError: There is no such layer.
        """
        if layer not in get_args(EmbeddingLayer):
            raise ConfigError(unknown_name("layer of embeddings", layer, get_args(EmbeddingLayer)))
        features = self.backbone(self.spectrograms(inputs))
        found = features if layer == "backbone" else self.head.embed(features)
        return found if found.ndim == 2 else found.flatten(1, -2).mean(dim=1)
