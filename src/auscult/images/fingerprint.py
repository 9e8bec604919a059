"""What a picture looks like, in 352 characters: equal or nearly so for copies of it, whatever became of the file.

A perceptual hash (pHash, Zauner 2010: which of the 64 lowest coefficients of a cosine transform of the picture, 32 x 32
and grey, exceed their median), and behind it the 255 lowest coefficients themselves, each times its frequency, so that
what pictures of one kind share (a bright middle, a dark border) does not outweigh what tells them apart.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import scipy.fft
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SIDE_PX = 32
HASH_SIDE, SHAPE_SIDE = 8, 16
LEAST_SIDE_PX = 12
"""A smaller picture holds too little to tell copies from others."""
LEAST_STD = 1.0
"""Of brightness, from 0 to 255: a picture that is plain throughout looks like every other one."""
_FREQUENCIES = np.hypot(*np.mgrid[:SHAPE_SIDE, :SHAPE_SIDE])
_N_HASH_BYTES = HASH_SIDE**2 // 8


class Looks(NamedTuple):
    """Fingerprints in numbers: hashes, uint64 [picture], and shapes, int8 [picture, 255]."""

    hashes: NDArray[np.uint64]
    shapes: NDArray[np.int8]


def fingerprint_of(picture: Image.Image) -> str | None:
    """Return the fingerprint of a picture; None where it is too small or too plain.

    Args:
        picture: Grey, 8 bit (mode L) or of floats from 0 to 255 (mode F).
    """
    if min(picture.size) < LEAST_SIDE_PX:
        return None
    # BOX averages what becomes smaller; what becomes larger is interpolated.
    how = Image.Resampling.BOX if min(picture.size) >= SIDE_PX else Image.Resampling.BILINEAR
    values = np.asarray(picture.resize((SIDE_PX, SIDE_PX), how), dtype=np.float64)
    if values.std() < LEAST_STD:
        return None
    found = np.asarray(scipy.fft.dctn(values, norm="ortho"))
    low = found[:HASH_SIDE, :HASH_SIDE].ravel()
    bits = low > np.median(low[1:])
    shape = (found[:SHAPE_SIDE, :SHAPE_SIDE] * _FREQUENCIES).ravel()[1:]
    shape = np.round(127 * shape / np.abs(shape).max()).astype(np.int8)
    return base64.b64encode(np.packbits(bits).tobytes() + shape.tobytes()).decode("ascii")


def looks_of(fingerprints: Sequence[str]) -> Looks:
    """Return fingerprints in numbers."""
    n_bytes = _N_HASH_BYTES + SHAPE_SIDE**2 - 1
    joined = b"".join(base64.b64decode(text) for text in fingerprints)
    together = np.frombuffer(joined, dtype=np.uint8).reshape(len(fingerprints), n_bytes)
    hashes = np.ascontiguousarray(together[:, :_N_HASH_BYTES]).view("<u8")[:, 0].astype(np.uint64)
    return Looks(hashes, together[:, _N_HASH_BYTES:].view(np.int8))
