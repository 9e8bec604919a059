"""From settings to an optimizer of torch or timm."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from auscult.config.optimizer import DECOUPLED, OptimizerSettings
from auscult.errors import ConfigError
from auscult.training.parameter_groups import parameter_groups


def build_optimizer(module: nn.Module, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Build the optimizer that `settings` name over the groups of a model, its own defaults for all they do not say.

    Raises:
        ConfigError: The optimizer takes no such setting.
    """
    groups = parameter_groups(module, settings)
    name = DECOUPLED.get(settings.name, settings.name) if settings.decoupled_weight_decay else settings.name
    given = {"betas": settings.betas, "eps": settings.eps}
    extra: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if name.startswith("sgd"):
        extra["nesterov"] = settings.nesterov  # timm's default is another one than torch's
    try:
        if name == "adam":
            return torch.optim.Adam(groups, lr=settings.lr, **extra)
        if name == "adamw":
            return torch.optim.AdamW(groups, lr=settings.lr, **extra)
        if name == "sgd":
            return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, **extra)
        from timm.optim._optim_factory import create_optimizer_v2  # noqa: PLC0415 (slow to import, and rarely needed)

        return create_optimizer_v2(groups, opt=name, lr=settings.lr, momentum=settings.momentum, **extra)
    except TypeError as error:
        raise ConfigError(
            f"train.optimizer: {settings.name} takes not all of {sorted(extra.keys() - {'nesterov'})}: {error}"
        ) from error
