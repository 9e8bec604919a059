"""From the settings of `config.model` to a network, and all models at a glance.

A new model is its settings in `config.model`, registered with a function `build(settings, input_shape) -> Backbone` in
a file here, which is imported when its model is asked for.
"""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from auscult.config.encoder import encoder_names
from auscult.config.experiment import JobSettings
from auscult.config.model import (
    MODELS,
    TIMM_PREFIX,
    BaseModelSettings,
    PluginModelSettings,
    TimmSettings,
    timm_names,
)
from auscult.errors import ConfigError
from auscult.models.classifier import Backbone, Classifier, EventHead, Head
from auscult.models.frontends import Frontend, build_frontend

INPUT_SHAPE = (128, 311)
"""Mel bands and frames of 10 s at 8 kHz with the shipped settings: what counts are stated for."""

_OPEN_MODELS = {
    "layers": "what the experiment declares, layer by layer",
    "published": f"one of {', '.join(encoder_names())}, each with its own front end",
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
    if name in MODELS:
        return MODELS.location(name).partition(":")[0].rsplit(".", 1)[-1]
    import timm  # noqa: PLC0415 (seconds)

    return timm.model_entrypoint(name.removeprefix(TIMM_PREFIX)).__module__.rsplit(".", 1)[-1]


def stored_shape(job: JobSettings) -> tuple[int, ...]:
    """Return the shape of what a job's feature stores hold of a clip: [mel, frame], or [channel, height, width]."""
    if job.clips.is_image:
        return job.clips.picture_shape
    return job.spectrogram.n_mels, job.spectrogram.n_frames(job.clips.n_samples)


def shape_text(shape: Sequence[int]) -> str:
    """Return the shape of a spectrogram or picture in words.

    >>> shape_text((128, 311)), shape_text((3, 224, 320))
    ('[128 mel, 311 frames]', '[3 channels, 224 x 320 pixels]')
    """
    if len(shape) == 2:
        return f"[{shape[0]} mel, {shape[1]} frames]"
    if len(shape) == 3:
        return f"[{shape[0]} channels, {shape[1]} x {shape[2]} pixels]"
    return str(list(shape))


def build_model_of(
    job: JobSettings, n_targets: int, *, seed: int = 0, learns_maps: bool = False, over_bands: bool = False
) -> Classifier:
    """Build the network of a job, with its front end where it has one; arguments as of `build_model`.

    Raises:
        ConfigError: As `build_model`.
    """
    frontend, shape = None, stored_shape(job)
    if job.model.frontend is not None:
        frontend = build_frontend(job.model.frontend, job.spectrogram, job.clips)
        shape = frontend.shape
    module = build_model(
        job.model,
        n_targets,
        shape,
        seed=seed,
        frontend=frontend,
        learns_maps=learns_maps,
        over_bands=over_bands,
    )
    if job.train.test_step is not None:
        module.test_step = job.train.test_step.implementation()
    return module


def build_model(
    settings: BaseModelSettings,
    n_targets: int,
    input_shape: tuple[int, ...],
    *,
    seed: int = 0,
    frontend: Frontend | None = None,
    learns_maps: bool = False,
    over_bands: bool = False,
) -> Classifier:
    """Build the network that `settings` name, its weights drawn from `seed` alone.

    The global generators of torch are left as they were.

    Args:
        settings: One of `config.model`.
        n_targets: Number of logits.
        input_shape: Mel bands and frames of one spectrogram; of a picture channels, height and width.
        seed: Of the initial weights; equal settings, shapes and seeds give equal weights.
        frontend: What makes the spectrograms inside the model; None: it is given them.
        learns_maps: It decides at each frame or pixel, on objects and boundaries.
        over_bands: It does so at each frame and band of a spectrogram, which it takes like a picture of one channel.

    Returns:
        The model on the CPU, in training mode.

    Raises:
        ConfigError: The architecture cannot take spectrograms of this shape, with what it would take.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = build_backbone(settings, (1, *input_shape) if over_bands else input_shape)
        if learns_maps:
            head: Head = EventHead(
                backbone, n_targets, settings.head, settings.dropout, settings.over_time, over_bands=over_bands
            )
        else:
            head = Head(backbone.n_features, n_targets, settings.head, settings.dropout, settings.over_time)
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


def model_facts(settings: BaseModelSettings, n_targets: int, input_shape: tuple[int, int]) -> ModelFacts:
    """Return the size of a model and what it takes: shapes alone are computed, no memory is filled.

    Raises:
        ConfigError: As `build_model`.
    """
    with torch.device("meta"):
        backbone = build_backbone(settings, input_shape)
        head = Head(backbone.n_features, n_targets, settings.head, settings.dropout, settings.over_time)
    return ModelFacts(
        n_parameters=count_parameters(backbone.module) + count_parameters(head),
        least_shape=backbone.least_shape,
        input_note=backbone.input_note,
    )


def count_parameters(module: nn.Module) -> int:
    """Return the number of trainable values."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def build_backbone(settings: BaseModelSettings, input_shape: tuple[int, ...]) -> Backbone:
    """Build a model without its head, on the default device and from torch's global generator.

    Raises:
        ConfigError: As `build_model`.
    """
    backbone = _build(settings, input_shape)
    _check_input(settings.name, backbone, input_shape)
    return backbone


def _build(settings: BaseModelSettings, input_shape: tuple[int, ...]) -> Backbone:
    if isinstance(settings, PluginModelSettings):
        found = settings.implementation()(input_shape)
        if not isinstance(found, Backbone):
            raise ConfigError(
                f"model {settings.name!r}: its plugin returned {type(found).__name__}, expected "
                "auscult.models.Backbone(module, n_features=...)"
            )
        return found
    if settings.name in MODELS:
        return MODELS.implementation(settings.name)(settings, input_shape)
    from auscult.models import timm_model  # noqa: PLC0415 (seconds)

    of_timm: Any = timm_model.build
    return of_timm(settings, input_shape)


def _check_input(name: str, backbone: Backbone, input_shape: tuple[int, ...]) -> None:
    """Pass one silent spectrogram through: a shape that does not fit fails here, by name, not in the first epoch."""
    was_training = backbone.module.training
    backbone.module.eval()
    device = next((parameter.device for parameter in backbone.module.parameters()), None)
    try:
        with torch.no_grad():
            features = backbone.module(torch.zeros(1, *input_shape, device=device))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ConfigError(
            f"model {name!r} cannot take inputs of {shape_text(input_shape)}: {error}; use larger ones (more mel "
            "bands, longer clips), or another model"
        ) from error
    backbone.module.train(was_training)
    if features.shape != (1, *features.shape[1:-1], backbone.n_features) or features.ndim > len(input_shape) + 1:
        raise ConfigError(
            f"model {name!r} gives features of shape {tuple(features.shape)} for one spectrogram, "
            f"expected (1, {backbone.n_features}); its builder and its layers disagree"
        )


@dataclass(frozen=True)
class ListedModel:
    """One line of the list.

    Attributes:
        name: What an experiment calls it.
        family: The file that it is in.
        n_parameters: Trainable values with its shipped settings and one target; None where they were not counted.
        takes: How it takes such spectrograms, and from which size on; empty where that was not tried.
    """

    name: str
    family: str
    n_parameters: int | None
    takes: str


def matching_names(pattern: str | None, *, with_timm: bool = False) -> list[str]:
    """Return the models to list: all own ones, or by `pattern`, which looks through timm's too.

    Args:
        pattern: Such as `*net*`; `*` stands for any text, and `timm/` may be left out.
        with_timm: Without a pattern, all of timm as well.

    Raises:
        ConfigError: Nothing matches, with the names that come near.
    """
    if pattern is None:
        return [name for name in model_names() if with_timm or name in MODELS]
    names = model_names(pattern)
    if not names:
        text = pattern.strip("*?").removeprefix(TIMM_PREFIX)
        close = difflib.get_close_matches(text, [*MODELS, *sorted(timm_names())], n=5)
        near = [name if name in MODELS else TIMM_PREFIX + name for name in close]
        hint = f"did you mean {', '.join(near)}? " if near else ""
        raise ConfigError(
            f"no model is called {pattern!r}; {hint}"
            f"own models: {', '.join(sorted(MODELS))}; timm's: auscult models list 'timm/*'"
        )
    return names


def list_models(
    names: list[str], *, with_counts: bool = True, input_shape: tuple[int, int] = INPUT_SHAPE
) -> Iterator[ListedModel]:
    """Yield each model as soon as its parameters are counted, in the order of `names`.

    Args:
        names: Of `matching_names`.
        with_counts: Count the parameters and find out how the input is fitted; some tenths of a second for most.
        input_shape: Mel bands and frames.
    """
    for name in names:
        family = family_of(name)
        if name in _OPEN_MODELS:
            yield ListedModel(name, family, None, _OPEN_MODELS[name])
            continue
        if not with_counts:
            yield ListedModel(name, family, None, "")
            continue
        kind = MODELS.get(name, TimmSettings)
        settings = kind.model_validate({"name": name})
        try:
            facts = model_facts(settings, 1, input_shape)
        except ConfigError as error:
            yield ListedModel(name, family, None, f"not this input: {error}")
            continue
        takes = facts.input_note or "as it is"
        if facts.least_shape is not None:
            takes += f"; any size from [{facts.least_shape[0]}, {facts.least_shape[1]}]"
        yield ListedModel(name, family, facts.n_parameters, takes)


def table_lines(names: list[str], models: Iterator[ListedModel], heading: str) -> Iterator[str]:
    """Yield the lines of a table, each as soon as its model is known; the widths come from `names` alone."""
    width = max(map(len, names))
    families = max(6, *(len(family_of(name)) for name in names))
    yield f"{'model':<{width}}  {'family':<{families}}  {heading}".rstrip()
    for model in models:
        facts = "" if model.n_parameters is None else f"{model.n_parameters:>13,}"
        facts = f"{facts:<13}  {model.takes}" if model.takes else ""
        yield f"{model.name:<{width}}  {model.family:<{families}}  {facts}".rstrip()
