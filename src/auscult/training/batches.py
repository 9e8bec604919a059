"""Batches from memory: all spectrograms of a part lie on the device where they fit, else in host memory."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from auscult.models.normalisation import Normalisation

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batch:
    """Some clips, on the device.

    Attributes:
        spectrograms: Normalised, float32 [clip, mel, frame].
        targets: Float32 [clip, target].
        clips: The clips' numbers in their part, int64 [clip].
    """

    spectrograms: Tensor
    targets: Tensor
    clips: Tensor


class Batches(Protocol):
    """What gives batches of one part of the examples.

    Attributes:
        wait_s: Seconds that the caller waited for batches so far.
    """

    wait_s: float

    def __len__(self) -> int:
        """Return the number of examples."""
        ...

    @property
    def shape(self) -> tuple[int, int]:
        """Mel bands and frames of one spectrogram."""
        ...

    @property
    def place(self) -> str:
        """Where the spectrograms come from, for people."""
        ...

    def __call__(self, plan: Sequence[NDArray[np.int64]]) -> Iterator[Batch]:
        """Yield the batches of a plan."""
        ...

    def decibels(self, n_at_once: int = 1024) -> Iterator[Tensor]:
        """Yield all spectrograms in their order, float16 [clip, mel, frame] in dB, in blocks."""
        ...


class ResidentBatches:
    """A part of the examples held in memory as float16, cut into batches by index.

    Args:
        spectrograms_db: Float16, shape [clip, mel, frame], in dB. Taken over, not copied, on a CPU.
        targets: Float32, shape [clip, target]: 1, 0 or NaN.
        normalisation: Of the training part.
        device: Where batches are needed.
        device_share: They lie on the device if they take no more than this share of its free memory.
    """

    def __init__(
        self,
        spectrograms_db: NDArray[np.float16],
        targets: NDArray[np.float32],
        normalisation: Normalisation,
        device: torch.device,
        device_share: float = 0.5,
    ) -> None:
        self.device = device
        self.normalisation = normalisation.to(device)
        self.wait_s = 0.0
        self._spectrograms = _place(torch.from_numpy(spectrograms_db), device, device_share)
        self._targets = torch.from_numpy(targets).to(device)

    def __len__(self) -> int:
        return len(self._targets)

    @property
    def shape(self) -> tuple[int, int]:
        """Mel bands and frames of one spectrogram."""
        return int(self._spectrograms.shape[1]), int(self._spectrograms.shape[2])

    @property
    def place(self) -> str:
        """Where the spectrograms lie."""
        return f"in {self._spectrograms.device.type} memory"

    def __call__(self, plan: Sequence[NDArray[np.int64]]) -> Iterator[Batch]:
        """Yield the batches of a plan. The seconds that the caller waits for them are added to `wait_s`."""
        for indices in plan:
            start = time.perf_counter()
            batch = self._batch(torch.from_numpy(indices))
            self.wait_s += time.perf_counter() - start
            yield batch

    def decibels(self, n_at_once: int = 1024) -> Iterator[Tensor]:
        """Yield all spectrograms in their order as they were given, float16 [clip, mel, frame] in dB, in blocks."""
        yield from self._spectrograms.split(n_at_once)

    def _batch(self, indices: Tensor) -> Batch:
        on_device = indices.to(self.device)
        if self._spectrograms.device.type == self.device.type:
            chosen = self._spectrograms.index_select(0, on_device)
        else:
            chosen = self._spectrograms.index_select(0, indices).pin_memory().to(self.device, non_blocking=True)
        return Batch(self.normalisation.apply(chosen), self._targets.index_select(0, on_device), on_device)


def _place(spectrograms: Tensor, device: torch.device, device_share: float) -> Tensor:
    if device.type != "cuda" or device_share == 0:
        return spectrograms
    n_bytes = spectrograms.numel() * spectrograms.element_size()
    free_bytes, _ = torch.cuda.mem_get_info(device)
    if n_bytes <= device_share * free_bytes:
        return spectrograms.to(device)
    _LOG.info(
        "spectrograms of %.1f GB stay in host memory: %.1f GB of the device are free", n_bytes / 1e9, free_bytes / 1e9
    )
    return spectrograms
