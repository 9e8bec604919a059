"""The exponential moving average of a model's weights."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from auscult.config.train import EmaSettings


class Ema:
    """Averages all weights and the statistics of batch norms; whole numbers are taken as they are.

    Args:
        module: The model as it stands is the first average.
        settings: The decay.
    """

    def __init__(self, module: nn.Module, settings: EmaSettings) -> None:
        self._module = module
        self._settings = settings
        self._n_updates = 0
        self._average = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the weights: average = decay x average + (1 - decay) x weight."""
        self._n_updates += 1
        decay = self._settings.decay
        if self._settings.is_warmed_up:
            decay = min(decay, (1 + self._n_updates) / (10 + self._n_updates))
        for name, tensor in self._module.state_dict().items():
            if tensor.is_floating_point():
                self._average[name].lerp_(tensor, 1 - decay)
            else:
                self._average[name].copy_(tensor)

    @contextmanager
    def applied(self) -> Generator[None]:
        """Put the average into the model while the block runs."""
        weights = {name: tensor.detach().clone() for name, tensor in self._module.state_dict().items()}
        self._module.load_state_dict(self._average)
        try:
            yield
        finally:
            self._module.load_state_dict(weights)

    def state_dict(self) -> dict[str, Any]:
        """Return the average."""
        return {"n_updates": self._n_updates, "average": dict[str, Tensor](self._average)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put `state_dict` back."""
        self._n_updates = int(state["n_updates"])
        for name, tensor in state["average"].items():
            self._average[name].copy_(tensor)
