"""Pretrained weights of a timm architecture, for spectrograms of any size, by timm's own loader.

The loader resamples what depends on the size of the input (position tables, tables of relative positions) and sums the
first layer over its colour channels. It passes over missing tensors where the classifier is another one, so that here
the classifier is taken out first and the loader is strict; what it did is read off the tensors.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import timm
import torch
from timm.models import adapt_input_conv
from torch import Tensor, nn

from auscult.errors import DataError, some
from auscult.models.arrival import Arrival
from auscult.models.timm_model import MISFITS, TimmBackbone


def load_timm_weights(backbone: TimmBackbone, weights: Mapping[str, Tensor], what: str) -> Arrival:
    """Load weights by timm's names into a backbone.

    Args:
        backbone: Built for one size of spectrogram.
        weights: Tensors of the architecture, of any size of input, with a classifier or without.
        what: The setting and the file, for errors.

    Raises:
        DataError: A tensor is missing, unknown or of another shape, by its name.
    """
    whole = _built(backbone.name, **backbone.whole) if backbone.keeps_time else backbone.model
    wanted = whole.state_dict()
    fault = f"{what} holds weights of another architecture than timm/{backbone.name}, or they are incomplete"
    classifier = _classifier_names(backbone.name, wanted) & weights.keys()
    kept = {name: tensor for name, tensor in weights.items() if name not in classifier}
    missing = sorted(wanted.keys() - kept.keys())
    unknown = sorted(kept.keys() - wanted.keys())
    if missing and not (unknown and _renames(whole)):
        raise DataError(f"{fault}: {_name_faults(missing, unknown)}")
    # num_classes and label_offset as in the architecture without a classifier: else the loader would not be strict.
    source = {"state_dict": kept, "num_classes": 0, "label_offset": 0}
    try:
        loading = {"pretrained": True, "pretrained_cfg_overlay": source}
        loaded = timm.create_model(backbone.name, **loading, **backbone.whole).state_dict()
        # Up to a stage timm loads what it finds: the whole architecture, above, was strict.
        used = timm.create_model(backbone.name, **loading, **backbone.arguments) if backbone.keeps_time else None
    except (*MISFITS, LookupError, AttributeError) as error:  # timm's renaming takes any layout for one that it knows
        said = "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
        detail = said[:600] if isinstance(error, RuntimeError) else _name_faults(missing, unknown)
        raise DataError(f"{fault}: {detail}") from error
    backbone.model.load_state_dict(loaded if used is None else used.state_dict())
    unused = (f"{name} (of the classifier)" for name in sorted(classifier))
    changed = list(_changes(whole, kept, loaded, fault))
    return Arrival(len(loaded) - len(changed), tuple(changed), tuple(unused))


def _name_faults(missing: list[str], unknown: list[str]) -> str:
    faults = [f"{len(missing)} missing ({some(missing)})"]
    return "; ".join([*faults, *([f"{len(unknown)} unknown ({some(unknown)})"] if unknown else [])])


def _classifier_names(name: str, wanted: Mapping[str, Tensor]) -> set[str]:
    """Return the names of the tensors that the architecture has with its classifier alone."""
    return _built(name).state_dict().keys() - wanted.keys()


def _built(name: str, **arguments: Any) -> nn.Module:
    """Return an architecture for its names and shapes alone, without memory where it can be built so."""
    try:
        with torch.device("meta"):
            return timm.create_model(name, pretrained=False, **arguments)
    except MISFITS:
        return timm.create_model(name, pretrained=False, **arguments)


def _renames(model: nn.Module) -> bool:
    """Say whether timm knows other layouts of this architecture's names; it is strict about what it made of them."""
    return hasattr(sys.modules[type(model).__module__], "checkpoint_filter_fn")


def _changes(model: nn.Module, given: Mapping[str, Tensor], loaded: Mapping[str, Tensor], fault: str) -> Iterator[str]:
    config: Any = model.pretrained_cfg
    first_layers = {f"{layer}.weight" for layer in _names(config.get("first_conv"))}
    for name, tensor in loaded.items():
        if name not in given:
            yield f"{name} (by another name in the file)"
        elif tensor.shape == given[name].shape and torch.equal(tensor, given[name].to(tensor.dtype)):
            continue
        elif name in first_layers:
            yield _first_layer_change(name, given[name], tensor, fault)
        else:
            yield f"{name} {list(given[name].shape)} resampled to {list(tensor.shape)}"


def _first_layer_change(name: str, given: Tensor, loaded: Tensor, fault: str) -> str:
    shapes = f"{name} {list(given.shape)}"
    if given.ndim == 4 and given.shape[2:] != loaded.shape[2:]:
        return f"{shapes} resampled to {list(loaded.shape)}"
    try:
        adapted = adapt_input_conv(loaded.shape[1], given.clone())
    except NotImplementedError:
        adapted = None
    if adapted is None or not torch.equal(adapted, loaded):
        raise DataError(f"{fault}: {shapes} cannot be fitted to {loaded.shape[1]} channel(s)")
    return f"{shapes} summed over its colour channels to {list(loaded.shape)}"


def _names(value: str | Iterable[str] | None) -> tuple[str, ...]:
    return () if not value else (value,) if isinstance(value, str) else tuple(value)
