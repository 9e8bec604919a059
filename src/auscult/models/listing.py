"""All models at a glance, for `auscult models list`."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

from auscult.config.base import Settings
from auscult.config.model import MODELS, TIMM_PREFIX, TimmSettings, timm_names
from auscult.errors import ConfigError
from auscult.models.registry import family_of, model_facts, model_names

INPUT_SHAPE = (128, 311)
"""Mel bands and frames of 10 s at 8 kHz with the shipped settings: what counts are stated for."""


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
        if name == "layers":
            yield ListedModel(name, family, None, "what the experiment declares, layer by layer")
            continue
        if not with_counts:
            yield ListedModel(name, family, None, "")
            continue
        settings: Settings = MODELS[name].model_validate({"name": name}) if name in MODELS else TimmSettings(name=name)
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
