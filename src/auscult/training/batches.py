"""What the model receives: the clips of a subset from memory or from disk, prepared, in training augmented too."""

from __future__ import annotations

import ctypes
import logging
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from auscult.augment import Augmenter, BatchRows, EpochItems, ItemMaker
from auscult.config.train import BatchesSettings
from auscult.datasets.event_maps import ClipEvents
from auscult.datasets.object_maps import ClipObjects
from auscult.errors import ConfigError
from auscult.models import Preparation
from auscult.training.dataset import ClipDataset, StoredKind
from auscult.training.sampler import Sampler

logger = logging.getLogger(__name__)

Read = Callable[[NDArray[np.int64]], NDArray[Any]]
"""Reads the examples of these numbers as their store holds them, shape [clip, ...]."""

_BYTES_PER_VALUE = 2
_BATCHES_AHEAD = 4
"""That each worker reads ahead."""
_PR_SET_PDEATHSIG = 1
_BLOCKED_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Batches(Protocol):
    """Gives batches of a subset: a model's inputs, prepared, on the device.

    Attributes:
        wait_s: Seconds that the caller waited for batches so far.
    """

    wait_s: float

    def __len__(self) -> int:
        """Return the number of examples."""
        ...

    @property
    def residency(self) -> str:
        """Where the clips lie, for people."""
        ...

    def __call__(self, plan: Sequence[NDArray[np.int64]]) -> Iterator[Tensor]:
        """Yield the batches of a plan."""
        ...

    def stored(self, n_at_once: int = 1024) -> Iterator[Tensor]:
        """Yield all clips in their order as their store holds them, in blocks."""
        ...


class ResidentBatches:
    """A subset held in memory, cut into batches by index.

    Args:
        stored: As a store holds them: spectrograms in dB, float16 [clip, mel, frame], or waveforms, int16
            [clip, sample]. Taken over, not copied, on a CPU.
        preparation: What a batch goes through: the normalisation of the training subset, or the waveforms' scale.
        device: Where batches are needed.
        device_share: They go to the device if they take no more than this share of its free memory.
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
        self._stored = _to_device_if_it_fits(torch.from_numpy(stored), device, device_share)

    def __len__(self) -> int:
        return len(self._stored)

    @property
    def residency(self) -> str:
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


def _to_device_if_it_fits(stored: Tensor, device: torch.device, device_share: float) -> Tensor:
    if device.type != "cuda" or device_share == 0:
        return stored
    n_bytes = stored.numel() * stored.element_size()
    free_bytes, _ = torch.cuda.mem_get_info(device)
    if n_bytes <= device_share * free_bytes:
        return stored.to(device)
    logger.info("clips of %.1f GB stay in host memory: %.1f GB of the device are free", n_bytes / 1e9, free_bytes / 1e9)
    return stored


class StreamedBatches:
    """A subset that stays on the disk.

    Args:
        read: Reads clips; called in the workers, each of which opens the stores for itself.
        n_examples: Of the subset.
        preparation: What a batch goes through: the normalisation of the training subset, or the waveforms' scale.
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
    def residency(self) -> str:
        """Where the clips lie."""
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
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED_SIGNALS)
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
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _BLOCKED_SIGNALS)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@dataclass(frozen=True)
class Source:
    """What is read of a subset, and how.

    Attributes:
        indices: Of the dataset's clips.
        kind: What is read of each.
        preparation: What a batch goes through.
    """

    indices: NDArray[np.int64]
    kind: StoredKind
    preparation: Preparation


@dataclass(frozen=True)
class Subset:
    """One subset of the split, train or val.

    Attributes:
        batches: What the model takes of each clip.
        targets: Shape [clip, target]: 1, 0 or NaN.
        ids: Columns `clip_id`, `recording_id`, `patient_id`, one row a clip.
        events: Of a task that finds events: those of the clips.
        maps: Of a task that learns maps, shape [clip, channel, frame] or [clip, channel, band, frame], of pictures
            [clip, channel, height, width]: 1, 0 or -1 for unknown.
        objects: Of a task that finds objects: those of the clips.
    """

    batches: Batches
    targets: NDArray[np.float32]
    ids: pd.DataFrame
    events: ClipEvents | None = None
    maps: NDArray[np.int8] | None = None
    objects: ClipObjects | None = None

    def __len__(self) -> int:
        return len(self.batches)


@dataclass(frozen=True)
class TrainingData:
    """All that a training reads.

    Attributes:
        train: What it learns from.
        val: What it is validated on.
        sampler: Cuts the training subset into the batches of an epoch.
        augmentation: From a batch of it to logits.
    """

    train: Subset
    val: Subset
    sampler: Sampler
    augmentation: TrainingAugmentation


def is_streamed(dataset: ClipDataset, sources: Mapping[str, Source], settings: BatchesSettings) -> bool:
    """Return whether batches are streamed: by settings and size alone, the same on every machine."""
    n_values = sum(len(source.indices) * math.prod(dataset.stored_shape(source.kind)) for source in sources.values())
    return exceeds_memory(n_values, settings)


def exceeds_memory(n_values: int, settings: BatchesSettings) -> bool:
    """Return whether so many values are streamed.

    >>> exceeds_memory(1000 * 128 * 311, BatchesSettings(host_budget_mb=50))
    True
    """
    n_bytes = n_values * _BYTES_PER_VALUE
    return settings.place == "stream" or (settings.place == "auto" and n_bytes > settings.host_budget_mb * 1_000_000)


def open_batches(
    dataset: ClipDataset, sources: Mapping[str, Source], settings: BatchesSettings, device: torch.device
) -> dict[str, Batches]:
    """Return the batches of each subset.

    Args:
        dataset: Reads spectrograms and clips.
        sources: Subset -> what is read.
        settings: Where they lie, and the budget.
        device: Where batches are needed.

    Raises:
        ConfigError: `place: device` without a GPU.
    """
    if settings.place == "device" and device.type != "cuda":
        raise ConfigError(f"train.batches.place: device needs a GPU, and this training runs on {device}; use auto")
    if not is_streamed(dataset, sources, settings):
        share = {"device": 1.0, "host": 0.0}.get(settings.place, settings.device_share)
        return {
            subset: ResidentBatches(dataset.stored(source.kind, source.indices), source.preparation, device, share)
            for subset, source in sources.items()
        }
    return {
        subset: StreamedBatches(
            lambda rows, source=source: dataset.stored(source.kind, source.indices[rows]),
            len(source.indices),
            preparation=source.preparation,
            device=device,
            workers=settings.workers,
        )
        for subset, source in sources.items()
    }


def _as_handed(
    inputs: Tensor, change: Callable[[Tensor], Tensor] | None = None, **options: Any
) -> tuple[Tensor, dict[str, Any]]:
    return inputs, options if change is None else {**options, "change": change}


class TrainingAugmentation:
    """From what was read for a batch to logits, augmented.

    Args:
        maker: Chooses the items of an epoch.
        augmenter: Changes batches.
        to_spectrograms: From waveforms to normalised spectrograms; None where spectrograms are read, or the model has a
            front end.
        maps: Of a task that learns maps, those of each training clip, shape [clip, channel, ...], frames last.
    """

    def __init__(
        self,
        maker: ItemMaker,
        augmenter: Augmenter,
        to_spectrograms: Callable[[Tensor], Tensor] | None = None,
        maps: NDArray[np.int8] | None = None,
    ) -> None:
        self._maps = maps
        self._maker = maker
        self._augmenter = augmenter
        self._to_spectrograms = to_spectrograms
        self._epoch = 0
        self._items: EpochItems | None = None

    @property
    def n_added(self) -> int:
        """Items of an epoch that steps with a `quantity` add."""
        return self._maker.n_added

    def items(self, epoch: int) -> EpochItems:
        """Return what an epoch visits; a function of it alone."""
        if self._items is None or epoch != self._epoch:
            self._epoch, self._items = epoch, self._maker.epoch(epoch)
        return self._items

    def targets_of(self, items: NDArray[np.int64], epoch: int) -> NDArray[Any]:
        """Return what is to be learned of items, before what the steps on a batch move of it."""
        of_epoch = self.items(epoch)
        return of_epoch.targets[items] if self._maps is None else self._maps[of_epoch.clips[items]]

    def prepare(
        self, model: Any, batch: Tensor, rows: BatchRows, epoch: int
    ) -> tuple[Callable[[Tensor], Tensor], Tensor, Tensor]:
        """Return a model of inputs alone, the augmented inputs, and the targets, for a step that runs the model itself.

        Of a model with a front end, its spectrograms are augmented inside; their maps are not moved then.
        """
        (inputs, options), targets = cast("Any", self.run(_as_handed, batch, rows, epoch))
        return partial(model, **options), inputs, targets

    def run(self, model: Any, batch: Tensor, rows: BatchRows, epoch: int) -> tuple[Tensor, Tensor]:
        """Augment a batch, and what is to be learned of it, and run the model.

        Args:
            model: In training mode, as the fabric set it up.
            batch: Of the clips of `rows`: prepared spectrograms [row, mel, frame] or waveforms [row, sample].
            rows: What was read.
            epoch: From 1.

        Returns:
            Logits and targets, shape [item, target]; of a task that learns maps, of these [item, channel, ...].
        """
        options = {} if self._maps is None else {"as_maps": True}
        targets = torch.from_numpy(self.targets_of(rows.items, epoch)).to(batch.device, non_blocking=True)
        if not self._augmenter.settings.steps and self._to_spectrograms is None:
            return model(batch, **options), targets
        maps = None
        if self._maps is not None:
            maps = torch.from_numpy(self._maps[rows.clips]).to(batch.device, non_blocking=True)
            # Bands stay where they are: the steps on sound see them as further channels.
            maps = maps if batch.ndim == 4 else maps.flatten(1, -2)
        batch_of = self._augmenter.batch(self.items(epoch), rows, epoch, maps)
        if batch.ndim == 2:
            batch = batch_of.waveforms(batch)
        if batch.ndim == 4:
            logits = model(batch_of.pictures(batch), **options)
        elif batch.ndim == 2 and self._to_spectrograms is None:
            logits = model(batch, batch_of.spectrograms, **options)
        else:
            spectrograms = batch if self._to_spectrograms is None else self._to_spectrograms(batch)
            logits = model(batch_of.spectrograms(spectrograms), **options)
        return logits, targets if batch_of.maps is None else batch_of.maps.reshape(targets.shape)
