"""Augmentations of normalised spectrograms: [batch, mel, frame] in, a new tensor of the same shape out."""

from __future__ import annotations

import torch
from torch import Tensor

from auscult.augment.draws import Draws
from auscult.config.augment import GaussianNoise, MaskFrequency, MaskTime

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
