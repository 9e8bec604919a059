"""Label images as maps: for each pixel of a clip, whether it is in an object and whether near the edge of one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from auscult.datasets.event_maps import UNKNOWN
from auscult.images.decode import FIRST_OBJECT, TOO_HARD

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Maps = NDArray[np.int8]
    Flags = NDArray[np.bool_]


def object_maps(labels: NDArray[np.uint16], boundary_px: float) -> Maps:
    """Return the maps of label images: 1, 0 or `UNKNOWN`, shape [clip, 2, height, width]: objects, boundaries.

    A pixel is boundary up to `boundary_px` from the edge of an object, on both sides of it, be it against the
    background or another object. The edge lies between pixels, so that those beside it are half a pixel away. What was
    too hard to annotate is unknown; so are boundaries that may come from there.

    Args:
        labels: Shape [clip, height, width]: 0, 1 (too hard), objects from 2 on.
        boundary_px: At least 1.
    """
    maps = np.empty((len(labels), 2, *labels.shape[1:]), dtype=np.int8)
    for of_clip, image in zip(maps, labels, strict=True):
        is_hard = image == TOO_HARD
        near_edge = _within(_beside_edges(image), boundary_px)
        of_clip[0] = np.where(is_hard, UNKNOWN, image >= FIRST_OBJECT)
        of_clip[1] = near_edge
        of_clip[1][is_hard | (_within(is_hard, boundary_px + 0.5) & ~near_edge)] = UNKNOWN
    return maps


def _within(is_there: Flags, distance_px: float) -> Flags:
    """Return the pixels that are so near to one of `is_there`, itself half a pixel away."""
    if not is_there.any():
        return is_there
    distances_px = np.asarray(ndimage.distance_transform_edt(~is_there), dtype=np.float64)
    return distances_px + 0.5 <= distance_px


def _beside_edges(image: NDArray[np.uint16]) -> Flags:
    """Return the pixels that touch one of another value with a side, where one of both is an object's.

    Where an object borders on what was too hard to annotate nobody knows of an edge.
    """
    found = np.zeros(image.shape, dtype=bool)
    for one, other in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        a, b = image[one], image[other]
        is_edge = (a != b) & ((a >= FIRST_OBJECT) | (b >= FIRST_OBJECT)) & (a != TOO_HARD) & (b != TOO_HARD)
        found[one] |= is_edge
        found[other] |= is_edge
    return found


@dataclass(frozen=True)
class ClipObjects:
    """The objects of some pictures.

    Attributes:
        labels: Of each clip, shape [clip, height, width]: 0, 1 (too hard to annotate), objects from 2 on.
        recording_ids: Shape [clip].
        patient_ids: Shape [clip].
        boundary_px: Width of a boundary on each side of an edge.
    """

    labels: NDArray[np.uint16]
    recording_ids: NDArray[np.object_]
    patient_ids: NDArray[np.object_]
    boundary_px: float

    @classmethod
    def of(cls, clips: pd.DataFrame, labels: NDArray[np.uint16], boundary_px: float) -> ClipObjects:
        """Return the objects of clips, rows of `tables.CLIPS`, by their label images."""
        recordings, patients = (clips[name].to_numpy(dtype=object) for name in ("recording_id", "patient_id"))
        return cls(labels, recordings, patients, boundary_px)

    @classmethod
    def joined(cls, parts: Sequence[ClipObjects]) -> ClipObjects:
        """Return the clips of several datasets, one after the other."""
        names = ("labels", "recording_ids", "patient_ids")
        return replace(parts[0], **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def is_known(self) -> Flags:
        """Which clips have a pixel that is known, shape [clip]."""
        return (self.labels != TOO_HARD).any(axis=(1, 2))

    def take(self, clips: NDArray[np.integer] | Flags) -> ClipObjects:
        """Return some of the clips."""
        return ClipObjects(self.labels[clips], self.recording_ids[clips], self.patient_ids[clips], self.boundary_px)

    def maps(self) -> Maps:
        """Return the maps of the clips, as `object_maps`."""
        return object_maps(self.labels, self.boundary_px)

    def digest(self) -> bytes:
        """Return what changes when a label image or the width of a boundary does."""
        digest = hashlib.sha256(repr((self.boundary_px, self.labels.shape)).encode("utf-8"))
        digest.update(np.ascontiguousarray(self.labels, dtype="<u2").tobytes())
        return digest.digest()
