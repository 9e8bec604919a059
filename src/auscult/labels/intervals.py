"""Intervals of recordings: their union, and which of them share sound, for whole tables at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Intervals:
    """Intervals [start, end) of recordings.

    Attributes:
        rows: The recording's row in its table, shape [interval].
        starts: In seconds, shape [interval].
        ends: In seconds, shape [interval].
    """

    rows: Integers
    starts: Floats
    ends: Floats

    def take(self, at: NDArray[np.integer] | NDArray[np.bool_]) -> Intervals:
        """Return some of the intervals."""
        return Intervals(self.rows[at], self.starts[at], self.ends[at])


def merge_intervals(intervals: Intervals) -> Intervals:
    """Return the union of each recording's intervals as disjoint intervals, sorted by recording and start.

    >>> merge_intervals(Intervals(np.array([0, 0]), np.array([0.0, 1.0]), np.array([2.0, 3.0]))).ends.tolist()
    [3.0]
    """
    if len(intervals.rows) == 0:
        return intervals
    ordered = intervals.take(np.lexsort((intervals.starts, intervals.rows)))
    rows, starts = ordered.rows, ordered.starts
    reach = _running_maximum(rows, ordered.ends)
    begins = np.ones(len(rows), dtype=bool)
    begins[1:] = (rows[1:] != rows[:-1]) | (starts[1:] > reach[:-1])
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(rows)) - 1
    return Intervals(rows[first], starts[first], reach[last])


def _running_maximum(rows: Integers, values: Floats) -> Floats:
    """Return the running maximum of `values` within each run of equal, sorted `rows`."""
    order = np.lexsort((values, rows))
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order))
    # Ranks grow from row to row, so that one pass never carries a maximum over into the next row.
    return values[order][np.maximum.accumulate(ranks)]


def overlaps(clips: Intervals, events: Intervals) -> tuple[Integers, Integers, Floats]:
    """Return all pairs (clip, event) of one recording that share sound, and how many seconds they share."""
    order = np.lexsort((events.starts, events.rows))
    ordered = events.take(order)
    reach = _running_maximum(ordered.rows, ordered.ends)
    # Events that may overlap a clip are neighbours in this order: they start before its end, and the furthest end so
    # far lies behind its start.
    clip_starts, clip_ends = _lexicographic(clips.rows, clips.starts), _lexicographic(clips.rows, clips.ends)
    before = np.searchsorted(_lexicographic(ordered.rows, reach), clip_starts, side="right")
    until = np.searchsorted(_lexicographic(ordered.rows, ordered.starts), clip_ends, side="left")
    n_candidates = np.maximum(until - before, 0)
    clip = np.repeat(np.arange(len(clips.rows)), n_candidates)
    offset = np.arange(len(clip)) - np.repeat(np.cumsum(n_candidates) - n_candidates, n_candidates)
    event = order[np.repeat(before, n_candidates) + offset]
    shared_s = np.minimum(clips.ends[clip], events.ends[event]) - np.maximum(clips.starts[clip], events.starts[event])
    kept = shared_s > 0
    return clip[kept], event[kept], shared_s[kept]


def _lexicographic(rows: Integers, values: Floats) -> NDArray[np.complex128]:
    """Return (row, value) as numbers that numpy orders by row, then by value, without loss."""
    return rows + 1j * values
