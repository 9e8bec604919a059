"""One seed a training, and from it an independent one for every purpose and epoch."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a derived seed is for. The numbers are part of what a seed means: never change one."""

    WEIGHTS = 0
    ORDER = 1
    DROPOUT = 2
    ADDED = 3


def derive_seed(seed: int, purpose: Purpose, epoch: int = 0) -> int:
    """Return a 63-bit seed that depends on its arguments alone.

    >>> derive_seed(0, Purpose.ORDER, 1) == derive_seed(0, Purpose.ORDER, 1)
    True
    >>> derive_seed(0, Purpose.ORDER, 1) == derive_seed(0, Purpose.DROPOUT, 1)
    False
    """
    words = np.random.SeedSequence(seed, spawn_key=(int(purpose), epoch)).generate_state(1, np.uint64)
    return int(words[0] >> np.uint64(1))


def sample_order(n_samples: int, seed: int, epoch: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the order in which `epoch` visits the samples: a function of (seed, epoch) and of nothing else."""
    return np.random.default_rng(derive_seed(seed, Purpose.ORDER, epoch)).permutation(n_samples)
