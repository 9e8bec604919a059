"""Which examples an epoch visits, in which order, cut into batches: a function of (seed, epoch) and of nothing else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from auscult.training.seeds import Purpose, derive_seed, sample_order

Plan = list[NDArray[np.int64]]
"""The numbers of the examples of each batch."""


def cut_into_batches(order: NDArray[np.int64], batch_size: int) -> Plan:
    """Cut an order into as few batches as `batch_size` allows, their sizes equal or off by one.

    A last batch of a single clip would leave batch norm without a deviation.

    >>> [len(batch) for batch in cut_into_batches(np.arange(9), 8)]
    [5, 4]
    """
    return list(np.array_split(order, -(-len(order) // batch_size)))


def epoch_plan(
    n_examples: int,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    balance: NDArray[np.int64] | None = None,
    window: int | None = None,
    limit: int | None = None,
    n_added: int = 0,
) -> Plan:
    """Return the batches of an epoch of training.

    Args:
        n_examples: Of the training part.
        batch_size: The largest batch.
        seed: Of the training.
        epoch: From 1.
        balance: As `answer_groups` returns it, for `balanced_order`; None: every example once.
        window: As in `windowed_order`, where the examples are streamed; None: any example may follow any other.
        limit: So many batches at most.
        n_added: Items that augmentation adds to the examples, numbered after them.
    """
    if balance is not None:
        order = balanced_order(balance, seed, epoch)
    elif window is not None:
        order = windowed_order(n_examples, window, seed, epoch)
    else:
        order = sample_order(n_examples, seed, epoch)
    if n_added:
        order = _with_added(order, n_examples, n_added, seed, epoch)
    return cut_into_batches(order, batch_size)[:limit]


def _with_added(order: NDArray[np.int64], n_examples: int, n_added: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Put added items between those of an order, which stay in theirs."""
    generator = np.random.default_rng(derive_seed(seed, Purpose.ADDED, epoch))
    added = generator.permutation(np.arange(n_examples, n_examples + n_added))
    is_added = np.zeros(len(order) + n_added, dtype=np.bool_)
    is_added[generator.choice(len(is_added), n_added, replace=False)] = True
    mixed = np.empty(len(is_added), dtype=np.int64)
    mixed[is_added], mixed[~is_added] = added, order
    return mixed


BLOCK_CLIPS = 64
"""Neighbours in a store that are read one after the other."""


def windowed_order(n_examples: int, window: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return an order that reads a store nearly in sequence: runs of neighbours mixed, and examples within windows.

    Args:
        n_examples: Of the training part.
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


def answer_groups(targets: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the number of each example's combination of answers, shape [example]; unknown is an answer like others.

    >>> answer_groups(np.array([[1, 0], [0, 0], [1, 0], [1, np.nan]], dtype=np.float32)).tolist()
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


def plan_in_order(n_examples: int, batch_size: int) -> Plan:
    """Return batches in the examples' own order, for validation."""
    return cut_into_batches(np.arange(n_examples), batch_size)
