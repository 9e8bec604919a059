"""Objects in pictures: read from maps and told apart by their boundaries, paired with true ones, and scored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from auscult.config.objects import ObjectDecoding
from auscult.images.decode import FIRST_OBJECT, TOO_HARD
from auscult.metrics.events import EventCounts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Flags = NDArray[np.bool_]
    Integers = NDArray[np.int64]
    Labels = NDArray[np.uint16]
    Maps = NDArray[np.float32]

THRESHOLDS = tuple(np.linspace(0.1, 0.9, 17).round(2).tolist())
BOUNDARIES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
LEAST_SHARES = (0.05, 0.1, 0.25, 0.5)
"""Of the smallest true object's pixels: least sizes that are tried."""


def separate(maps: Maps, decoding: ObjectDecoding) -> Labels:
    """Return the objects of a clip as a label image: 0 background, from 2 on a value for each, shape [height, width].

    What is in an object and no boundary falls into connected pieces (pixels that touch with a side), each the core of
    an object. Pixels of boundaries go to the nearest core of their connected part of the object map; a part that is all
    boundary is one object.

    Args:
        maps: Probabilities of objects and boundaries, shape [2, height, width].
        decoding: The thresholds, and the least size.
    """
    is_object = maps[0] >= decoding.threshold
    parts, n_parts = _connected(is_object)
    if decoding.boundary is None or n_parts == 0:
        return _numbered(parts, decoding.least_px)
    cores, n_cores = _connected(is_object & (maps[1] < decoding.boundary))
    if n_cores == 0:
        return _numbered(parts, decoding.least_px)
    rows, columns = _nearest(cores > 0)
    nearest = np.where(is_object & (parts[rows, columns] == parts), cores[rows, columns], 0)
    # The nearest core may lie in another part: then only those of the own part are asked.
    for part in np.unique(parts[is_object & (nearest == 0)]):
        of_part = parts == part
        left = of_part & (nearest == 0)
        own = np.where(of_part, cores, 0)
        if not own.any():
            nearest[left] = n_cores + int(part)
            continue
        rows, columns = _nearest(own > 0)
        nearest[left] = own[rows, columns][left]
    return _numbered(nearest, decoding.least_px)


def _connected(is_there: Flags) -> tuple[Integers, int]:
    """Return connected pieces, numbered from 1, and how many there are."""
    found: Any = ndimage.label(is_there)
    return found[0].astype(np.int64), int(found[1])


def _nearest(is_there: Flags) -> tuple[Integers, Integers]:
    """Return row and column of the nearest pixel that is there, of each pixel."""
    found: Any = ndimage.distance_transform_edt(~is_there, return_distances=False, return_indices=True)
    return found[0], found[1]


def _numbered(pieces: NDArray[np.integer], least_px: int) -> Labels:
    """Return pieces numbered from 2 on without gaps; those of fewer pixels are left out."""
    sizes = np.bincount(pieces.ravel())
    kept = np.flatnonzero(sizes >= least_px)
    numbers = np.zeros(len(sizes), dtype=np.uint16)
    kept = kept[kept > 0]
    numbers[kept] = np.arange(len(kept)) + FIRST_OBJECT
    return numbers[pieces]


@dataclass(frozen=True)
class ObjectMatches:
    """Which true objects of a clip were found.

    Attributes:
        true: Their values in the label image, shape [true].
        partners: The value of each one's partner among the found, 0 without, shape [true].
        found: Values of the found objects that are judged, shape [found].
    """

    true: Integers
    partners: Integers
    found: Integers

    @property
    def n_hits(self) -> int:
        """Pairs."""
        return int((self.partners > 0).sum())


def match_objects(true: Labels, found: Labels, least_iou: float) -> ObjectMatches:
    """Pair true objects with found ones whose intersection over union is at least `least_iou`, as many as can be.

    What was too hard to annotate is taken off both sides. A found object without a partner, of which less than half is
    left, is not judged.

    Args:
        true: Label image: 0, 1 (too hard), objects from 2 on, shape [height, width].
        found: The same without 1.
        least_iou: From 0.5 on.
    """
    is_known = true != TOO_HARD
    sizes = np.bincount(found.ravel(), minlength=FIRST_OBJECT)
    a, b = true[is_known].astype(np.int64), found[is_known].astype(np.int64)
    width = len(sizes)
    n_true = int(a.max(initial=1)) + 1
    shared = np.bincount(a * width + b, minlength=n_true * width).reshape(n_true, width)
    of_true, of_found = shared.sum(axis=1), shared.sum(axis=0)
    trues = np.flatnonzero(of_true[FIRST_OBJECT:]) + FIRST_OBJECT
    founds = np.flatnonzero(of_found[FIRST_OBJECT:]) + FIRST_OBJECT
    both = shared[np.ix_(trues, founds)]
    union = of_true[trues][:, None] + of_found[founds][None, :] - both
    is_pair = both >= least_iou * union
    partners = np.zeros(len(trues), dtype=np.int64)
    if is_pair.any():
        at = maximum_bipartite_matching(csr_array(is_pair.astype(np.int8)), perm_type="column")
        partners[at >= 0] = founds[at[at >= 0]]
    is_judged = (2 * of_found >= sizes)[founds] | np.isin(founds, partners)
    return ObjectMatches(trues, partners, founds[is_judged])


def count_matches(matches: Iterable[ObjectMatches]) -> EventCounts:
    """Return hits, false alarms and misses of each clip, shape [clip, 1]."""
    rows = [(one.n_hits, len(one.found) - one.n_hits, len(one.true) - one.n_hits) for one in matches]
    tp, fp, fn = np.asarray(rows, dtype=np.float64).reshape(-1, 3).T[:, :, None]
    return EventCounts(tp, fp, fn, np.zeros(len(rows)))


def count_pixels(true: NDArray[np.int8], is_found: Flags) -> EventCounts:
    """Return hits, false alarms and misses of the known pixels of maps, shape [clip, 1].

    Args:
        true: 1, 0 or -1 for unknown, shape [clip, height, width].
        is_found: The same shape.
    """
    cells = (true == 1) & is_found, (true == 0) & is_found, (true == 1) & ~is_found
    tp, fp, fn = (cell.sum(axis=(1, 2), dtype=np.float64)[:, None] for cell in cells)
    return EventCounts(tp, fp, fn, np.zeros(len(true)))


def validation_scores(maps: Maps, true: NDArray[np.int8], labels: Labels, match_iou: float) -> dict[str, float | None]:
    """Return what a training may go by; thresholds are 0.5.

    Args:
        maps: Probabilities, shape [clip, 2, height, width].
        true: The maps to be learned, the same shape: 1, 0 or -1 for unknown.
        labels: The label images, shape [clip, height, width].
        match_iou: From which intersection over union on a found object is a true one.

    Returns:
        `object_iou` and `boundary_iou` of pixels, `object_f1` of objects told apart; None where nothing is true or
        found.
    """
    found: dict[str, float | None] = {}
    for channel, name in enumerate(("object_iou", "boundary_iou")):
        found[name] = _iou(count_pixels(true[:, channel], maps[:, channel] >= 0.5))
    return {**found, "object_f1": f1_of(maps, labels, ObjectDecoding(boundary=0.5), match_iou)}


def _iou(counts: EventCounts) -> float | None:
    tp, all_three = counts.tp.sum(), (counts.tp + counts.fp + counts.fn).sum()
    return float(tp / all_three) if all_three else None


def f1_of(maps: Maps, labels: Labels, decoding: ObjectDecoding, match_iou: float) -> float | None:
    """Return the F1 of objects told apart; None where there is no true one and none was found."""
    counts = count_matches(
        match_objects(true, separate(of_clip, decoding), match_iou) for true, of_clip in zip(labels, maps, strict=True)
    )
    tp, fp, fn = (float(part.sum()) for part in (counts.tp, counts.fp, counts.fn))
    return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else None


@dataclass(frozen=True)
class ChosenObjectDecoding:
    """What validation chose, and what it reaches there.

    Attributes:
        decoding: How objects are read from maps.
        f1: Of objects told apart; None where validation holds none.
        note: What must be known of the choice; empty where nothing.
    """

    decoding: ObjectDecoding
    f1: float | None
    note: str = ""


def choose_object_decoding(
    maps: Maps, true: NDArray[np.int8], labels: Labels, match_iou: float
) -> ChosenObjectDecoding:
    """Choose the threshold of highest IoU of pixels, then boundary and least size of highest F1 of objects.

    Of equals the one nearest to 0.5 is taken, then cutting over none, then the smaller least size.

    Args:
        maps: As of `validation_scores`; of the validation subset.
        true: As of `validation_scores`.
        labels: As of `validation_scores`.
        match_iou: As of `validation_scores`.
    """
    if not (labels >= FIRST_OBJECT).any():
        return ChosenObjectDecoding(ObjectDecoding(), None, "validation holds no object: thresholds of 0.5, no cutting")
    ious = [_iou(count_pixels(true[:, 0], maps[:, 0] >= cut)) or 0.0 for cut in THRESHOLDS]
    threshold = _nearest_best(THRESHOLDS, ious)

    def f1(boundary: float | None, least_px: int = 1) -> float:
        decoding = ObjectDecoding(threshold=threshold, boundary=boundary, least_px=least_px)
        return f1_of(maps, labels, decoding, match_iou) or 0.0

    scores = [f1(cut) for cut in BOUNDARIES]
    boundary: float | None = _nearest_best(BOUNDARIES, scores)
    boundary = None if f1(None) > max(scores) else boundary
    sizes = np.concatenate([np.bincount(image.ravel())[FIRST_OBJECT:] for image in labels])
    smallest = int(sizes[sizes > 0].min())
    leasts = {1, *(max(1, round(share * smallest)) for share in LEAST_SHARES)}
    # Of equals the first is taken, which is the smallest.
    least_px, best = max(((size, f1(boundary, size)) for size in sorted(leasts)), key=lambda pair: pair[1])
    return ChosenObjectDecoding(ObjectDecoding(threshold=threshold, boundary=boundary, least_px=least_px), best)


def _nearest_best(cuts: Sequence[float], scores: Sequence[float]) -> float:
    """Return the cut of the highest score; of equals the one nearest to 0.5."""
    return min(zip(cuts, scores, strict=True), key=lambda pair: (-pair[1], abs(pair[0] - 0.5)))[0]
