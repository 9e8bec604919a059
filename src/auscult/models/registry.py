"""The registry: from the settings of `config.model` to a network.

A new model is one file here with a function `build(settings, input_shape) -> Backbone`, its line in `_MODULES`, and its
settings in `config.model`. Modules are imported when their model is asked for.
"""

from __future__ import annotations

import fnmatch
import importlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from auscult.config.base import Settings
from auscult.config.experiment import JobSettings
from auscult.config.model import MODELS, TIMM_PREFIX, timm_names
from auscult.errors import ConfigError
from auscult.models.classifier import Backbone, Classifier, Head
from auscult.models.frontends import Frontend, build_frontend

_MODULES = {
    "mixednet": "auscult.models.mixednet",
    "inception_residual": "auscult.models.inception_residual",
    "sequence_net": "auscult.models.sequence_net",
    "cnn6": "auscult.models.panns",
    "cnn10": "auscult.models.panns",
    "cnn14": "auscult.models.panns",
    "layers": "auscult.models.layers",
    "test_cnn": "auscult.models.tiny_cnn",
}


def model_names(pattern: str = "*") -> list[str]:
    """Return the public names that match `pattern`, with or without the `timm/` before them, own models first.

    >>> model_names("mixed*")
    ['mixednet']
    >>> model_names("timm/resnet1?")
    ['timm/resnet18']
    >>> model_names("resnet1?")
    ['timm/resnet18']
    """
    names = [*sorted(MODELS), *(TIMM_PREFIX + name for name in sorted(timm_names()))]
    return [
        name
        for name in names
        if any(fnmatch.fnmatchcase(spelling, pattern) for spelling in (name, name.removeprefix(TIMM_PREFIX)))
    ]


def family_of(name: str) -> str:
    """Return the file that a model is in, without its ending: here, or, for `timm/...`, in timm.

    >>> family_of("cnn14"), family_of("timm/resnet18")
    ('panns', 'resnet')
    """
    if name in _MODULES:
        return _MODULES[name].rsplit(".", 1)[-1]
    import timm  # noqa: PLC0415 (seconds)

    return timm.model_entrypoint(name.removeprefix(TIMM_PREFIX)).__module__.rsplit(".", 1)[-1]


def build_model_of(job: JobSettings, n_targets: int, *, seed: int = 0) -> Classifier:
    """Build the network of a job, with its front end where it has one.

    Raises:
        ConfigError: As `build_model`.
    """
    if job.model.frontend is None:
        shape = (job.spectrogram.n_mels, job.spectrogram.n_frames(job.clips.n_samples))
        return build_model(job.model, n_targets, shape, seed=seed)
    frontend = build_frontend(job.model.frontend, job.spectrogram, job.clips)
    return build_model(job.model, n_targets, frontend.shape, seed=seed, frontend=frontend)


def build_model(
    settings: Settings,
    n_targets: int,
    input_shape: tuple[int, int],
    *,
    seed: int = 0,
    frontend: Frontend | None = None,
) -> Classifier:
    """Build the network that `settings` name, its weights drawn from `seed` alone.

    The global generators of torch are left as they were.

    Args:
        settings: One of `config.model`.
        n_targets: Number of logits.
        input_shape: Mel bands and frames of one spectrogram.
        seed: Of the initial weights; equal settings, shapes and seeds give equal weights.
        frontend: What makes the spectrograms inside the model; None: it is given them.

    Returns:
        The model on the CPU, in training mode.

    Raises:
        ConfigError: The architecture cannot take spectrograms of this shape, with what it would take.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = _build_backbone(settings, input_shape)
        head = _build_head(settings, backbone.n_features, n_targets)
    return Classifier(backbone.module, head, backbone.input_note, frontend)


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model for one size of input, without its weights.

    Attributes:
        n_parameters: Trainable values, those of the head among them.
        least_shape: The smallest spectrogram that it takes with these settings, mel bands and frames; None where only
            trying would tell (timm).
        input_note: How the input is padded or resized; empty when it is taken as it is.
    """

    n_parameters: int
    least_shape: tuple[int, int] | None
    input_note: str


def model_facts(settings: Settings, n_targets: int, input_shape: tuple[int, int]) -> ModelFacts:
    """Return the size of a model and what it takes: shapes alone are computed, no memory is filled.

    Raises:
        ConfigError: As `build_model`.
    """
    with torch.device("meta"):
        backbone = _build_backbone(settings, input_shape)
        head = _build_head(settings, backbone.n_features, n_targets)
    return ModelFacts(
        n_parameters=count_parameters(backbone.module) + count_parameters(head),
        least_shape=backbone.least_shape,
        input_note=backbone.input_note,
    )


def count_parameters(module: nn.Module) -> int:
    """Return the number of trainable values."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def _name_of(settings: Settings) -> str:
    return getattr(settings, "name")  # noqa: B009 (each model's settings declare their own `name`)


def _build_backbone(settings: Settings, input_shape: tuple[int, int]) -> Backbone:
    name = _name_of(settings)
    module = importlib.import_module(_MODULES.get(name, "auscult.models.timm_model"))
    backbone: Backbone = module.build(settings, input_shape)
    _check_input(name, backbone, input_shape)
    return backbone


def _build_head(settings: Any, n_features: int, n_targets: int) -> Head:
    return Head(n_features, n_targets, settings.head, settings.dropout)


def _check_input(name: str, backbone: Backbone, input_shape: tuple[int, int]) -> None:
    """Pass one silent spectrogram through: a shape that does not fit fails here, by name, not in the first epoch."""
    was_training = backbone.module.training
    backbone.module.eval()
    device = next((parameter.device for parameter in backbone.module.parameters()), None)
    try:
        with torch.no_grad():
            features = backbone.module(torch.zeros(1, *input_shape, device=device))
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
