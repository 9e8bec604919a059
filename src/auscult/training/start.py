"""Weights to begin with: of an earlier result, of a file, or timm's pretrained ones for one input channel."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from auscult.config.train import StartSettings
from auscult.errors import ConfigError, DataError
from auscult.models.saved import WEIGHTS_FILE
from auscult.storage.files import sha256_file

_LOG = logging.getLogger(__name__)

HUB = "hub"
_UNREADABLE = (OSError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError, safetensors.SafetensorError)
_BACKBONE = "backbone."


def start_digest(settings: StartSettings | None) -> str | None:
    """Return the SHA-256 of the file that a training begins with; None without one, `hub` for timm's own.

    Raises:
        DataError: There is no such file.
    """
    path = None if settings is None else _file(settings)
    if path is None:
        return None if settings is None else HUB
    if not path.is_file():
        raise DataError(f"train.start: {path}: no such file; give a path from the project's folder, or train it first")
    return sha256_file(path)


def load_start(module: nn.Module, settings: StartSettings, model_name: str) -> None:
    """Put the weights into a model.

    Args:
        module: With the children `backbone` and `head`.
        settings: The source and the parts.
        model_name: As in the experiment.

    Raises:
        ConfigError: timm's weights for a model that is not timm's.
        DataError: A file that is not readable, or of another model.
    """
    if settings.timm is not None:
        _load_timm(module, settings.timm, model_name)
        return
    path = _file(settings)
    weights = _read(path) if path is not None else {}
    if settings.parts == "backbone":
        weights = {name: tensor for name, tensor in weights.items() if name.startswith(_BACKBONE)}
    wanted = {
        name: tensor
        for name, tensor in module.state_dict().items()
        if settings.parts == "all" or name.startswith(_BACKBONE)
    }
    hint = "; with parts: backbone the head may differ" if settings.parts == "all" else ""
    _require_fit(weights, wanted, f"train.start: {path} holds weights of another model than {model_name}", hint)
    module.load_state_dict(weights, strict=False)
    _LOG.info("started from %s (%s)", path, settings.parts)


def _file(settings: StartSettings) -> Path | None:
    if settings.result is not None:
        return Path(settings.result) / WEIGHTS_FILE
    name = settings.weights or settings.timm
    return None if name in {None, HUB} else Path(str(name))


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise DataError(f"train.start: {path}: no readable weights ({error})") from error
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    return state


def _load_timm(module: nn.Module, source: str, model_name: str) -> None:
    inner: Any = getattr(getattr(module, "backbone", None), "model", None)
    config: Any = getattr(inner, "pretrained_cfg", None)
    if inner is None or config is None:
        raise ConfigError(f"train.start.timm: {model_name} is none of timm: use start.result or start.weights")
    from timm.models import adapt_input_conv  # noqa: PLC0415 (loaded already where there is such a model)

    weights = dict(_from_hub(model_name) if source == HUB else _read(Path(source)))
    for first in _names(config.get("first_conv")):
        name = f"{first}.weight"
        if name in weights:
            weights[name] = adapt_input_conv(1, weights[name])
    classifiers = tuple(f"{name}." for name in _names(config.get("classifier")))
    weights = {name: tensor for name, tensor in weights.items() if not (classifiers and name.startswith(classifiers))}
    wanted = inner.state_dict()
    _require_fit(
        weights,
        wanted,
        f"train.start.timm: {source} holds weights of another architecture or input size than {model_name}",
        "",
    )
    inner.load_state_dict({name: weights[name] for name in wanted})
    _LOG.info("started from timm's weights (%s), the first layer summed over its colours", source)


def _from_hub(model_name: str) -> Mapping[str, Tensor]:
    import timm  # noqa: PLC0415

    name = model_name.removeprefix("timm/")
    try:
        return timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:
        # The hub's client raises errors of half a dozen libraries.
        raise DataError(
            f"train.start.timm: hub: the pretrained weights of {name} could not be had "
            f"({type(error).__name__}: {error}); download them elsewhere and give the file's path"
        ) from error


def _names(value: Any) -> tuple[str, ...]:
    return () if not value else (value,) if isinstance(value, str) else tuple(value)


def _require_fit(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], what: str, hint: str) -> None:
    missing = sorted(wanted.keys() - found.keys())
    misshapen = [
        f"{name} is {list(found[name].shape)}, expected {list(wanted[name].shape)}"
        for name in wanted
        if name in found and found[name].shape != wanted[name].shape
    ]
    if missing or misshapen:
        faults = [*misshapen[:3], *([f"{len(missing)} are missing, such as {missing[:3]}"] if missing else [])]
        raise DataError(f"{what}: {'; '.join(faults)}{hint}")
