"""The registry: from the settings of `config.model` to a network.

A new model is one file here with a function `build(settings, input_shape) -> Backbone`, its line in `_MODULES`, and its
settings in `config.model`. Modules are imported when their model is asked for.
"""

from __future__ import annotations

import fnmatch
import importlib
from typing import Any

import torch
from torch import nn

from auscult.config.base import Settings
from auscult.config.model import MODELS, TIMM_PREFIX, timm_names
from auscult.errors import ConfigError
from auscult.models.classifier import Backbone, Classifier, Head

_MODULES = {
    "mixednet": "auscult.models.mixednet",
    "inception_residual": "auscult.models.inception_residual",
    "sequence_net": "auscult.models.sequence_net",
    "cnn6": "auscult.models.panns",
    "cnn10": "auscult.models.panns",
    "cnn14": "auscult.models.panns",
    "test_cnn": "auscult.models.tiny_cnn",
}


def model_names(pattern: str = "*") -> list[str]:
    """Return the public names that match `pattern`, own models first.

    >>> model_names("mixed*")
    ['mixednet']
    >>> model_names("timm/resnet1?")
    ['timm/resnet18']
    """
    names = [*sorted(MODELS), *(TIMM_PREFIX + name for name in sorted(timm_names()))]
    return fnmatch.filter(names, pattern)


def build_model(settings: Settings, n_targets: int, input_shape: tuple[int, int], *, seed: int = 0) -> Classifier:
    """Build the network that `settings` name, its weights drawn from `seed` alone.

    The global generators of torch are left as they were.

    Args:
        settings: One of `config.model`.
        n_targets: Number of logits.
        input_shape: Mel bands and frames of one spectrogram.
        seed: Of the initial weights; equal settings, shapes and seeds give equal weights.

    Returns:
        The model on the CPU, in training mode.

    Raises:
        ConfigError: The architecture cannot take spectrograms of this shape, with what it would take.
    """
    name: str = getattr(settings, "name")  # noqa: B009 (each model's settings declare their own `name`)
    module = importlib.import_module(_MODULES.get(name, "auscult.models.timm_model"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone: Backbone = module.build(settings, input_shape)
        _check_input(name, backbone, input_shape)
        head_settings: Any = settings
        head = Head(backbone.n_features, n_targets, head_settings.head, head_settings.dropout)
    return Classifier(backbone.module, head, backbone.input_note)


def count_parameters(module: nn.Module) -> int:
    """Return the number of trainable values."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def _check_input(name: str, backbone: Backbone, input_shape: tuple[int, int]) -> None:
    """Pass one silent spectrogram through: a shape that does not fit fails here, by name, not in the first epoch."""
    was_training = backbone.module.training
    backbone.module.eval()
    try:
        with torch.no_grad():
            features = backbone.module(torch.zeros(1, *input_shape))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ConfigError(
            f"model {name!r} cannot take spectrograms of [{input_shape[0]} mel, {input_shape[1]} frames]: {error}; "
            "use more mel bands or longer clips, or another model"
        ) from error
    backbone.module.train(was_training)
    if features.shape != (1, backbone.n_features):
        raise ConfigError(
            f"model {name!r} gives features of shape {tuple(features.shape)} for one spectrogram, "
            f"expected (1, {backbone.n_features}); its builder and its layers disagree"
        )
