"""Pictures that are copies of one: encoded anew, resized, brighter, or hardly changed.

Fingerprints (`images.fingerprint`) of copies agree in nearly all bits of their hashes, and their shapes point nearly
the same way. All pairs are compared, for no order puts all copies beside each other. A copy that was cropped, turned
or mirrored is not found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from auscult.images.fingerprint import Looks, looks_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MAX_WRONG_BITS = 12
"""Of 64 bits of the hash; copies differ in up to 12, unlike pictures in 32 in the mean."""
MIN_COSINE = 0.98
"""Of two shapes: JPEG of quality 75 and half the size leave nearly all copies above it (docs/pictures.md), and of 1,797
written digits, 30 spectrograms and 24 photographs none is so close to another that has a like hash."""
_ROWS, _PAIRS = 64, 1 << 14
"""Compared at once."""


def groups_of_alike(fingerprints: Sequence[str | None]) -> NDArray[np.int64]:
    """Return a number for each picture, shape [picture]; copies of one, and copies of these, have the same.

    Time goes by the square of their number (16 s for 70,000 on one core), memory by their number.

    Args:
        fingerprints: One a picture; None is like no other.
    """
    known = np.array([number for number, text in enumerate(fingerprints) if text], dtype=np.int64)
    groups = np.arange(len(fingerprints), dtype=np.int64)
    if not len(known):
        return groups
    looks = looks_of([text for text in fingerprints if text])
    of_known = np.arange(len(known), dtype=np.int64)
    for start in range(0, len(known), _ROWS):
        wrong = np.bitwise_count(looks.hashes[start : start + _ROWS, None] ^ looks.hashes[None, start:])
        first, second = (places + start for places in np.nonzero(wrong <= MAX_WRONG_BITS))
        apart = (first < second) & (of_known[first] != of_known[second])
        first, second = first[apart], second[apart]
        alike = _point_one_way(looks, first, second)
        if alike.any():
            pairs = (of_known[first[alike]], of_known[second[alike]])
            joined = coo_array((np.ones(len(pairs[0]), np.int8), pairs), shape=(len(known), len(known)))
            of_known = connected_components(joined, directed=False)[1].astype(np.int64)[of_known]
    _, first_of, group = np.unique(of_known, return_index=True, return_inverse=True)
    groups[known] = known[first_of[group]]
    return groups


def _point_one_way(looks: Looks, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which pairs have shapes that point nearly the same way."""
    alike = np.zeros(len(first), dtype=bool)
    for start in range(0, len(first), _PAIRS):
        one, other = (looks.shapes[of[start : start + _PAIRS]].astype(np.float32) for of in (first, second))
        lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        alike[start : start + _PAIRS] = np.vecdot(one, other) >= MIN_COSINE * lengths
    return alike
