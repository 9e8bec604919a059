"""The registry: from the settings of `config.augment` to functions, applied in the experiment's order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from auscult.augment.draws import Draws
from auscult.augment.spectrogram import (
    coarse_dropout,
    gaussian_noise,
    mask_frequency,
    mask_time,
    resize_crop,
    roll_frequency,
    roll_time,
)
from auscult.config.augment import SpectrogramAugmentation

_SPECTROGRAM: dict[str, Callable[[Tensor, Any, Draws], Tensor]] = {
    "mask_time": mask_time,
    "mask_frequency": mask_frequency,
    "gaussian_noise": gaussian_noise,
    "roll_time": roll_time,
    "roll_frequency": roll_frequency,
    "coarse_dropout": coarse_dropout,
    "resize_crop": resize_crop,
}


def augment_spectrograms(spectrograms: Tensor, steps: Sequence[SpectrogramAugmentation], draws: Draws) -> Tensor:
    """Apply `steps` in order, each to the clips that its own probability picks.

    Args:
        spectrograms: Normalised log-mel, shape [batch, mel, frame]; left unchanged.
        steps: The experiment's list.
        draws: The only source of randomness.

    Returns:
        A tensor of the same shape.
    """
    for step in steps:
        picked = draws.chance(step.probability)
        changed = _SPECTROGRAM[step.name](spectrograms, step, draws)
        spectrograms = torch.where(picked[:, None, None], changed, spectrograms)
    return spectrograms
