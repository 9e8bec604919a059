"""The parameters of a model in groups: each part with its learning rate, each layer with its share of it."""

from __future__ import annotations

import re
from typing import Any

from torch import nn

from auscult.config.optimizer import OptimizerSettings

PARTS = ("frontend", "backbone", "head")
_BLOCK = re.compile(r"^(.*?\.\d+)(\.|$)")


def part_of(name: str) -> str:
    """Return the part of the model that a parameter belongs to.

    >>> part_of("backbone.stages.0.weight"), part_of("head.linear.bias")
    ('backbone', 'head')
    """
    part = name.partition(".")[0]
    if part not in PARTS:
        raise ValueError(f"parameter {name!r} belongs to none of {PARTS}")
    return part


def parameter_groups(module: nn.Module, settings: OptimizerSettings) -> list[dict[str, Any]]:
    """Return groups for an optimizer, in the order of the model.

    Args:
        module: With the children `backbone` and `head`, and perhaps `frontend`.
        settings: Rates, weight decay and layer decay.

    Returns:
        Dicts with `params`, `lr`, `weight_decay` and `name` (`<part>` and, under layer decay, the layer's number).
    """
    layers = _backbone_layers(module) if settings.layer_decay is not None else {}
    n_layers = max(layers.values(), default=0) + 1
    groups: dict[tuple[str, float, float], dict[str, Any]] = {}
    for name, parameter in module.named_parameters():
        part = part_of(name)
        of_part = getattr(settings.groups, part)
        lr = settings.lr if of_part.lr is None else of_part.lr
        weight_decay = settings.weight_decay if of_part.weight_decay is None else of_part.weight_decay
        if parameter.ndim <= 1 and not settings.decay_norms_and_biases:
            weight_decay = 0.0
        label = part
        if settings.layer_decay is not None:
            # The head is above all layers; a front end lies below the first.
            above = {"head": 0, "frontend": n_layers + 1}.get(part, n_layers - layers.get(name, 0))
            lr *= settings.layer_decay**above
            label = f"{part}/{layers[name]}" if part == "backbone" else part
        key = (label, lr, weight_decay)
        group = groups.setdefault(key, {"params": [], "lr": lr, "weight_decay": weight_decay, "name": label})
        group["params"].append(parameter)
    return list(groups.values())


def _backbone_layers(module: nn.Module) -> dict[str, int]:
    """Return the layer, from 0 at the input, of each parameter of the backbone.

    timm's architectures say themselves what a layer is. In others each numbered block of a list is one, as is what
    stands beside them, in the order of the model.
    """
    names = [name for name, _ in module.named_parameters() if part_of(name) == "backbone"]
    inner: Any = getattr(getattr(module, "backbone", None), "model", None)
    if inner is not None and hasattr(inner, "group_matcher"):
        from timm.models import group_parameters  # noqa: PLC0415 (loaded already where there is such a model)

        numbers = sorted(group_parameters(inner, inner.group_matcher(coarse=False)).items())
        found = {f"backbone.model.{name}": number for number, group in numbers for name in group}
        order = {number: index for index, number in enumerate(sorted(set(found.values())))}
        return {name: order[found[name]] for name in names}
    blocks: dict[str, int] = {}
    layers: dict[str, int] = {}
    for name in names:
        match = _BLOCK.match(name)
        block = match.group(1) if match else name.rpartition(".")[0]
        layers[name] = blocks.setdefault(block, len(blocks))
    return layers
