"""From settings to an optimizer of torch."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from auscult.config.train import OptimizerSettings


def build_optimizer(parameters: Iterable[nn.Parameter], settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Build the optimizer that `settings` name, with torch's defaults for all that they do not say."""
    lr, weight_decay = settings.lr, settings.weight_decay
    if settings.name == "adam":
        return torch.optim.Adam(parameters, lr=lr, weight_decay=weight_decay)
    if settings.name == "adamw":
        return torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay)
    return torch.optim.SGD(parameters, lr=lr, momentum=settings.momentum, weight_decay=weight_decay)
