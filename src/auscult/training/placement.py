"""Where the batches of a training come from: memory where they fit the stated budget, else the disk."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from auscult.config.train import BatchesSettings
from auscult.errors import ConfigError
from auscult.examples import Examples
from auscult.models.normalisation import Normalisation
from auscult.training.batches import Batches, ResidentBatches
from auscult.training.streaming import StreamedBatches

_LOG = logging.getLogger(__name__)
_BYTES_A_VALUE = 2


def is_streamed(n_examples: int, shape: tuple[int, int], settings: BatchesSettings) -> bool:
    """Return whether examples are streamed: by the settings and their size alone, so that it is so on every machine.

    >>> is_streamed(1000, (128, 311), BatchesSettings(host_budget_mb=50))
    True
    """
    n_bytes = n_examples * shape[0] * shape[1] * _BYTES_A_VALUE
    return settings.place == "stream" or (settings.place == "auto" and n_bytes > settings.host_budget_mb * 1_000_000)


def place_batches(
    examples: Examples,
    indices: Mapping[str, NDArray[np.int64]],
    settings: BatchesSettings,
    *,
    normalisation: Normalisation,
    device: torch.device,
) -> dict[str, Batches]:
    """Return the batches of each side.

    Args:
        examples: Reads spectrograms.
        indices: Side -> its examples.
        settings: The place and the budget.
        normalisation: Of the training part.
        device: Where batches are needed.

    Raises:
        ConfigError: `place: device` without a GPU.
    """
    if settings.place == "device" and device.type != "cuda":
        raise ConfigError(f"train.batches.place: device needs a GPU, and this training runs on {device}; use auto")
    n_examples = sum(len(numbers) for numbers in indices.values())
    if not is_streamed(n_examples, examples.shape, settings):
        share = {"device": 1.0, "host": 0.0}.get(settings.place, settings.device_share)
        return {
            side: ResidentBatches(
                examples.spectrograms(numbers), examples.targets[numbers], normalisation, device, device_share=share
            )
            for side, numbers in indices.items()
        }
    return {
        side: StreamedBatches(
            lambda rows, numbers=numbers: examples.spectrograms(numbers[rows]),
            examples.targets[numbers],
            examples.shape,
            normalisation=normalisation,
            device=device,
            workers=settings.workers,
        )
        for side, numbers in indices.items()
    }
