"""Objects are told apart by boundaries, paired one to one, and what was too hard to annotate counts for nothing."""

import numpy as np
import pytest
from scipy import ndimage

from auscult.config.objects import ObjectDecoding
from auscult.datasets.object_maps import ClipObjects, object_maps
from auscult.metrics.objects import (
    choose_object_decoding,
    count_matches,
    count_pixels,
    match_objects,
    separate,
    validation_scores,
)

SIZE = 48


def discs(*circles, hard=None):
    """A label image of circles (row, column, radius), numbered from 2; earlier ones lie above."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    labels = np.zeros((SIZE, SIZE), dtype=np.uint16)
    for number, (row, column, radius) in enumerate(circles, start=2):
        labels[((rows - row) ** 2 + (columns - column) ** 2 <= radius**2) & (labels == 0)] = number
    if hard is not None:
        labels[hard] = 1
    return labels


TOUCHING = discs((16, 14, 7), (16, 28, 7), (38, 20, 6))


def perfect(labels, boundary_px=2.0):
    return (object_maps(labels[None], boundary_px)[0] == 1).astype(np.float32)


def test_boundaries_lie_on_both_sides_of_every_edge() -> None:
    labels = np.zeros((1, 7, 9), dtype=np.uint16)
    labels[0, :, 3:6], labels[0, :, 6:] = 2, 3
    narrow, wide = object_maps(labels, 1.0)[0], object_maps(labels, 2.0)[0]
    assert narrow[0].tolist() == [[0, 0, 0, 1, 1, 1, 1, 1, 1]] * 7
    assert narrow[1].tolist() == [[0, 0, 1, 1, 0, 1, 1, 0, 0]] * 7
    assert wide[1].tolist() == [[0, 1, 1, 1, 1, 1, 1, 1, 0]] * 7


def test_what_was_too_hard_is_unknown_and_so_is_an_edge_that_it_may_hide() -> None:
    labels = np.zeros((1, 5, 12), dtype=np.uint16)
    labels[0, :, 2:5], labels[0, :, 5:8] = 2, 1
    objects, boundaries = object_maps(labels, 1.0)[0]
    assert objects[2].tolist() == [0, 0, 1, 1, 1, -1, -1, -1, 0, 0, 0, 0]
    assert boundaries[2].tolist() == [0, 1, 1, 0, -1, -1, -1, -1, -1, 0, 0, 0]


def test_touching_objects_are_one_without_boundaries_and_apart_with_them() -> None:
    maps = perfect(TOUCHING)
    assert separate(maps, ObjectDecoding()).max() - 1 == 2
    found = separate(maps, ObjectDecoding(boundary=0.5))
    assert found.max() - 1 == 3
    # Every pixel of the object map goes to one object, and all but some along the border to the right one.
    assert ((found > 0) == (maps[0] >= 0.5)).all()
    matches = match_objects(TOUCHING, found, 0.95)
    assert matches.n_hits == 3


def test_pixels_go_to_the_nearest_core_of_their_own_part_and_a_part_of_boundary_alone_is_an_object() -> None:
    maps = np.zeros((2, 9, 20), dtype=np.float32)
    maps[0, 1:4, 1:8] = maps[0, 5:8, 1:4] = maps[0, 1:8, 12:19] = 1
    maps[1, 1:4, 4:8] = 1  # of the first part a core is left
    maps[1, 5:8, 1:4] = 1  # of the second none
    found = separate(maps, ObjectDecoding(boundary=0.5))
    assert len(np.unique(found[found > 0])) == 3
    for part in ndimage.find_objects(ndimage.label(maps[0])[0]):
        assert len(np.unique(found[part])) == 1


def test_small_pieces_are_none_and_maps_of_nothing_hold_nothing() -> None:
    maps = perfect(discs((10, 10, 2), (30, 30, 8)))
    assert separate(maps, ObjectDecoding(least_px=20)).max() == 2
    assert separate(np.zeros((2, 5, 5), np.float32), ObjectDecoding(boundary=0.5)).max() == 0


def iou_by_hand(true, found, a, b):
    known = true != 1
    one, other = (true == a) & known, (found == b) & known
    return (one & other).sum() / (one | other).sum()


@pytest.mark.parametrize("seed", range(20))
def test_pairs_are_those_of_all_pairs_tried(seed: int) -> None:
    rng = np.random.default_rng(seed)
    circles = [(*rng.uniform(6, SIZE - 6, 2), rng.uniform(3, 8)) for _ in range(6)]
    moved = [(row + rng.normal(0, 1.5), column + rng.normal(0, 1.5), radius) for row, column, radius in circles[1:]]
    true, found = discs(*circles, hard=np.s_[:12, :20]), discs(*moved, (20, 40, 4))
    matches = match_objects(true, found, 0.5)
    pairs = {
        (a, b)
        for a in np.unique(true[true > 1])
        for b in np.unique(found[found > 1])
        if iou_by_hand(true, found, a, b) >= 0.5
    }
    # Above one half no object has two partners.
    assert {(a, b) for a, b in zip(matches.true, matches.partners, strict=True) if b} == pairs
    hits = {b for _, b in pairs}
    judged = [
        b
        for b in np.unique(found[found > 1])
        if b in hits or ((found == b) & (true != 1)).sum() * 2 >= (found == b).sum()
    ]
    assert matches.found.tolist() == judged
    counts = count_matches([matches])
    assert [counts.tp[0, 0], counts.fp[0, 0], counts.fn[0, 0]] == [
        len(pairs),
        len(judged) - len(pairs),
        len(np.unique(true[true > 1])) - len(pairs),
    ]


def test_what_is_found_where_it_was_too_hard_to_annotate_changes_no_score() -> None:
    true = discs((12, 12, 6), (34, 34, 6), hard=np.s_[:20, 26:])
    found = discs((12, 12, 6), (34, 34, 6))
    noise = found.copy()
    noise[:20, 26:] = np.random.default_rng(0).integers(2, 9, (20, 22))
    maps = object_maps(true[None], 2.0)
    for one in (found, noise):
        matches = match_objects(true, one, 0.5)
        assert (matches.n_hits, len(matches.found), len(matches.true)) == (2, 2, 2)
        pixels = count_pixels(maps[:, 0], (one > 1)[None])
        assert (pixels.fp.sum(), pixels.fn.sum()) == (0, 0)


def test_validation_chooses_what_tells_objects_apart_and_says_where_it_cannot() -> None:
    labels = np.stack([TOUCHING, discs((20, 20, 9))])
    true = object_maps(labels, 2.0)
    # Probabilities that are right, but low; specks of noise that are no objects.
    maps = 0.1 + 0.25 * (true == 1).astype(np.float32)
    maps[1, 0, 44:46, 44:46] = 0.9
    chosen = choose_object_decoding(maps, true, labels, 0.5)
    assert chosen.f1 == 1.0
    assert 0.1 < chosen.decoding.threshold <= 0.35
    assert chosen.decoding.boundary is not None
    assert chosen.decoding.least_px > 4
    nothing = choose_object_decoding(maps[:1] * 0, true[:1] * 0, labels[:1] * 0, 0.5)
    assert nothing.f1 is None
    assert "no object" in nothing.note


def test_scores_of_validation_are_one_for_what_is_right_and_undefined_for_nothing() -> None:
    labels = TOUCHING[None]
    true = object_maps(labels, 2.0)
    right = validation_scores((true == 1).astype(np.float32), true, labels, 0.5)
    assert right == {"object_iou": 1.0, "boundary_iou": 1.0, "object_f1": 1.0}
    none = validation_scores(np.zeros((1, 2, SIZE, SIZE), np.float32), true * 0, labels * 0, 0.5)
    assert set(none.values()) == {None}


def test_the_digest_of_objects_changes_with_a_pixel_and_with_the_width_of_a_boundary() -> None:
    ids = np.array(["a"], dtype=object)
    digests = {
        ClipObjects(labels, ids, ids, width).digest()
        for labels in (TOUCHING[None], np.where(np.arange(SIZE) == 14, 0, TOUCHING)[None])
        for width in (1.0, 2.0)
    }
    assert len(digests) == 4
