"""The best epoch so far, and the weights after it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from auscult.config.train import TrainSettings
from auscult.training.history import EpochRow, is_better


class Best:
    """Keeps the weights of the epoch that validation likes best.

    Args:
        settings: What is monitored.

    Attributes:
        row: The best epoch's metrics; None while the monitored one was never defined.
        weights: The weights after it.
    """

    def __init__(self, settings: TrainSettings) -> None:
        self._settings = settings
        self.row: EpochRow | None = None
        self.weights: dict[str, Tensor] = {}

    @property
    def epoch(self) -> int | None:
        """The best epoch."""
        return None if self.row is None else int(self.row["epoch"])

    def take(self, epoch: int, metrics: dict[str, float | None], module: nn.Module) -> None:
        """Keep an epoch when it is better than all before."""
        row: EpochRow = {"epoch": epoch, **metrics}
        if not is_better(row, self.row, self._settings.monitor, self._settings.mode):
            return
        self.row = row
        # Row by row in memory, whatever the layout in training: safetensors takes nothing else.
        self.weights = {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, tensor in module.state_dict().items()
        }
