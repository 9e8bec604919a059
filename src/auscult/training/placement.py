"""Where the batches of a training come from: memory where they fit the stated budget, else the disk."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from auscult.config.train import BatchesSettings
from auscult.errors import ConfigError
from auscult.examples import Examples, StoredKind
from auscult.models import Preparation
from auscult.training.batches import Batches, ResidentBatches
from auscult.training.streaming import StreamedBatches

_BYTES_A_VALUE = 2


def is_streamed(n_values: int, settings: BatchesSettings) -> bool:
    """Return whether examples of so many values are streamed: by settings and size alone, the same on every machine.

    >>> is_streamed(1000 * 128 * 311, BatchesSettings(host_budget_mb=50))
    True
    """
    n_bytes = n_values * _BYTES_A_VALUE
    return settings.place == "stream" or (settings.place == "auto" and n_bytes > settings.host_budget_mb * 1_000_000)


@dataclass(frozen=True)
class Selection:
    """Clips of one part, and what is read of them.

    Attributes:
        indices: Of the examples.
        kind: What is read.
    """

    indices: NDArray[np.int64]
    kind: StoredKind


@dataclass(frozen=True)
class Source(Selection):
    """A selection, and what a batch of it goes through."""

    preparation: Preparation


def count_values(examples: Examples, parts: Mapping[str, Selection]) -> int:
    """Return the values of all parts together."""
    return sum(len(part.indices) * math.prod(examples.stored_shape(part.kind)) for part in parts.values())


def place_batches(
    examples: Examples, sources: Mapping[str, Source], settings: BatchesSettings, device: torch.device
) -> dict[str, Batches]:
    """Return the batches of each side.

    Args:
        examples: Reads spectrograms and clips.
        sources: Side -> what is read.
        settings: The place and the budget.
        device: Where batches are needed.

    Raises:
        ConfigError: `place: device` without a GPU.
    """
    if settings.place == "device" and device.type != "cuda":
        raise ConfigError(f"train.batches.place: device needs a GPU, and this training runs on {device}; use auto")
    if not is_streamed(count_values(examples, sources), settings):
        share = {"device": 1.0, "host": 0.0}.get(settings.place, settings.device_share)
        return {
            side: ResidentBatches(examples.stored(source.kind, source.indices), source.preparation, device, share)
            for side, source in sources.items()
        }
    return {
        side: StreamedBatches(
            lambda rows, source=source: examples.stored(source.kind, source.indices[rows]),
            len(source.indices),
            preparation=source.preparation,
            device=device,
            workers=settings.workers,
        )
        for side, source in sources.items()
    }
