"""The registry: from the settings of `config.augment` to functions, applied in the experiment's order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

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
from auscult.config.augment import SpectrogramStep

_SPECTROGRAM: dict[str, Callable[[Tensor, Any, Draws, Tensor], Tensor]] = {
    "mask_time": mask_time,
    "mask_frequency": mask_frequency,
    "gaussian_noise": gaussian_noise,
    "roll_time": roll_time,
    "roll_frequency": roll_frequency,
    "coarse_dropout": coarse_dropout,
    "resize_crop": resize_crop,
}


def augment_spectrograms(
    spectrograms: Tensor,
    steps: Sequence[SpectrogramStep],
    draws: Draws,
    eligible: Sequence[Tensor] | None = None,
) -> Tensor:
    """Apply `steps` in order.

    Args:
        spectrograms: Normalised log-mel, shape [batch, mel, frame]; left unchanged.
        steps: Those that change each clip by itself.
        draws: The only source of randomness.
        eligible: For each step, the clips that it may change, bool [batch]: all of them where it has a `quantity`, else
            those that its probability picks. Default: all clips.

    Returns:
        A tensor of the same shape.
    """
    for number, step in enumerate(steps):
        picked = draws.chance(1.0 if step.quantity is not None else step.probability)
        if eligible is not None:
            picked = picked & eligible[number]
        spectrograms = _SPECTROGRAM[step.name](spectrograms, step, draws, picked)
    return spectrograms
