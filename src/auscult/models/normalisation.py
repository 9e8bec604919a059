"""From what a store holds to what a model takes: spectrograms are normalised per band, waveforms brought to scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from auscult.config.clips import FULL_SCALE

SMALLEST_STD_DB = 0.1
"""A band that hardly moves in training (above a device's cut-off, say) is not blown up to unit deviation."""


class Preparation(Protocol):
    """What is done to values of a store before a model takes them."""

    def to(self, device: torch.device) -> Self:
        """Return the same on `device`."""
        ...

    def apply(self, stored: Tensor) -> Tensor:
        """Return float32 of the same shape; the input is unchanged."""
        ...


@dataclass(frozen=True)
class FullScale:
    """For models that take waveforms: int16 as clips are stored become float32 of full scale 1."""

    def to(self, device: torch.device) -> Self:
        """Return the same: it holds nothing."""
        return self

    def apply(self, stored: Tensor) -> Tensor:
        """Return waveforms of full scale 1, float32 [batch, sample], of int16 ones.

        >>> FullScale().apply(torch.tensor([[-32768, 16384]], dtype=torch.int16)).tolist()
        [[-1.0, 0.5]]
        """
        return stored.to(torch.float32, copy=True).div_(FULL_SCALE)


@dataclass(frozen=True)
class Normalisation:
    """Mean and deviation of each mel band in dB, float32 tensors of shape [mel, 1]; from the training clips alone.

    Of pictures those of each channel, shape [channel, 1, 1].
    """

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

    @classmethod
    def from_channels(cls, mean: NDArray[np.floating], std: NDArray[np.floating]) -> Normalisation:
        """Take the exact mean and deviation [channel] of pictures; as `from_bands`."""
        of_bands = cls.from_bands(mean, std)
        return cls(of_bands.mean_db[:, :, None], of_bands.std_db[:, :, None])

    @classmethod
    def from_brightness(cls, mean: Sequence[float], std: Sequence[float]) -> Normalisation:
        """Take mean and deviation [channel] of brightness from 0 to 1; pictures hold it from 0 to 255.

        >>> Normalisation.from_brightness([0.5], [0.25]).apply(torch.full((1, 1, 1, 1), 255.0)).item()
        2.0
        """
        return cls.from_channels(255 * np.asarray(mean), 255 * np.asarray(std))

    def to(self, device: torch.device) -> Self:
        """Return the same on `device`."""
        return type(self)(self.mean_db.to(device), self.std_db.to(device))

    def apply(self, stored: Tensor) -> Tensor:
        """Return normalised float32 spectrograms of the same shape [batch, mel, frame] of ones in dB; or pictures."""
        return stored.to(torch.float32, copy=True).sub_(self.mean_db).div_(self.std_db)

    def to_json(self) -> dict[str, list[float]]:
        """Return plain numbers; each float32 is exact as a JSON number."""
        suffix = "" if self.mean_db.ndim == 3 else "_db"
        return {f"mean{suffix}": self.mean_db.flatten().tolist(), f"std{suffix}": self.std_db.flatten().tolist()}
