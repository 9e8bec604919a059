"""Events found against true events: counts of each recording first, then the scores that sums of counts give.

Three ways to count. By events: one true event and one found are a hit where they begin and end together, within
collars, and each counts once (Mesaros, Heittola and Virtanen 2016, Metrics for polyphonic sound event detection,
Applied Sciences 6:162). By segments: each stretch of a grid is judged by itself. By cells: each frame (or frame and
band) of a map.

What is unknown counts neither as hit, nor as miss, nor as false alarm: all events are cut down to their known parts
before anything is compared, so nothing that happens in an unknown stretch changes a score.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from auscult.labels import ROUNDING_S, Intervals, merge_intervals, overlaps, without_intervals
from auscult.metrics.intervals import estimate
from auscult.metrics.rates import ratio
from auscult.metrics.score_intervals import Estimate, undefined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from auscult.config.events import Collars

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Flags = NDArray[np.bool_]

MICRO, MACRO = "micro", "macro"


@dataclass(frozen=True)
class TrueEvents:
    """What is known of some recordings.

    The rows of all intervals are cells, `recording x len(kinds) + kind`: a recording's row, a kind's place.

    Attributes:
        kinds: Their names, in order.
        durations_s: Of each recording, shape [recording].
        events: The true events.
        unknown: Where it is not known whether there is an event; may overlap one another.
    """

    kinds: tuple[str, ...]
    durations_s: Floats
    events: Intervals
    unknown: Intervals

    @property
    def n_cells(self) -> int:
        """Pairs of recording and kind."""
        return len(self.durations_s) * len(self.kinds)

    def take(self, recordings: Integers) -> TrueEvents:
        """Return what is known of some recordings, in this order; each may be named once."""
        n_kinds = len(self.kinds)
        places = np.full(len(self.durations_s), -1)
        places[recordings] = np.arange(len(recordings))

        def of_these(intervals: Intervals) -> Intervals:
            kept = intervals.take(places[intervals.rows // n_kinds] >= 0)
            cells = places[kept.rows // n_kinds] * n_kinds + kept.rows % n_kinds
            return Intervals(cells, kept.starts, kept.ends)

        return TrueEvents(self.kinds, self.durations_s[recordings], of_these(self.events), of_these(self.unknown))

    def known_s(self) -> Floats:
        """Return how long each recording is known, shape [recording, kind]."""
        whole = Intervals(np.arange(self.n_cells), np.zeros(self.n_cells), np.repeat(self.durations_s, len(self.kinds)))
        parts = without_intervals(whole, self.unknown)
        return seconds_of(parts, self)


@dataclass(frozen=True)
class EventCounts:
    """Hits, false alarms and misses.

    Attributes:
        tp: Shape [recording, kind], or, once summed, [weighting, kind].
        fp: The same shape.
        fn: The same shape.
        substitutions: Pairs of a miss and a false alarm that differ in kind alone, shape [recording] or [weighting].
    """

    tp: Floats
    fp: Floats
    fn: Floats
    substitutions: Floats

    @classmethod
    def joined(cls, parts: Sequence[EventCounts]) -> EventCounts:
        """Return the counts of several sets of recordings, one after the other."""
        names = ("tp", "fp", "fn", "substitutions")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def take(self, recordings: NDArray[np.integer] | Flags) -> EventCounts:
        """Return the counts of some recordings."""
        return EventCounts(*(part[recordings] for part in (self.tp, self.fp, self.fn, self.substitutions)))

    def summed(self, patients: Integers, weights: NDArray[np.float32]) -> EventCounts:
        """Return the sums of each weighting of patients.

        Args:
            patients: The row of `weights` of each recording, shape [recording].
            weights: Shape [patient, weighting], from `intervals.resample_weights`.
        """
        by_recording = weights[patients].T.astype(np.float64)
        tp, fp, fn = (by_recording @ counts for counts in (self.tp, self.fp, self.fn))
        return EventCounts(tp, fp, fn, by_recording @ self.substitutions)


def per_cell(rows: Integers, truth: TrueEvents) -> Floats:
    """Return how many of `rows` each recording and kind has, shape [recording, kind]."""
    return np.bincount(rows, minlength=truth.n_cells).reshape(-1, len(truth.kinds)).astype(np.float64)


def seconds_of(parts: Intervals, truth: TrueEvents) -> Floats:
    """Return how long each recording's intervals of each kind are together, shape [recording, kind]."""
    seconds = np.bincount(parts.rows, weights=parts.ends - parts.starts, minlength=truth.n_cells)
    return seconds.astype(np.float64).reshape(-1, len(truth.kinds))


@dataclass(frozen=True)
class EventMatches:
    """Which true events were found, and by which.

    Attributes:
        true: The known parts of true events.
        found: The known parts of events found.
        partners: The place in `found` of each true one's partner, -1 without, shape [true].
        is_judged: Whether a true one counts, as hit or as miss, shape [true].
        is_found_judged: Whether a found one counts, as hit or as false alarm, shape [found].
        is_substituted: A true one that an event of another kind stands for, shape [true].
    """

    true: Intervals
    found: Intervals
    partners: Integers
    is_judged: Flags
    is_found_judged: Flags
    is_substituted: Flags

    @property
    def is_hit(self) -> Flags:
        """Which true ones have a partner."""
        return self.partners >= 0

    @property
    def is_right(self) -> Flags:
        """Which found ones have a partner."""
        found = np.zeros(len(self.found.rows), dtype=bool)
        found[self.partners[self.is_hit]] = True
        return found


def match_events(truth: TrueEvents, found: Intervals, collars: Collars) -> EventMatches:
    """Pair events that begin and end together, as many as can be (the optimal matching of sed_eval).

    First within each kind, then, of what is left, across kinds, which are the substitutions. A part that an unknown
    stretch cut off, that has no partner and is not longer than the collar, is left out: it lies within what a collar
    forgives.

    Args:
        truth: What is known.
        found: Events found, their rows as those of `truth`.
        collars: How far apart onsets and offsets may be.
    """
    true, found = without_intervals(truth.events, truth.unknown), without_intervals(found, truth.unknown)
    true_pairs, found_pairs = _candidates(true, found, collars, len(truth.kinds))
    of_kind = true.rows[true_pairs] == found.rows[found_pairs]
    partners = _matched(true_pairs[of_kind], found_pairs[of_kind], len(true.rows), len(found.rows))
    is_hit, is_right = partners >= 0, np.zeros(len(found.rows), dtype=bool)
    is_right[partners[is_hit]] = True
    is_judged = is_hit | ~_is_scrap(true, truth.unknown, collars.onset_s)
    is_found_judged = is_right | ~_is_scrap(found, truth.unknown, collars.onset_s)
    free = ~is_hit[true_pairs] & ~is_right[found_pairs] & is_judged[true_pairs] & is_found_judged[found_pairs]
    substituted = _matched(true_pairs[free], found_pairs[free], len(true.rows), len(found.rows)) >= 0
    return EventMatches(true, found, partners, is_judged, is_found_judged, substituted)


def count_events(truth: TrueEvents, found: Intervals, collars: Collars) -> EventCounts:
    """Count events that begin and end together; arguments as of `match_events`."""
    matches = match_events(truth, found, collars)
    tp = per_cell(matches.true.rows[matches.is_hit], truth)
    substituted = matches.true.rows[matches.is_substituted] // len(truth.kinds)
    return EventCounts(
        tp,
        per_cell(matches.found.rows[matches.is_found_judged], truth) - tp,
        per_cell(matches.true.rows[matches.is_judged], truth) - tp,
        np.bincount(substituted, minlength=len(truth.durations_s)).astype(np.float64),
    )


def _candidates(true: Intervals, found: Intervals, collars: Collars, n_kinds: int) -> tuple[Integers, Integers]:
    """Return all pairs of one recording, whatever their kinds, that begin and end together."""
    near = collars.onset_s + ROUNDING_S
    around = Intervals(true.rows // n_kinds, true.starts - near, true.starts + near)
    onsets = Intervals(found.rows // n_kinds, found.starts, found.starts + 2 * ROUNDING_S)
    true_pairs, found_pairs, _ = overlaps(around, onsets)
    kept = np.abs(true.starts[true_pairs] - found.starts[found_pairs]) <= near
    if collars.offset_s is not None:
        lengths = (true.ends - true.starts)[true_pairs]
        allowed = np.maximum(collars.offset_s, collars.offset_share * lengths) + ROUNDING_S
        kept &= np.abs(true.ends[true_pairs] - found.ends[found_pairs]) <= allowed
    return true_pairs[kept], found_pairs[kept]


def _matched(true_pairs: Integers, found_pairs: Integers, n_true: int, n_found: int) -> Integers:
    """Return the partner of each true event among the found ones, -1 without; as many pairs as there can be."""
    if not len(true_pairs):
        return np.full(n_true, -1)
    graph = csr_array((np.ones(len(true_pairs), dtype=np.int8), (true_pairs, found_pairs)), shape=(n_true, n_found))
    return maximum_bipartite_matching(graph, perm_type="column").astype(np.int64)


def _is_scrap(parts: Intervals, unknown: Intervals, collar_s: float) -> Flags:
    """Return which parts border on an unknown stretch and are not longer than the collar."""
    at, _, _ = overlaps(
        Intervals(parts.rows, parts.starts - 2 * ROUNDING_S, parts.ends + 2 * ROUNDING_S), merge_intervals(unknown)
    )
    touches = np.zeros(len(parts.rows), dtype=bool)
    touches[at] = True
    return touches & (parts.ends - parts.starts <= collar_s + ROUNDING_S)


def count_segments(truth: TrueEvents, found: Intervals, segment_s: float) -> EventCounts:
    """Count segments of a grid, each of which holds a kind or does not.

    A segment is judged by its known part, and is left out where that is nothing. Within a segment a miss and a false
    alarm of two kinds are one substitution.

    Args:
        truth: What is known.
        found: Events found, their rows as those of `truth`.
        segment_s: Length of a segment.
    """
    n_segments = np.ceil(np.round(truth.durations_s / segment_s, 6)).astype(np.int64)
    firsts = np.concatenate([[0], np.cumsum(n_segments)])
    n_kinds = len(truth.kinds)
    shape = (int(firsts[-1]), n_kinds)

    def holds(intervals: Intervals) -> Flags:
        recordings, kinds = np.divmod(intervals.rows, n_kinds)
        begin = np.floor(np.round(intervals.starts / segment_s, 6)).astype(np.int64)
        end = np.minimum(np.ceil(np.round(intervals.ends / segment_s, 6)).astype(np.int64), n_segments[recordings])
        steps = np.zeros((shape[0] + 1, n_kinds), dtype=np.int64)
        np.add.at(steps, (firsts[recordings] + np.minimum(begin, end), kinds), 1)
        np.add.at(steps, (firsts[recordings] + end, kinds), -1)
        return steps.cumsum(axis=0)[:-1] > 0

    is_true, is_found = (holds(without_intervals(events, truth.unknown)) for events in (truth.events, found))
    whole = Intervals(
        np.arange(truth.n_cells), np.zeros(truth.n_cells), np.repeat(truth.durations_s, n_kinds).astype(np.float64)
    )
    is_known = holds(without_intervals(whole, truth.unknown))
    recordings = np.repeat(np.arange(len(n_segments)), n_segments)
    return _counted(is_true, is_found, is_known, recordings, len(n_segments))


def count_cells(is_true: Sequence[Flags], is_found: Sequence[Flags], is_known: Sequence[Flags]) -> EventCounts:
    """Count the cells of maps: frames, or frames and bands.

    Args:
        is_true: Of each recording, shape [kind, ...].
        is_found: The same shapes.
        is_known: The same shapes; other cells are left out.
    """
    flat = [[part.reshape(len(part), -1).T for part in parts] for parts in (is_true, is_found, is_known)]
    recordings = np.repeat(np.arange(len(is_true)), [len(part) for part in flat[0]])
    true, found, known = (np.concatenate(parts) for parts in flat)
    return _counted(true, found, known, recordings, len(is_true))


def _counted(is_true: Flags, is_found: Flags, is_known: Flags, recordings: Integers, n_recordings: int) -> EventCounts:
    """Count cells [cell, kind] by recording; a miss and a false alarm in one cell are a substitution."""
    cells = [is_true & is_found & is_known, ~is_true & is_found & is_known, is_true & ~is_found & is_known]
    sums = np.zeros((len(cells), n_recordings, is_true.shape[1]))
    for counts, cell in zip(sums, cells, strict=True):
        np.add.at(counts, recordings, cell)
    both = np.minimum(cells[1].sum(axis=1), cells[2].sum(axis=1))
    tp, fp, fn = sums
    substitutions = np.bincount(recordings, weights=both, minlength=n_recordings)
    return EventCounts(tp, fp, fn, substitutions.astype(np.float64))


def score_values(counts: EventCounts, kinds: Sequence[str], *, with_iou: bool = False) -> dict[str, dict[str, Floats]]:
    """Return the scores of sums of counts, shape [weighting] each, NaN where undefined.

    `{kind: {precision, recall, f1, error_rate}}`, and the same of all kinds together: `micro` from the sums of their
    counts, `macro` as the mean over kinds, undefined where it is so for one of them. The error rate is (misses + false
    alarms) / true events, of `micro` with each substitution counted once; it may exceed 1.

    Args:
        counts: As `EventCounts.summed` returns them.
        kinds: Names of the columns.
        with_iou: Also `iou`, hits / (hits + false alarms + misses).
    """
    found = {
        kind: _scores(counts.tp[:, k], counts.fp[:, k], counts.fn[:, k], np.zeros(len(counts.tp)), with_iou)
        for k, kind in enumerate(kinds)
    }
    macro = {name: np.mean([found[kind][name] for kind in kinds], axis=0) for name in found[kinds[0]]}
    sums = (counts.tp.sum(axis=1), counts.fp.sum(axis=1), counts.fn.sum(axis=1))
    return {**found, MICRO: _scores(*sums, counts.substitutions, with_iou), MACRO: macro}


def _scores(tp: Floats, fp: Floats, fn: Floats, substitutions: Floats, with_iou: bool) -> dict[str, Floats]:
    return {
        "precision": ratio(tp, tp + fp),
        "recall": ratio(tp, tp + fn),
        "f1": ratio(2 * tp, 2 * tp + fp + fn),
        "error_rate": ratio(fp + fn - substitutions, tp + fn),
        **({"iou": ratio(tp, tp + fp + fn)} if with_iou else {}),
    }


_UNDEFINED = {
    "precision": "nothing was found",
    "recall": "there is no true one",
    "f1": "there is no true one, and nothing was found",
    "error_rate": "there is no true one",
    "iou": "there is no true one, and nothing was found",
}


def score_estimates(
    counts: EventCounts,
    kinds: Sequence[str],
    patients: Integers,
    weights: NDArray[np.float32],
    *,
    with_iou: bool = False,
    what: str = "event",
) -> dict[str, dict[str, Estimate]]:
    """Return `{kind, micro or macro: {metric: estimate}}` with intervals over patients; undefined ones say why.

    Args:
        counts: Of each recording.
        kinds: Names of the columns.
        patients: The row of `weights` of each recording.
        weights: Shape [patient, weighting], the first column ones.
        with_iou: As `score_values`.
        what: Is counted, in one word.
    """
    values = score_values(counts.summed(patients, weights), kinds, with_iou=with_iou)
    with_true, with_found = (
        _patients_with(of, patients, kinds) for of in (counts.tp + counts.fn, counts.tp + counts.fp)
    )
    found: dict[str, dict[str, Estimate]] = {}
    for view, scores in values.items():
        found[view] = {}
        for name, of_name in scores.items():
            if np.isnan(of_name[0]):
                lacking = [kind for kind in kinds if np.isnan(values[kind][name][0])]
                of = f" of {', '.join(lacking)}" if view == MACRO else ""
                found[view][name] = undefined(_UNDEFINED[name] + of)
                continue
            # A false alarm makes no patient one of those on whom a recall, or what follows from it, rests.
            n, which = (with_found, "found") if name == "precision" else (with_true, "true")
            bounds = None if name == "error_rate" else (0.0, 1.0)
            one = estimate(of_name, n[view], f"patients with a {which} {what}", bounds)
            if bounds is None and one["low"] is not None:
                one["low"] = max(one["low"], 0.0)
            found[view][name] = one
    return found


def _patients_with(events: Floats, patients: Integers, kinds: Sequence[str]) -> dict[str, int]:
    """Return how many patients have events, [recording, kind], of each kind and of any; `macro` has the fewest."""
    of_kinds = [len(np.unique(patients[events[:, column] > 0])) for column in range(len(kinds))]
    of_any = len(np.unique(patients[events.sum(axis=1) > 0]))
    return {**dict(zip(kinds, of_kinds, strict=True)), MICRO: of_any, MACRO: min(of_kinds)}
