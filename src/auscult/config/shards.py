"""In how many jobs a collection is read: by its size, so that each takes a like time and there are never too many."""

from __future__ import annotations

import os
from functools import cache
from hashlib import blake2b
from pathlib import Path

SHARD_BYTES = 2 << 30
"""What one job reads, cuts and transforms in half a minute to a minute."""
FILE_BYTES = 256 << 10
"""A file costs as much as so many bytes of sound, however short it is."""
MOST_SHARDS = 128
N_SAMPLED = 256


@cache
def shards_by_size(root: Path) -> int:
    """Return a power of two: a collection that grows is divided anew only where it has doubled.

    Files are counted, not opened. The sizes of a fixed sample stand for all: thousands of questions to a network's disk
    would hold up every job of a cluster.

    Args:
        root: A folder, absolute; it is looked at once a process.
    """
    files = [f"{folder}/{name}" for folder, _, names in os.walk(root) for name in names]
    return shards_for(len(files), _mean_bytes(files, str(root)))


def shards_for(n_files: int, mean_bytes: float) -> int:
    """Return the shards of so many files of a mean size.

    >>> shards_for(900, 100e3), shards_for(20_000, 16e3), shards_for(20_000, 10e6), shards_for(10**7, 1e6)
    (1, 4, 128, 128)
    """
    needed = n_files * (mean_bytes + FILE_BYTES) / SHARD_BYTES
    count = 1
    while count < needed and count < MOST_SHARDS:
        count *= 2
    return count


def _mean_bytes(files: list[str], root: str) -> float:
    """Return the mean size of the files whose names come first by their digest: one file more changes little."""
    digests = sorted((blake2b(os.fsencode(path[len(root) :]), digest_size=8).digest(), path) for path in files)
    sampled = [Path(path) for _, path in digests[:N_SAMPLED]]
    sizes = [path.stat().st_size for path in sampled if path.is_file()]
    return sum(sizes) / len(sizes) if sizes else 0.0
