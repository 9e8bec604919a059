"""Independent random generators by name: the draws of one recording never depend on those of another."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(seed: int, *names: str) -> np.random.Generator:
    """Return the generator that belongs to `names` under `seed`.

    Args:
        seed: The seed of the whole simulation, not negative.
        names: A path such as `("icbhi", "122", "1b1")`; every path has its own stream.

    >>> a, b = generator(1, "icbhi", "101"), generator(1, "icbhi", "102")
    >>> bool(a.random() == generator(1, "icbhi", "101").random()), bool(a.random() == b.random())
    (True, False)
    """
    keys = tuple(int.from_bytes(hashlib.sha256(name.encode("utf-8")).digest()[:4], "little") for name in names)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=keys))
