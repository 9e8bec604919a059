"""Batches read from the stores while the training goes on, for clips that do not fit into memory."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from auscult.models import Preparation

Read = Callable[[NDArray[np.int64]], NDArray[Any]]
"""Reads the examples of these numbers as their store holds them, shape [clip, ...]."""

_BATCHES_AHEAD = 4
"""That each worker reads ahead."""
_PR_SET_PDEATHSIG = 1
_HELD_BACK = (signal.SIGTERM, signal.SIGINT)


class StreamedBatches:
    """A part of the examples that stays on the disk.

    Args:
        read: Reads clips; called in the workers, each of which opens the stores for itself.
        n_examples: Of the part.
        preparation: What a batch goes through: the normalisation of the training part, or the waveforms' scale.
        device: Where batches are needed.
        workers: Processes that read; 0: this one reads.
    """

    def __init__(
        self, read: Read, n_examples: int, *, preparation: Preparation, device: torch.device, workers: int
    ) -> None:
        self.wait_s = 0.0
        self._read = read
        self._n_examples = n_examples
        self._preparation = preparation.to(device)
        self._device = device
        self._workers = workers

    def __len__(self) -> int:
        return self._n_examples

    @property
    def place(self) -> str:
        """Where the clips come from."""
        return f"streamed from the disk by {self._workers} workers"

    def __call__(self, plan: Sequence[NDArray[np.int64]]) -> Iterator[Tensor]:
        """Yield the batches of a plan. The seconds that the caller waits for them are added to `wait_s`."""
        start = time.perf_counter()
        for block in self._blocks(plan):
            batch = self._preparation.apply(block.to(self._device, non_blocking=True))
            self.wait_s += time.perf_counter() - start
            yield batch
            start = time.perf_counter()

    def stored(self, n_at_once: int = 1024) -> Iterator[Tensor]:
        """Yield all clips in their order as their store holds them, in blocks."""
        numbers = np.arange(len(self))
        yield from self._blocks([numbers[start : start + n_at_once] for start in range(0, len(self), n_at_once)])

    def _blocks(self, plan: Sequence[NDArray[np.int64]]) -> Iterator[Tensor]:
        """Start the workers on a plan and return an iterator over its clips."""
        n_workers = min(self._workers, len(plan))
        loader = DataLoader(
            _Blocks(self._read, plan),
            batch_size=None,
            num_workers=n_workers,
            prefetch_factor=_BATCHES_AHEAD if n_workers else None,
            pin_memory=self._device.type == "cuda",
            worker_init_fn=partial(_become_worker, os.getpid()),
            # Its own, though nothing is drawn: it would take a number from the generator of the layers.
            generator=torch.Generator(),
        )
        # Until a worker has left the process group a signal to the group would end it: it waits that long.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
        try:
            return iter(loader)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Blocks(Dataset[Tensor]):
    """The batches of a plan, by number."""

    def __init__(self, read: Read, plan: Sequence[NDArray[np.int64]]) -> None:
        self._read = read
        self._plan = plan

    def __len__(self) -> int:
        return len(self._plan)

    def __getitem__(self, number: int) -> Tensor:
        return torch.from_numpy(self._read(self._plan[number]))


def _become_worker(training: int, _: int) -> None:
    """Leave the process group: a signal to it must reach the training alone, which then ends its workers.

    Where the training is killed, the kernel ends the worker: one that waits for a reader of its batches would stay.
    """
    os.setpgrp()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != training:
            os._exit(1)  # it died before the kernel was asked
    # What came while the worker was started was meant for the group: ignored once, it is gone.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD_BACK)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
