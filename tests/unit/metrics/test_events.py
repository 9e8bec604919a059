"""Scores of events against brute force: ticks instead of intervals, all matchings instead of an algorithm."""

from itertools import combinations, permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.config.events import Collars, IntersectionCriteria
from auscult.labels import Intervals, without_intervals
from auscult.metrics.events import (
    EventCounts,
    TrueEvents,
    count_cells,
    count_events,
    count_segments,
    score_estimates,
    score_values,
)
from auscult.metrics.intervals import resample_weights
from auscult.metrics.psds import count_intersections, psds_values

KINDS = ("crackle", "wheeze")
TICK_S = 0.1
N_TICKS = 16
N_RECORDINGS = 2
CELLS = N_RECORDINGS * len(KINDS)

Rows = list[tuple[int, int, int]]
"""Cell, first tick, end tick."""


def intervals(rows: Rows) -> Intervals:
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return Intervals(table[:, 0], table[:, 1] * TICK_S, table[:, 2] * TICK_S)


def known(events: Rows, unknown: Rows, n_recordings: int = N_RECORDINGS) -> TrueEvents:
    return TrueEvents(KINDS, np.full(n_recordings, N_TICKS * TICK_S), intervals(events), intervals(unknown))


@st.composite
def some_rows(draw: st.DrawFn, most: int = 5) -> Rows:
    """Intervals that do not touch others of their cell."""
    rows = draw(
        st.lists(st.tuples(st.integers(0, CELLS - 1), st.integers(0, N_TICKS - 1), st.integers(1, 6)), max_size=most)
    )
    kept: Rows = []
    for cell, start, length in rows:
        end = min(N_TICKS, start + length)
        if all(c != cell or end < s or start > e for c, s, e in kept):
            kept.append((cell, start, end))
    return kept


def runs(cell: int, ticks: set[int]) -> Rows:
    begins = sorted(tick for tick in ticks if tick - 1 not in ticks)
    return [(cell, begin, next(t for t in range(begin, N_TICKS + 1) if t not in ticks)) for begin in begins]


def cut(events: Rows, unknown: Rows) -> Rows:
    """Return the known parts of events, tick by tick."""
    found: Rows = []
    for cell, start, end in events:
        hidden = {tick for c, s, e in unknown if c == cell for tick in range(s, e)}
        found += runs(cell, set(range(start, end)) - hidden)
    return found


def is_scrap(row: tuple[int, int, int], unknown: Rows, collar_ticks: int) -> bool:
    cell, start, end = row
    return end - start <= collar_ticks and any(c == cell and (e == start or s == end) for c, s, e in unknown)


def most_pairs(first: Rows, second: Rows, fits) -> int:
    """Return the size of the largest matching, by trying all."""
    first, second = (first, second) if len(first) <= len(second) else (second, first)
    return max(
        sum(fits(a, b) or fits(b, a) for a, b in zip(first, chosen, strict=True))
        for chosen in permutations(second, len(first))
    )


ONSET, OFFSET, SHARE = 2, 1, 0.5
COLLARS = Collars(onset_s=ONSET * TICK_S, offset_s=OFFSET * TICK_S, offset_share=SHARE)


@settings(max_examples=300, deadline=None)
@given(some_rows(), some_rows(), some_rows(2))
def test_counts_are_those_of_all_matchings(true: Rows, found: Rows, unknown: Rows) -> None:
    counts = count_events(known(true, unknown), intervals(found), COLLARS)
    true, found = cut(true, unknown), cut(found, unknown)

    def fits(a: tuple[str, int, int, int], b: tuple[str, int, int, int]) -> bool:
        return (
            (a[0], b[0]) == ("true", "found")
            and abs(a[2] - b[2]) <= ONSET
            and abs(a[3] - b[3]) <= max(OFFSET, SHARE * (a[3] - a[2]))
        )

    for cell in range(CELLS):
        ours = [("true", *row) for row in true if row[0] == cell]
        theirs = [("found", *row) for row in found if row[0] == cell]
        recording, kind = divmod(cell, len(KINDS))
        tp = most_pairs(ours, theirs, fits)
        assert counts.tp[recording, kind] == tp
        # What may be left out is only what has no partner; which of several stays without one is open.
        for rows, wrong in ((ours, counts.fn), (theirs, counts.fp)):
            n_scraps = sum(is_scrap(row[1:], unknown, ONSET) for row in rows)
            assert len(rows) - tp - n_scraps <= wrong[recording, kind] <= len(rows) - tp
            if not n_scraps:
                assert wrong[recording, kind] == len(rows) - tp


@settings(max_examples=200, deadline=None)
@given(some_rows(), some_rows())
def test_substitutions_are_pairs_of_what_is_left(true: Rows, found: Rows) -> None:
    counts = count_events(known(true, []), intervals(found), COLLARS)
    for recording in range(N_RECORDINGS):
        ours, theirs = ([row for row in rows if row[0] // len(KINDS) == recording] for rows in (true, found))

        def fits(a: tuple[int, int, int], b: tuple[int, int, int]) -> bool:
            return abs(a[1] - b[1]) <= ONSET and abs(a[2] - b[2]) <= max(OFFSET, SHARE * (a[2] - a[1]))

        n_hits = int(counts.tp[recording].sum())
        allowed = {
            largest(
                [a for n, a in enumerate(ours) if n not in used],
                [b for n, b in enumerate(theirs) if n not in taken],
                fits,
            )
            for used, taken in matchings(ours, theirs, fits, n_hits)
        }
        assert counts.substitutions[recording] in allowed


def matchings(ours: Rows, theirs: Rows, fits, size: int):
    """Yield who is used in each matching of equal kinds of this size."""
    pairs = [(n, m) for (n, a), (m, b) in product(enumerate(ours), enumerate(theirs)) if a[0] == b[0] and fits(a, b)]
    for chosen in combinations(pairs, size):
        used, taken = {n for n, _ in chosen}, {m for _, m in chosen}
        if len(used) == len(taken) == size:
            yield used, taken


def largest(ours: Rows, theirs: Rows, fits) -> int:
    pairs = list(product(range(len(ours)), range(len(theirs))))
    pairs = [(n, m) for n, m in pairs if fits(ours[n], theirs[m])]
    for size in range(min(len(ours), len(theirs)), 0, -1):
        for chosen in combinations(pairs, size):
            if len({n for n, _ in chosen}) == len({m for _, m in chosen}) == size:
                return size
    return 0


@settings(max_examples=200, deadline=None)
@given(some_rows(), some_rows(), some_rows(2), st.sampled_from([2, 4, 5]))
def test_segments_are_those_of_ticks(true: Rows, found: Rows, unknown: Rows, ticks: int) -> None:
    counts = count_segments(known(true, unknown), intervals(found), ticks * TICK_S)
    expected = np.zeros((3, N_RECORDINGS, len(KINDS)))
    substitutions = np.zeros(N_RECORDINGS)
    true, found = cut(true, unknown), cut(found, unknown)
    for recording, begin in product(range(N_RECORDINGS), range(0, N_TICKS, ticks)):
        wrong = [0, 0]
        for kind in range(len(KINDS)):
            cell = recording * len(KINDS) + kind
            segment = set(range(begin, min(begin + ticks, N_TICKS)))
            hidden = {tick for c, s, e in unknown if c == cell for tick in range(s, e)}
            if segment <= hidden:
                continue
            is_true, is_found = (
                any(c == cell and segment & set(range(s, e)) for c, s, e in rows) for rows in (true, found)
            )
            expected[:, recording, kind] += (is_true and is_found, is_found > is_true, is_true > is_found)
            wrong[0] += is_found > is_true
            wrong[1] += is_true > is_found
        substitutions[recording] += min(wrong)
    assert np.array_equal(np.stack([counts.tp, counts.fp, counts.fn]), expected)
    assert counts.substitutions.tolist() == substitutions.tolist()


CRITERIA = IntersectionCriteria(
    detection=0.5, truth=0.5, cross_trigger=0.3, cross_trigger_weight=0.5, instability_weight=1
)


@settings(max_examples=150, deadline=None)
@given(some_rows(), some_rows(), some_rows(3), some_rows())
def test_what_is_found_in_unknown_stretches_changes_nothing(
    true: Rows, found: Rows, unknown: Rows, noise: Rows
) -> None:
    truth = known(true, unknown)
    hidden = intervals(unknown)
    # Other events in the unknown stretches, whatever there was.
    made_up = [
        (cell, max(s, start), min(e, end))
        for (cell, start, end), (c, s, e) in product(noise, unknown)
        if c == cell and max(s, start) < min(e, end)
    ]
    kept = without_intervals(intervals(found), hidden)
    other = intervals(made_up)
    changed = Intervals(
        *(np.concatenate([getattr(kept, name), getattr(other, name)]) for name in ("rows", "starts", "ends"))
    )
    before, after = intervals(found), changed
    for count in (lambda rows: count_events(truth, rows, COLLARS), lambda rows: count_segments(truth, rows, 0.4)):
        for first, second in zip(vars(count(before)).values(), vars(count(after)).values(), strict=True):
            assert np.array_equal(first, second)
    first, second = (count_intersections(truth, [rows], CRITERIA) for rows in (before, after))
    assert all(np.array_equal(a, b) for a, b in zip(vars(first).values(), vars(second).values(), strict=True))


@settings(max_examples=100, deadline=None)
@given(some_rows(), some_rows(), some_rows(2))
def test_a_patient_drawn_twice_counts_like_two_copies(true: Rows, found: Rows, unknown: Rows) -> None:
    def doubled(rows: Rows) -> Rows:
        shift = N_RECORDINGS * len(KINDS)
        copies = [(cell + shift, start, end) for cell, start, end in rows if cell < len(KINDS)]
        return [*rows, *copies]

    weights = np.array([[2], [1]], dtype=np.float32)
    patients, copies = np.array([0, 1]), np.array([0, 1, 0])
    ones = np.ones((2, 1), dtype=np.float32)
    twice = known(doubled(true), doubled(unknown), 3)
    counts = count_events(known(true, unknown), intervals(found), COLLARS)
    of_copies = count_events(twice, intervals(doubled(found)), COLLARS)
    for first, second in zip(
        vars(counts.summed(patients, weights)).values(), vars(of_copies.summed(copies, ones)).values(), strict=True
    ):
        assert np.array_equal(first, second)
    areas = [
        psds_values(count_intersections(truth, [intervals(rows)], CRITERIA), *of_whom, CRITERIA)
        for truth, rows, of_whom in (
            (known(true, unknown), found, (patients, weights)),
            (twice, doubled(found), (copies, ones)),
        )
    ]
    np.testing.assert_allclose(*areas, rtol=1e-12)


def everybody(counts: EventCounts) -> dict[str, dict[str, float]]:
    values = score_values(
        counts.summed(np.zeros(N_RECORDINGS, dtype=np.int64), np.ones((1, 1), dtype=np.float32)), KINDS, with_iou=True
    )
    return {view: {name: float(value[0]) for name, value in scores.items()} for view, scores in values.items()}


@pytest.mark.parametrize("count", [lambda t, f: count_events(t, f, COLLARS), lambda t, f: count_segments(t, f, 0.4)])
def test_scores_of_nothing_one_and_all(count) -> None:
    one: Rows = [(0, 2, 5)]
    every: Rows = [(cell, 0, N_TICKS) for cell in range(CELLS)]
    nothing = everybody(count(known([], []), intervals([])))
    assert all(np.isnan(value) for scores in nothing.values() for value in scores.values())
    right = everybody(count(known(every, []), intervals(every)))
    assert all(value == (0 if name == "error_rate" else 1) for s in right.values() for name, value in s.items())
    missed = everybody(count(known(one, []), intervals([])))["crackle"]
    assert np.isnan(missed.pop("precision"))
    assert missed == {"recall": 0, "f1": 0, "error_rate": 1, "iou": 0}
    made_up = everybody(count(known([], []), intervals(one)))["crackle"]
    assert np.isnan(made_up.pop("recall"))
    assert np.isnan(made_up.pop("error_rate"))
    assert made_up == {"precision": 0, "f1": 0, "iou": 0}
    masked = everybody(count(known(one, every), intervals([(1, 3, 7)])))
    assert all(np.isnan(value) for scores in masked.values() for value in scores.values())


def test_another_kind_at_the_same_time_is_one_error_and_not_two() -> None:
    scores = everybody(count_events(known([(0, 2, 6)], []), intervals([(1, 2, 6)]), COLLARS))
    assert (scores["micro"]["error_rate"], scores["micro"]["f1"]) == (1, 0)


def test_a_short_rest_at_the_edge_of_an_unknown_stretch_is_no_false_alarm() -> None:
    truth = known([(0, 4, 8)], [(0, 4, 8)])
    assert count_events(truth, intervals([(0, 4, 10)]), COLLARS).fp.sum() == 0
    assert count_events(truth, intervals([(0, 4, 11)]), COLLARS).fp.sum() == 1


def test_an_undefined_score_says_why() -> None:
    counts = count_events(known([(0, 2, 6)], []), intervals([(0, 2, 6)]), COLLARS)
    found = score_estimates(counts, KINDS, np.array([0, 1]), np.ones((2, 1), dtype=np.float32))
    assert found["wheeze"]["recall"]["value"] is None
    assert found["wheeze"]["recall"]["reason"] == "there is no true one"
    assert found["macro"]["recall"]["reason"] == "there is no true one of wheeze"
    assert found["crackle"]["recall"]["value"] == 1


def test_intervals_are_over_patients_with_events() -> None:
    rng = np.random.default_rng(5)
    n = 40
    true: Rows = [(2 * recording, 2, 6) for recording in range(n)]
    found = [row for row in true if rng.uniform() < 0.7]
    counts = count_events(known(true, [], n), intervals(found), COLLARS)
    weights = resample_weights(n, 500, rng)
    estimate = score_estimates(counts, KINDS, np.arange(n), weights)["crackle"]["recall"]
    assert estimate["value"] == pytest.approx(len(found) / n)
    assert estimate["low"] < estimate["value"] < estimate["high"]
    few = score_estimates(counts, KINDS, np.minimum(np.arange(n), 4), weights[:5])["crackle"]["recall"]
    assert few["reason"] == "5 patients with a true event, at least 10 are needed"


def test_false_alarms_in_other_patients_lend_a_recall_no_support() -> None:
    n = 30
    true: Rows = [(2 * recording, 2, 6) for recording in range(4)]
    found: Rows = [(2 * recording, 2, 6) for recording in (0, 1, *range(4, n))]
    counts = count_events(known(true, [], n), intervals(found), COLLARS)
    weights = resample_weights(n, 300, np.random.default_rng(3))
    scores = score_estimates(counts, KINDS, np.arange(n), weights)["crackle"]
    for name in ("recall", "f1", "error_rate"):
        assert scores[name]["reason"] == "4 patients with a true event, at least 10 are needed"
    assert scores["precision"]["low"] is not None


def test_the_interval_of_an_error_rate_does_not_go_below_zero() -> None:
    n = 12
    true: Rows = [(2 * recording, 2, 6) for recording in range(n)]
    found: Rows = [*true[:-1], *((0, start, start + 1) for start in (8, 10, 12, 14))]
    counts = count_events(known(true, [], n), intervals(found), COLLARS)
    weights = resample_weights(n, 300, np.random.default_rng(3))
    scores = score_estimates(counts, KINDS, np.arange(n), weights)["crackle"]
    assert scores["error_rate"]["low"] == 0
    assert scores["error_rate"]["high"] > scores["error_rate"]["value"] > 0


def test_cells_of_maps_are_counted_where_they_are_known() -> None:
    rng = np.random.default_rng(2)
    true, found, is_known = ([rng.uniform(size=(2, 3, 7)) < 0.5, rng.uniform(size=(2, 3, 4)) < 0.5] for _ in range(3))
    counts = count_cells(true, found, is_known)
    for recording, kind in product(range(2), range(2)):
        at = is_known[recording][kind]
        a, b = true[recording][kind][at], found[recording][kind][at]
        expected = (np.sum(a & b), np.sum(~a & b), np.sum(a & ~b))
        assert (counts.tp[recording, kind], counts.fp[recording, kind], counts.fn[recording, kind]) == expected
    sums = counts.tp.sum(axis=0)
    iou = everybody(counts)["crackle"]["iou"]
    assert iou == pytest.approx(sums[0] / (sums[0] + counts.fp[:, 0].sum() + counts.fn[:, 0].sum()))
