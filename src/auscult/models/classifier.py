"""What all models share: a backbone that pools a spectrogram into features, and a head that turns them into logits."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

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
            time, [batch, step, n_features].
        n_features: Width of the features.
        input_note: How the input is padded or resized; empty when it is taken as it is.
        least_shape: The smallest spectrogram that is taken with these settings, mel bands and frames; None where only
            trying would tell.
    """

    module: nn.Module
    n_features: int
    input_note: str = ""
    least_shape: tuple[int, int] | None = None


def as_maps(spectrograms: Tensor) -> Tensor:
    """Turn [batch, mel, frame] into maps of one channel, [batch, 1, mel, frame], the channel innermost in memory."""
    return spectrograms.unsqueeze(1).contiguous(memory_format=torch.channels_last)


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
        self.over_time = over_time
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
        if self.over_time == "log_mean_exp":
            return logits.logsumexp(dim=1) - math.log(logits.shape[1])
        return logits.amax(dim=1) if self.over_time == "max" else logits.mean(dim=1)


class Classifier(nn.Module):
    """A backbone and a head, and perhaps a front end; the one kind of model that is trained, stored and explained.

    Args:
        backbone: Maps spectrograms [batch, mel, frame] to features [batch, feature] or [batch, step, feature].
        head: Maps features to logits [batch, target].
        input_note: How the input is fitted to the architecture (padded, resized); empty when it is taken as it is.
        frontend: Maps waveforms [batch, sample] to spectrograms; None: the model's inputs are spectrograms.

    Attributes:
        n_features: Width of the features.
    """

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

    def forward(self, inputs: Tensor, change: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Turn inputs into logits [batch, target].

        Args:
            inputs: Normalised spectrograms [batch, mel, frame]; with a front end, waveforms [batch, sample] of full
                scale 1.
            change: Augments the spectrograms.
        """
        spectrograms = self.spectrograms(inputs)
        return self.head(self.backbone(spectrograms if change is None else change(spectrograms)))

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
        return found if found.ndim == 2 else found.mean(dim=1)
