"""Augmentations of normalised spectrograms: [batch, mel, frame] in, a new tensor of the same shape out."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from auscult.augment.draws import Draws
from auscult.config.augment import (
    CoarseDropout,
    GaussianNoise,
    MaskFrequency,
    MaskTime,
    ResizeCrop,
    RollFrequency,
    RollTime,
)

SILENCE = 0.0
"""The mean of every mel band after normalisation, which tells a network nothing."""


def mask_time(spectrograms: Tensor, settings: MaskTime, draws: Draws) -> Tensor:
    """Silence one random run of frames across all mel bands (SpecAugment, Park et al. 2019).

    The width is uniform from 0 to `max_width_frames`, inclusive, and the run lies wholly inside the clip.

    Args:
        spectrograms: Normalised log-mel, shape [batch, mel, frame].
        settings: The longest run.
        draws: The only source of randomness.

    Raises:
        ValueError: If `max_width_frames` exceeds the number of frames.
    """
    hidden = _random_run(spectrograms.shape[2], settings.max_width_frames, "max_width_frames", draws)
    return spectrograms.masked_fill(hidden[:, None, :], SILENCE)


def mask_frequency(spectrograms: Tensor, settings: MaskFrequency, draws: Draws) -> Tensor:
    """Silence one random run of mel bands across all frames (SpecAugment, Park et al. 2019).

    Args:
        spectrograms: Normalised log-mel, shape [batch, mel, frame].
        settings: The widest run.
        draws: The only source of randomness.

    Raises:
        ValueError: If `max_width_bands` exceeds the number of mel bands.
    """
    hidden = _random_run(spectrograms.shape[1], settings.max_width_bands, "max_width_bands", draws)
    return spectrograms.masked_fill(hidden[:, :, None], SILENCE)


def _random_run(length: int, max_width: int, name: str, draws: Draws) -> Tensor:
    """Return bool, shape [batch, length]: true inside one run a clip."""
    if max_width > length:
        raise ValueError(f"{name} {max_width} exceeds the {length} of the spectrogram")
    width = (draws.uniform() * (max_width + 1)).long()
    start = (draws.uniform() * (length - width + 1)).long()
    places = torch.arange(length, device=width.device)
    return (places >= start[:, None]) & (places < (start + width)[:, None])


def gaussian_noise(spectrograms: Tensor, settings: GaussianNoise, draws: Draws) -> Tensor:
    """Add white Gaussian noise whose deviation is uniform from 0 to `max_deviation`, for each clip alone."""
    deviation = draws.uniform(1, 1) * settings.max_deviation
    return spectrograms + deviation * draws.normal(*spectrograms.shape[1:]).to(spectrograms.dtype)


def roll_time(spectrograms: Tensor, settings: RollTime, draws: Draws) -> Tensor:
    """Shift each clip by a whole number of frames, uniform to either side; the sound goes round.

    Args:
        spectrograms: Shape [batch, mel, frame].
        settings: The furthest shift.
        draws: The only source of randomness.

    Raises:
        ValueError: If `max_shift_frames` exceeds the number of frames.
    """
    return _roll(spectrograms, 2, settings.max_shift_frames, "max_shift_frames", draws)


def roll_frequency(spectrograms: Tensor, settings: RollFrequency, draws: Draws) -> Tensor:
    """Shift each clip by a whole number of mel bands, uniform up and down; the bands go round.

    Args:
        spectrograms: Shape [batch, mel, frame].
        settings: The furthest shift.
        draws: The only source of randomness.

    Raises:
        ValueError: If `max_shift_bands` exceeds the number of mel bands.
    """
    return _roll(spectrograms, 1, settings.max_shift_bands, "max_shift_bands", draws)


def _roll(spectrograms: Tensor, axis: int, max_shift: int, name: str, draws: Draws) -> Tensor:
    length = spectrograms.shape[axis]
    if max_shift > length:
        raise ValueError(f"{name} {max_shift} exceeds the {length} of the spectrogram")
    shift = (draws.uniform() * (2 * max_shift + 1)).long() - max_shift
    places = (torch.arange(length, device=shift.device) - shift[:, None]) % length
    places = places[:, None, :] if axis == 2 else places[:, :, None]
    return spectrograms.gather(axis, places.expand_as(spectrograms))


def coarse_dropout(spectrograms: Tensor, settings: CoarseDropout, draws: Draws) -> Tensor:
    """Silence `n_holes` rectangles that lie wholly inside the clip (DeVries & Taylor 2017); they may overlap.

    Heights and widths are uniform from 1 to the largest, inclusive.

    Args:
        spectrograms: Normalised log-mel, shape [batch, mel, frame].
        settings: Number and size of the holes.
        draws: The only source of randomness.

    Raises:
        ValueError: If a hole may exceed the spectrogram.
    """
    _, n_bands, n_frames = spectrograms.shape
    rows = _runs(n_bands, settings.n_holes, settings.max_height_bands, "max_height_bands", draws)
    columns = _runs(n_frames, settings.n_holes, settings.max_width_frames, "max_width_frames", draws)
    # Of each mel band and frame: in how many holes do both lie?
    hidden = torch.einsum("bhm,bhf->bmf", rows.to(spectrograms.dtype), columns.to(spectrograms.dtype)) > 0
    return spectrograms.masked_fill(hidden, SILENCE)


def _runs(length: int, n_runs: int, max_width: int, name: str, draws: Draws) -> Tensor:
    """Return bool, shape [batch, run, length]: true inside the run, which is 1 to `max_width` wide."""
    if max_width > length:
        raise ValueError(f"{name} {max_width} exceeds the {length} of the spectrogram")
    width = (draws.uniform(n_runs) * max_width).long() + 1
    start = (draws.uniform(n_runs) * (length - width + 1)).long()
    places = torch.arange(length, device=width.device)
    return (places >= start[:, :, None]) & (places < (start + width)[:, :, None])


def resize_crop(spectrograms: Tensor, settings: ResizeCrop, draws: Draws) -> Tensor:
    """Cut a rectangle out of each clip and stretch it bilinearly to the clip's own shape.

    The shares of the frames and of the mel bands are uniform from their least to 1, its place is uniform in the clip.

    Args:
        spectrograms: Shape [batch, mel, frame].
        settings: The least shares.
        draws: The only source of randomness.
    """
    shares = draws.uniform(2)
    least = torch.tensor([settings.min_share_time, settings.min_share_frequency], device=shares.device)
    shares = least + shares * (1 - least)
    # In the coordinates of `affine_grid` the clip runs from -1 to 1: a cut of share s has its middle within 1 - s.
    middles = (2 * draws.uniform(2) - 1) * (1 - shares)
    maps = torch.cat([torch.diag_embed(shares), middles[:, :, None]], dim=2).to(spectrograms.dtype)
    stacked = spectrograms[:, None]
    grid = functional.affine_grid(maps, list(stacked.shape), align_corners=False)
    return functional.grid_sample(stacked, grid, padding_mode="border", align_corners=False)[:, 0]
