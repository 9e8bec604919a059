"""One spectrogram of two: [pair, mel, frame] twice in, a new tensor of the same shape out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from auscult.augment.draws import Draws
from auscult.config.mixing import Cutmix, Mixing, Mixup, PatchMix


def portions(
    step: Mixing, weights: NDArray[np.float64], shape: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return how much of the second spectrogram is taken, as whole bands, frames or patches, and its exact share.

    Args:
        step: What mixes.
        weights: The shares that were drawn, shape [pair].
        shape: Mel bands and frames of a spectrogram.

    Returns:
        Int64 [pair, 2], the bands and frames of the rectangle (`cutmix`) or the number of patches (`patch_mix`, the
        first column); and the shares, float64 [pair].

    >>> cut = Cutmix(name="cutmix")
    >>> sizes, shares = portions(cut, np.array([0.25]), (8, 10))
    >>> sizes.tolist(), shares.tolist()
    ([[4, 5]], [0.25])
    """
    sizes = np.zeros((len(weights), 2), np.int64)
    if isinstance(step, Mixup):
        return sizes, weights
    if isinstance(step, Cutmix):
        sizes = np.rint(np.sqrt(weights)[:, None] * np.asarray(shape)).astype(np.int64)
        return sizes, sizes.prod(axis=1) / (shape[0] * shape[1])
    n_patches = _grid(step, shape)
    sizes[:, 0] = np.rint(weights * n_patches[0] * n_patches[1])
    return sizes, sizes[:, 0] / (n_patches[0] * n_patches[1])


class Taken(NamedTuple):
    """What is taken of the second of each pair, as `portions` says: shares [pair], float32, and sizes [pair, 2]."""

    shares: Tensor
    sizes: Tensor


def mix(step: Mixing, first: Tensor, second: Tensor, taken: Taken, draws: Draws) -> Tensor:
    """Mix pairs of spectrograms.

    Args:
        step: What mixes.
        first: Shape [pair, mel, frame]; left unchanged.
        second: The same.
        taken: Of the second.
        draws: Of the pairs.
    """
    return _MIXERS[type(step)](step, first, second, taken, draws)


def _mixup(_: Mixup, first: Tensor, second: Tensor, taken: Taken, draws: Draws) -> Tensor:
    """Add them by their shares (Zhang et al. 2018)."""
    return torch.lerp(first, second, taken.shares[:, None, None].to(first.dtype))


def _cutmix(_: Cutmix, first: Tensor, second: Tensor, taken: Taken, draws: Draws) -> Tensor:
    """Put a rectangle of the second at its own place into the first (Yun et al. 2019).

    Its sides have the clip's proportions; it lies wholly inside the clip, so that its share is the one drawn.
    """
    lengths = torch.tensor(first.shape[1:], device=first.device)
    starts = (draws.uniform(2) * (lengths - taken.sizes + 1)).long()
    ends = starts + taken.sizes
    bands, frames = (torch.arange(length, device=first.device) for length in first.shape[1:])
    in_bands = (bands >= starts[:, :1]) & (bands < ends[:, :1])
    in_frames = (frames >= starts[:, 1:]) & (frames < ends[:, 1:])
    return torch.where(in_bands[:, :, None] & in_frames[:, None, :], second, first)


def _patch_mix(step: PatchMix, first: Tensor, second: Tensor, taken: Taken, draws: Draws) -> Tensor:
    """Take patches at random places of a grid from the second (Bae et al. 2023).

    The grid's cells are as large as `step` says or smaller, and of equal size to a band and a frame.
    """
    _, n_bands, n_frames = first.shape
    n_rows, n_columns = _grid(step, (n_bands, n_frames))
    order = draws.uniform(n_rows * n_columns).argsort(dim=1).argsort(dim=1)
    is_taken = (order < taken.sizes[:, :1]).view(-1, n_rows, n_columns)
    rows = torch.arange(n_bands, device=first.device) * n_rows // n_bands
    columns = torch.arange(n_frames, device=first.device) * n_columns // n_frames
    return torch.where(is_taken[:, rows][:, :, columns], second, first)


def _grid(step: PatchMix, shape: tuple[int, int]) -> tuple[int, int]:
    """Return the rows and columns of the grid of patches."""
    return -(-shape[0] // step.patch_bands), -(-shape[1] // step.patch_frames)


_MIXERS: dict[type[Any], Callable[..., Tensor]] = {Mixup: _mixup, Cutmix: _cutmix, PatchMix: _patch_mix}


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
