"""Which examples an epoch visits, in which order, cut into batches: a function of (seed, epoch) and of nothing else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from auscult.training.seeds import sample_order

Plan = list[NDArray[np.int64]]
"""The numbers of the examples of each batch."""


def cut_into_batches(order: NDArray[np.int64], batch_size: int) -> Plan:
    """Cut an order into as few batches as `batch_size` allows, their sizes equal or off by one.

    A last batch of a single clip would leave batch norm without a deviation.

    >>> [len(batch) for batch in cut_into_batches(np.arange(9), 8)]
    [5, 4]
    """
    return list(np.array_split(order, -(-len(order) // batch_size)))


def epoch_plan(n_examples: int, batch_size: int, *, seed: int, epoch: int, limit: int | None = None) -> Plan:
    """Return the batches of an epoch of training, at most `limit` of them."""
    return cut_into_batches(sample_order(n_examples, seed, epoch), batch_size)[:limit]


def plan_in_order(n_examples: int, batch_size: int) -> Plan:
    """Return batches in the examples' own order, for validation."""
    return cut_into_batches(np.arange(n_examples), batch_size)
