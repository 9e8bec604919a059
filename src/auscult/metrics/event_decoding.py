"""From maps of probabilities to events: clips laid over each other along their recordings, then runs of frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import median_filter

from auscult.config.events import KindDecoding
from auscult.labels import ROUNDING_S, Intervals
from auscult.metrics.events import EventCounts, TrueEvents, count_events, count_segments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from auscult.config.events import Collars, EventSettings
    from auscult.spectrograms.frames import FrameGrid

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    _Candidates = Callable[[KindDecoding], list[dict[str, float]] | list[dict[str, float | None]]]

_THRESHOLDS = (0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8, 0.1, 0.9, 0.05, 0.95, 0.02, 0.98)
_SHARES = (0.5, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999)
"""Of frames below a threshold: where events are rare, all probabilities may lie below the lowest plain threshold."""
_MEDIANS_S = (0.0, 0.1, 0.2, 0.4)
_MERGES_S = (0.0, 0.1, 0.3)
_LEASTS_S = (0.0, 0.05, 0.1, 0.3)
_BOUNDARIES = (None, 0.5, 0.3, 0.7, 0.9)
_LONGEST_MEDIAN_S = max(_MEDIANS_S)


@dataclass(frozen=True)
class Tracks:
    """Probabilities along whole recordings, one after the other with silence between them.

    Attributes:
        values: Shape [channel, frame]: objects of each kind, then boundaries of each.
        first: Place of each recording's first frame, shape [recording].
        n_frames: Of each recording, shape [recording].
        durations_s: Of each recording, shape [recording].
        grid: Gives the times of frames.
    """

    values: NDArray[np.float32]
    first: Integers
    n_frames: Integers
    durations_s: Floats
    grid: FrameGrid

    @property
    def n_kinds(self) -> int:
        """How many kinds there are."""
        return len(self.values) // 2

    def of_recording(self, recording: int) -> NDArray[np.float32]:
        """Return the probabilities of one recording, shape [channel, frame]."""
        begin = self.first[recording]
        return self.values[:, begin : begin + self.n_frames[recording]]


def over_bands(maps: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the highest probability of each frame, [clip, channel, frame], of maps that may be over bands too."""
    return maps if maps.ndim == 3 else maps.max(axis=2)


def lay_out(
    maps: NDArray[np.floating], recordings: Integers, starts_s: Floats, durations_s: Floats, grid: FrameGrid
) -> Tracks:
    """Lay clips along their recordings; where several cover a frame, the nearer its middle is the more one counts.

    Args:
        maps: Probabilities, shape [clip, channel, frame], or over bands too, [clip, channel, band, frame].
        recordings: Of each clip, in 0 .. recordings - 1, shape [clip].
        starts_s: Of each clip in its recording, shape [clip].
        durations_s: Of each recording.
        grid: The frames of one clip.

    Returns:
        Frames between clips, or at an end, that only the window of a spectrogram left open are filled from the nearest;
        others that no clip covers have the probability 0.
    """
    maps = over_bands(maps)
    # A frame begins half a step before its middle: those that begin behind the recording's end hold none of it.
    n_frames = np.maximum(np.ceil((durations_s - grid.first_s) / grid.step_s + 0.5 - 1e-6), 1).astype(np.int64)
    silence = int(np.ceil(_LONGEST_MEDIAN_S / grid.step_s)) + 1
    first = np.concatenate([[0], np.cumsum(n_frames + silence)])
    inside = np.arange(grid.n_frames)
    weights = np.minimum(inside + 1, grid.n_frames - inside).astype(np.float64)
    values = np.zeros((maps.shape[1], int(first[-1])))
    totals = np.zeros(int(first[-1]))
    begins = np.rint(starts_s / grid.step_s).astype(np.int64)
    for clip, recording, begin in zip(maps, recordings, begins, strict=True):
        stop = min(grid.n_frames, int(n_frames[recording] - begin))
        at = slice(int(first[recording] + begin), int(first[recording] + begin + stop))
        values[:, at] += clip[:, :stop] * weights[:stop]
        totals[at] += weights[:stop]
    values /= np.maximum(totals, 1.0)
    _fill_open_frames(values, totals, first, n_frames, grid)
    return Tracks(values.astype(np.float32), first[:-1], n_frames, durations_s, grid)


def _fill_open_frames(values: Floats, totals: Floats, first: Integers, n_frames: Integers, grid: FrameGrid) -> None:
    """Fill in frames whose neighbours are the first or last of a clip: its window reaches no further."""
    last_s = grid.first_s + (grid.n_frames - 1) * grid.step_s
    reach = int(np.ceil((grid.first_s + grid.length_s - last_s) / grid.step_s)) + 1
    for begin, n in zip(first, n_frames, strict=False):
        is_covered = totals[begin : begin + n] > 0
        covered, missing = np.flatnonzero(is_covered), np.flatnonzero(~is_covered)
        if not len(covered) or not len(missing):
            continue
        after = np.searchsorted(covered, missing)
        before = covered[np.maximum(after - 1, 0)]
        behind = covered[np.minimum(after, len(covered) - 1)]
        missing = missing[np.minimum(np.abs(missing - before), np.abs(behind - missing)) <= reach]
        for channel in values:
            channel[begin + missing] = np.interp(missing, covered, channel[begin + covered])


def decode(tracks: Tracks, decodings: Sequence[KindDecoding]) -> Intervals:
    """Return the events of all kinds; rows are `recording x kinds + kind`.

    Args:
        tracks: Probabilities.
        decodings: One a kind.
    """
    found = [_decode_kind(tracks, kind, decoding) for kind, decoding in enumerate(decodings)]
    cells = [one.rows * tracks.n_kinds + kind for kind, one in enumerate(found)]
    return Intervals(
        np.concatenate(cells),
        np.concatenate([one.starts for one in found]),
        np.concatenate([one.ends for one in found]),
    )


def _decode_kind(tracks: Tracks, kind: int, decoding: KindDecoding) -> Intervals:
    """Return the events of one kind; rows are recordings."""
    grid = tracks.grid
    probabilities = tracks.values[kind]
    n_median = 2 * int(decoding.median_s / grid.step_s / 2) + 1
    if n_median > 1:
        probabilities = median_filter(probabilities, n_median, mode="constant")
    begins, ends = _runs(probabilities >= decoding.threshold)
    if decoding.merge_s:
        kept = (begins[1:] - ends[:-1]) * grid.step_s > decoding.merge_s + ROUNDING_S
        # Two recordings are never merged, however short the silence between them.
        owners = np.searchsorted(tracks.first, begins, side="right")
        kept |= owners[1:] != owners[:-1]
        begins, ends = begins[np.append(True, kept)[: len(begins)]], ends[np.append(kept, True)[: len(ends)]]
    if decoding.boundary is not None:
        begins, ends = _cut(begins, ends, tracks.values[tracks.n_kinds + kind] >= decoding.boundary)
    recordings = np.searchsorted(tracks.first, begins, side="right") - 1
    places, stops = begins - tracks.first[recordings], ends - tracks.first[recordings]
    durations_s = tracks.durations_s[recordings]
    starts_s = np.where(places == 0, 0.0, grid.first_s + (places - 0.5) * grid.step_s)
    ends_s = np.where(stops >= tracks.n_frames[recordings], durations_s, grid.first_s + (stops - 0.5) * grid.step_s)
    found = Intervals(recordings, np.maximum(starts_s, 0.0), np.minimum(ends_s, durations_s))
    lengths_s = found.ends - found.starts
    return found.take((lengths_s > ROUNDING_S) & (lengths_s >= decoding.least_s - ROUNDING_S))


def _runs(active: NDArray[np.bool_]) -> tuple[Integers, Integers]:
    """Return the first place of each run and the one after its last."""
    edges = np.flatnonzero(np.diff(active.astype(np.int8), prepend=0, append=0))
    return edges[::2], edges[1::2]


def _cut(begins: Integers, ends: Integers, is_boundary: NDArray[np.bool_]) -> tuple[Integers, Integers]:
    """Cut runs in the middle of each boundary that lies wholly inside one."""
    first, end = _runs(is_boundary)
    owners = np.searchsorted(begins, first, side="right") - 1
    inside = owners >= 0
    inside[inside] &= (first[inside] > begins[owners[inside]]) & (end[inside] < ends[owners[inside]])
    cuts = (first[inside] + end[inside]) // 2
    return np.sort(np.concatenate([begins, cuts])), np.sort(np.concatenate([ends, cuts]))


@dataclass(frozen=True)
class ChosenDecoding:
    """How the events of one kind are read.

    Attributes:
        decoding: The settings.
        f1: What they reach where they were chosen; None where there is nothing to choose by.
        note: Why nothing was chosen; empty otherwise.
    """

    decoding: KindDecoding
    f1: float | None
    note: str


def choose_decoding(tracks: Tracks, truth: TrueEvents, collars: Collars) -> dict[str, ChosenDecoding]:
    """Return for each kind the settings whose event-based F1 is highest.

    First threshold and median together, then merging and the least length, then whether boundaries cut, and at last the
    threshold again, finer. Of equals the first is kept, which is the plainer one.

    Args:
        tracks: Probabilities of the validation recordings.
        truth: What is known of these, in the same order.
        collars: Of a hit.
    """
    chosen: dict[str, ChosenDecoding] = {}
    for kind, name in enumerate(truth.kinds):
        of_kind = _only(truth, kind)
        if not len(of_kind.events.rows):
            note = f"{name}: validation holds no event of this kind; the plain threshold of 0.5 stands"
            chosen[name] = ChosenDecoding(KindDecoding(), None, note)
            continue
        best, best_f1 = KindDecoding(), -1.0
        for candidates in _stages((*_THRESHOLDS, *_thresholds_at(tracks, kind, _SHARES))):
            at_start = best
            for changes in candidates(at_start):
                decoding = at_start.model_copy(update=changes)
                found = _decode_kind(tracks, kind, decoding)
                f1 = _f1(count_events(of_kind, found, collars))
                if f1 > best_f1:
                    best, best_f1 = decoding, f1
        chosen[name] = ChosenDecoding(best, best_f1, "")
    return chosen


def _thresholds_at(tracks: Tracks, kind: int, shares: Sequence[float]) -> list[float]:
    """Return thresholds below which such shares of a kind's frames lie, rising."""
    cuts = np.unique(np.quantile(tracks.values[kind], shares).astype(np.float64))
    return [float(cut) for cut in cuts if 0 < cut < 1]


def _stages(thresholds: Sequence[float]) -> Iterator[_Candidates]:
    yield lambda _: [
        {"threshold": threshold, "median_s": median_s} for median_s in _MEDIANS_S for threshold in thresholds
    ]
    yield lambda _: [{"merge_s": merge_s, "least_s": least_s} for merge_s in _MERGES_S for least_s in _LEASTS_S]
    yield lambda _: [{"boundary": boundary} for boundary in _BOUNDARIES]
    yield lambda best: _finer_thresholds(best, thresholds)


def _finer_thresholds(best: KindDecoding, thresholds: Sequence[float]) -> list[dict[str, float]]:
    cuts = np.array([0.0, *sorted(thresholds), 1.0])
    at = int(np.searchsorted(cuts, best.threshold))
    return [{"threshold": float(cut)} for cut in np.linspace(cuts[at - 1], cuts[at + 1], 11)[1:-1]]


def _only(truth: TrueEvents, kind: int) -> TrueEvents:
    """Return what is known of one kind."""

    def of_kind(intervals: Intervals) -> Intervals:
        kept = intervals.take(intervals.rows % len(truth.kinds) == kind)
        return Intervals(kept.rows // len(truth.kinds), kept.starts, kept.ends)

    return TrueEvents((truth.kinds[kind],), truth.durations_s, of_kind(truth.events), of_kind(truth.unknown))


def _f1(counts: EventCounts) -> float:
    tp = counts.tp.sum()
    return float(2 * tp / max(2 * tp + counts.fp.sum() + counts.fn.sum(), 1.0))


_QUICK_SHARES = (0.5, 0.7, 0.8, 0.87, 0.92, 0.95, 0.97, 0.985, 0.995)


def validation_scores(tracks: Tracks, truth: TrueEvents, settings: EventSettings) -> dict[str, float | None]:
    """Return `event_f1` and `segment_f1` of an epoch, each as the mean over the kinds that the recordings hold.

    Of each kind the best of nine thresholds that lie evenly in its probabilities, without a filter: a first impression
    that does not depend on how high these are; None where there is no event at all.

    Args:
        tracks: Probabilities of the validation recordings.
        truth: What is known of these, in the same order.
        settings: Collars and segments.
    """
    by_event: list[float] = []
    by_segment: list[float] = []
    for kind in range(len(truth.kinds)):
        of_kind = _only(truth, kind)
        if not len(of_kind.events.rows):
            continue
        cuts = _thresholds_at(tracks, kind, _QUICK_SHARES)
        found = [_decode_kind(tracks, kind, KindDecoding(threshold=cut)) for cut in cuts]
        by_event.append(max((_f1(count_events(of_kind, one, settings.collars)) for one in found), default=0.0))
        by_segment.append(max((_f1(count_segments(of_kind, one, settings.segment_s)) for one in found), default=0.0))
    return {
        "event_f1": float(np.mean(by_event)) if by_event else None,
        "segment_f1": float(np.mean(by_segment)) if by_segment else None,
    }


def decodings_of(meta: Mapping[str, Mapping[str, object]], kinds: Sequence[str]) -> list[KindDecoding]:
    """Return the decoding of each kind from the section `event_decoding` of `model.json`."""
    return [KindDecoding.model_validate(dict(meta[kind])) for kind in kinds]
