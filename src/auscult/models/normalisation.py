"""Normalisation per mel band, from the training clips alone; it travels inside the saved model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SMALLEST_STD_DB = 0.1
"""A band that hardly moves in training (above a device's cut-off, say) is not blown up to unit deviation."""


@dataclass(frozen=True)
class Normalisation:
    """Mean and deviation of each mel band in dB, float32 tensors of shape [mel, 1]."""

    mean_db: Tensor
    std_db: Tensor

    @classmethod
    def from_bands(cls, mean_db: NDArray[np.floating], std_db: NDArray[np.floating]) -> Normalisation:
        """Take the exact mean and deviation [mel]; deviations below `SMALLEST_STD_DB` are raised to it."""
        raised = np.maximum(std_db, SMALLEST_STD_DB)
        return cls(
            mean_db=torch.from_numpy(np.asarray(mean_db, dtype=np.float32)[:, None].copy()),
            std_db=torch.from_numpy(np.asarray(raised, dtype=np.float32)[:, None].copy()),
        )

    def to(self, device: torch.device) -> Normalisation:
        """Return the same on `device`."""
        return Normalisation(self.mean_db.to(device), self.std_db.to(device))

    def apply(self, spectrograms_db: Tensor) -> Tensor:
        """Return normalised float32 spectrograms of the same shape [batch, mel, frame]; the input is unchanged."""
        return spectrograms_db.to(torch.float32, copy=True).sub_(self.mean_db).div_(self.std_db)

    def to_json(self) -> dict[str, list[float]]:
        """Return plain numbers; each float32 is exact as a JSON number."""
        return {"mean_db": self.mean_db.flatten().tolist(), "std_db": self.std_db.flatten().tolist()}
