"""Which examples an epoch visits, in which order, and the seeds: functions of (seed, epoch) and of nothing else."""

from __future__ import annotations

import random
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

BatchPlan = list[NDArray[np.int64]]
"""The numbers of the examples of each batch."""

BLOCK_CLIPS = 64
"""Neighbours in a store that are read one after the other."""

_NUMPY_SEEDS = 2**32


class Purpose(IntEnum):
    """What a derived seed is for. The numbers are part of what a seed means: never change one."""

    WEIGHTS = 0
    ORDER = 1
    DROPOUT = 2
    ADDED = 3
    PROBE = 4
    COPIES = 5


def derive_seed(seed: int, purpose: Purpose, epoch: int = 0) -> int:
    """Return a 63-bit seed that depends on its arguments alone.

    >>> derive_seed(0, Purpose.ORDER, 1) == derive_seed(0, Purpose.ORDER, 1)
    True
    >>> derive_seed(0, Purpose.ORDER, 1) == derive_seed(0, Purpose.DROPOUT, 1)
    False
    """
    words = np.random.SeedSequence(seed, spawn_key=(int(purpose), epoch)).generate_state(1, np.uint64)
    return int(words[0] >> np.uint64(1))


@dataclass(frozen=True)
class Sampler:
    """Cuts each epoch of a training into batches.

    Attributes:
        n_examples: Of the training subset.
        batch_size: The largest batch.
        seed: Of the training.
        label_groups: As `label_groups` returns them, for `balanced_order`; None: every example once.
        window: As in `windowed_order`, where the examples are streamed; None: any example may follow any other.
        limit: So many batches at most.
        n_added: Items that augmentation adds to the examples and their copies, numbered after them.
        n_copies: So often each example is visited: as many passes, one after the other, each in an order of its own.
            Example `e` has the number `copy x n_examples + e` in pass `copy`.
    """

    n_examples: int
    batch_size: int
    seed: int
    label_groups: NDArray[np.int64] | None = None
    window: int | None = None
    limit: int | None = None
    n_added: int = 0
    n_copies: int = 1

    def plan(self, epoch: int) -> BatchPlan:
        """Return the batches of an epoch, counted from 1."""
        order = np.concatenate([self._pass(copy, epoch) for copy in range(self.n_copies)])
        if self.n_added:
            order = self._with_added(order, epoch)
        return cut_into_batches(order, self.batch_size)[: self.limit]

    def _pass(self, copy: int, epoch: int) -> NDArray[np.int64]:
        """Return the order of one pass over the examples, as numbers of items."""
        seed = self.seed if copy == 0 else derive_seed(self.seed, Purpose.COPIES, copy)
        if self.label_groups is not None:
            order = balanced_order(self.label_groups, seed, epoch)
        elif self.window is not None:
            order = windowed_order(self.n_examples, self.window, seed, epoch)
        else:
            order = shuffled_order(self.n_examples, seed, epoch)
        return order + copy * self.n_examples

    def _with_added(self, order: NDArray[np.int64], epoch: int) -> NDArray[np.int64]:
        """Insert the added items at random places; the order of the others stays."""
        generator = np.random.default_rng(derive_seed(self.seed, Purpose.ADDED, epoch))
        first = self.n_examples * self.n_copies
        added = generator.permutation(np.arange(first, first + self.n_added))
        is_added = np.zeros(len(order) + self.n_added, dtype=np.bool_)
        is_added[generator.choice(len(is_added), self.n_added, replace=False)] = True
        mixed = np.empty(len(is_added), dtype=np.int64)
        mixed[is_added], mixed[~is_added] = added, order
        return mixed


def cut_into_batches(order: NDArray[np.int64], batch_size: int) -> BatchPlan:
    """Cut an order into as few batches as `batch_size` allows, their sizes equal or off by one.

    A last batch of a single clip would leave batch norm without a deviation.

    >>> [len(batch) for batch in cut_into_batches(np.arange(9), 8)]
    [5, 4]
    """
    return list(np.array_split(order, -(-len(order) // batch_size)))


def sequential_plan(n_examples: int, batch_size: int) -> BatchPlan:
    """Return batches in the examples' own order, for validation."""
    return cut_into_batches(np.arange(n_examples), batch_size)


def shuffled_order(n_examples: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return every example once, in random order."""
    return np.random.default_rng(derive_seed(seed, Purpose.ORDER, epoch)).permutation(n_examples)


def windowed_order(n_examples: int, window: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return an order that reads a store nearly in sequence: runs of neighbours mixed, and examples within windows.

    Args:
        n_examples: Of the training subset.
        window: So many examples that follow each other are mixed.
        seed: Of the training.
        epoch: From 1.

    >>> order = windowed_order(1000, window=128, seed=0, epoch=1)
    >>> sorted(order.tolist()) == list(range(1000))
    True
    >>> len(set((order[:128] // 64).tolist()))
    2
    """
    generator = np.random.default_rng(derive_seed(seed, Purpose.ORDER, epoch))
    starts = generator.permutation(np.arange(0, n_examples, BLOCK_CLIPS))
    in_blocks = np.concatenate([np.arange(start, min(start + BLOCK_CLIPS, n_examples)) for start in starts])
    windows = [in_blocks[start : start + window] for start in range(0, n_examples, window)]
    return np.concatenate([generator.permutation(part) for part in windows])


def label_groups(targets: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the number of each example's combination of labels, shape [example]; unknown is a label like others.

    >>> label_groups(np.array([[1, 0], [0, 0], [1, 0], [1, np.nan]], dtype=np.float32)).tolist()
    [2, 0, 2, 1]
    """
    _, groups = np.unique(np.nan_to_num(targets, nan=-1.0), axis=0, return_inverse=True)
    return groups.reshape(-1).astype(np.int64)


def balanced_order(groups: NDArray[np.int64], seed: int, epoch: int) -> NDArray[np.int64]:
    """Return as many examples as there are, each group equally often (or once more), in mixed order.

    Within a group each example comes once before any comes again.

    >>> groups = np.array([0] * 9 + [1] * 3)
    >>> order = balanced_order(groups, seed=0, epoch=1)
    >>> np.bincount(groups[order]).tolist(), sorted(order[groups[order] == 1].tolist())
    ([6, 6], [9, 9, 10, 10, 11, 11])
    """
    generator = np.random.default_rng(derive_seed(seed, Purpose.ORDER, epoch))
    members = [np.flatnonzero(groups == group) for group in range(int(groups.max()) + 1)]
    each, left = divmod(len(groups), len(members))
    once_more = set(generator.permutation(len(members))[:left].tolist())
    chosen: list[NDArray[np.int64]] = []
    for number, member in enumerate(members):
        n_wanted = each + (number in once_more)
        rounds = [generator.permutation(member) for _ in range(-(-n_wanted // len(member)))]
        chosen.append(np.concatenate([np.empty(0, dtype=np.int64), *rounds])[:n_wanted])
    return generator.permutation(np.concatenate(chosen))


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed torch (with `device`), Python and numpy's legacy generator, which a layer of any library may use."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % _NUMPY_SEEDS)  # noqa: NPY002 (the legacy one is meant)


def generator_state(device: torch.device) -> dict[str, Any]:
    """Return the state of all of them, in types that `torch.load(weights_only=True)` takes."""
    legacy: Any = np.random.get_state(legacy=False)  # noqa: NPY002
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "python": random.getstate(),
        "numpy": {
            "key": torch.from_numpy(legacy["state"]["key"].astype(np.int64)),
            "pos": int(legacy["state"]["pos"]),
            "has_gauss": int(legacy["has_gauss"]),
            "gauss": float(legacy["gauss"]),
        },
    }


def set_generator_state(state: dict[str, Any], device: torch.device) -> None:
    """Restore `generator_state`."""
    torch.set_rng_state(state["torch"])
    if device.type == "cuda" and state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"], device)
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    legacy = state["numpy"]
    key = legacy["key"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", key, legacy["pos"], legacy["has_gauss"], legacy["gauss"]))  # noqa: NPY002


@contextmanager
def kept_generators(device: torch.device) -> Generator[None]:
    """Restore the caller's generators after the block."""
    before = generator_state(device)
    try:
        yield
    finally:
        set_generator_state(before, device)
