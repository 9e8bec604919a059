"""One spectrogram of two: [pair, mel, frame] twice in, a new tensor of the same shape out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from auscult.augment.random import ClipRandom
from auscult.config.augment import MIXINGS, Cutmix, Mixing, Mixup, PatchMix


class Taken(NamedTuple):
    """What is taken of the second of each pair, as `portions` says: shares [pair], float32, and sizes [pair, 2]."""

    shares: Tensor
    sizes: Tensor


class Mixer(ABC):
    """Makes one spectrogram of two."""

    @abstractmethod
    def portions(
        self, weights: NDArray[np.float64], shape: tuple[int, ...]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return how much of the second spectrogram is taken.

        Args:
            weights: The shares that were drawn, shape [pair].
            shape: Mel bands and frames of a spectrogram.

        Returns:
            Whole bands, frames or patches, int64 [pair, 2], as `mix` reads them; their exact shares, float64 [pair].
        """

    @abstractmethod
    def mix(self, first: Tensor, second: Tensor, taken: Taken, rng: ClipRandom) -> Tensor:
        """Mix pairs of spectrograms.

        Args:
            first: Shape [pair, mel, frame]; left unchanged.
            second: The same.
            taken: Of the second.
            rng: Of the pairs.
        """


def mixer_of(step: Mixing) -> Mixer:
    """Return what does a step."""
    mixer: Mixer = MIXINGS.implementation(step.name)(step)
    return mixer


class MixupMixer(Mixer):
    """Adds two by their shares (Zhang et al. 2018)."""

    def __init__(self, settings: Mixup) -> None:
        pass

    def portions(
        self, weights: NDArray[np.float64], shape: tuple[int, ...]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return sizes of 0 and the shares as they were drawn."""
        return np.zeros((len(weights), 2), np.int64), weights

    def mix(self, first: Tensor, second: Tensor, taken: Taken, rng: ClipRandom) -> Tensor:
        """Add."""
        return torch.lerp(first, second, taken.shares[:, None, None].to(first.dtype))


class CutmixMixer(Mixer):
    """Puts a rectangle of the second at its own place into the first (Yun et al. 2019).

    Its sides have the clip's proportions; it lies wholly inside the clip, so that its share is the one drawn.
    """

    def __init__(self, settings: Cutmix) -> None:
        pass

    def portions(
        self, weights: NDArray[np.float64], shape: tuple[int, ...]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return bands and frames of the rectangle.

        >>> sizes, shares = CutmixMixer(Cutmix(name="cutmix")).portions(np.array([0.25]), (8, 10))
        >>> sizes.tolist(), shares.tolist()
        ([[4, 5]], [0.25])
        """
        sizes = np.rint(np.sqrt(weights)[:, None] * np.asarray(shape)).astype(np.int64)
        return sizes, sizes.prod(axis=1) / (shape[0] * shape[1])

    def mix(self, first: Tensor, second: Tensor, taken: Taken, rng: ClipRandom) -> Tensor:
        """Draw the rectangle's place and copy it."""
        lengths = torch.tensor(first.shape[1:], device=first.device)
        starts = (rng.uniform(2) * (lengths - taken.sizes + 1)).long()
        ends = starts + taken.sizes
        bands, frames = (torch.arange(length, device=first.device) for length in first.shape[1:])
        in_bands = (bands >= starts[:, :1]) & (bands < ends[:, :1])
        in_frames = (frames >= starts[:, 1:]) & (frames < ends[:, 1:])
        return torch.where(in_bands[:, :, None] & in_frames[:, None, :], second, first)


class PatchMixer(Mixer):
    """Takes patches at random places of a grid from the second (Bae et al. 2023).

    The grid's cells are as large as the settings say or smaller, and of equal size to a band and a frame.
    """

    def __init__(self, settings: PatchMix) -> None:
        self._settings = settings

    def portions(
        self, weights: NDArray[np.float64], shape: tuple[int, ...]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the number of patches in the first column."""
        n_rows, n_columns = self._grid(shape)
        sizes = np.zeros((len(weights), 2), np.int64)
        sizes[:, 0] = np.rint(weights * n_rows * n_columns)
        return sizes, sizes[:, 0] / (n_rows * n_columns)

    def mix(self, first: Tensor, second: Tensor, taken: Taken, rng: ClipRandom) -> Tensor:
        """Draw an order of the patches and take as many as are to be taken."""
        _, n_bands, n_frames = first.shape
        n_rows, n_columns = self._grid((n_bands, n_frames))
        order = rng.uniform(n_rows * n_columns).argsort(dim=1).argsort(dim=1)
        is_taken = (order < taken.sizes[:, :1]).view(-1, n_rows, n_columns)
        rows = torch.arange(n_bands, device=first.device) * n_rows // n_bands
        columns = torch.arange(n_frames, device=first.device) * n_columns // n_frames
        return torch.where(is_taken[:, rows][:, :, columns], second, first)

    def _grid(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Return the rows and columns of the grid of patches."""
        return -(-shape[0] // self._settings.patch_bands), -(-shape[1] // self._settings.patch_frames)


def mixed_targets(
    step: Mixing, first: NDArray[np.float32], second: NDArray[np.float32], shares: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the targets of mixed clips, by the step's label rule; what is unknown of one part stays unknown.

    Under `union` one known positive is enough; under `dominant` the larger part alone counts (if equal, the first).

    Args:
        step: What mixes.
        first: Shape [pair, target]: from 0 to 1, or NaN.
        second: The same.
        shares: Of the second, shape [pair].

    >>> step = Mixup(name="mixup")
    >>> mixed_targets(step, np.float32([[0.0]]), np.float32([[1.0]]), np.array([0.25])).tolist()
    [[0.25]]
    """
    share = shares[:, None].astype(np.float32)
    if step.label == "dominant":
        return np.where(share > 0.5, second, first)
    if step.label == "union":
        greater = np.fmax(first, second)
        return np.where((np.isnan(first) | np.isnan(second)) & (greater < 1), np.float32(np.nan), greater)
    # Of a part that was not taken nothing need be known.
    return np.where(share == 0, first, np.where(share == 1, second, (1 - share) * first + share * second))
