"""Batches from memory: all clips of a part lie on the device where they fit, else in host memory."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from auscult.models import Preparation

_LOG = logging.getLogger(__name__)


class Batches(Protocol):
    """What gives batches of one part of the examples: a model's inputs, prepared, on the device.

    Attributes:
        wait_s: Seconds that the caller waited for batches so far.
    """

    wait_s: float

    def __len__(self) -> int:
        """Return the number of examples."""
        ...

    @property
    def place(self) -> str:
        """Where the clips come from, for people."""
        ...

    def __call__(self, plan: Sequence[NDArray[np.int64]]) -> Iterator[Tensor]:
        """Yield the batches of a plan."""
        ...

    def stored(self, n_at_once: int = 1024) -> Iterator[Tensor]:
        """Yield all clips in their order as their store holds them, in blocks."""
        ...


class ResidentBatches:
    """A part of the examples held in memory, cut into batches by index.

    Args:
        stored: As a store holds them: spectrograms in dB, float16 [clip, mel, frame], or waveforms, int16
            [clip, sample]. Taken over, not copied, on a CPU.
        preparation: What a batch goes through: the normalisation of the training part, or the waveforms' scale.
        device: Where batches are needed.
        device_share: They lie on the device if they take no more than this share of its free memory.
    """

    def __init__(
        self,
        stored: NDArray[Any],
        preparation: Preparation,
        device: torch.device,
        device_share: float = 0.5,
    ) -> None:
        self.device = device
        self.wait_s = 0.0
        self._preparation = preparation.to(device)
        self._stored = _place(torch.from_numpy(stored), device, device_share)

    def __len__(self) -> int:
        return len(self._stored)

    @property
    def place(self) -> str:
        """Where the clips lie."""
        return f"in {self._stored.device.type} memory"

    def __call__(self, plan: Sequence[NDArray[np.int64]]) -> Iterator[Tensor]:
        """Yield the batches of a plan. The seconds that the caller waits for them are added to `wait_s`."""
        for indices in plan:
            start = time.perf_counter()
            batch = self._batch(torch.from_numpy(indices))
            self.wait_s += time.perf_counter() - start
            yield batch

    def stored(self, n_at_once: int = 1024) -> Iterator[Tensor]:
        """Yield all clips in their order as they were given, in blocks."""
        yield from self._stored.split(n_at_once)

    def _batch(self, indices: Tensor) -> Tensor:
        if self._stored.device.type == self.device.type:
            chosen = self._stored.index_select(0, indices.to(self.device))
        else:
            chosen = self._stored.index_select(0, indices).pin_memory().to(self.device, non_blocking=True)
        return self._preparation.apply(chosen)


def _place(stored: Tensor, device: torch.device, device_share: float) -> Tensor:
    if device.type != "cuda" or device_share == 0:
        return stored
    n_bytes = stored.numel() * stored.element_size()
    free_bytes, _ = torch.cuda.mem_get_info(device)
    if n_bytes <= device_share * free_bytes:
        return stored.to(device)
    _LOG.info("clips of %.1f GB stay in host memory: %.1f GB of the device are free", n_bytes / 1e9, free_bytes / 1e9)
    return stored
