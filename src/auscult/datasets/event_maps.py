"""Events as maps: at each frame of a clip, or frame and band, whether an event is there, begins or ends."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from auscult.datasets.event_boxes import EventBoxes
from auscult.labels import Intervals, event_stretches, overlaps
from auscult.metrics.event_decoding import Tracks, lay_out
from auscult.metrics.events import TrueEvents

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from auscult.config.task import TaskSettings
    from auscult.spectrograms.frames import BandGrid, FrameGrid

    Maps = NDArray[np.int8]

UNKNOWN = np.int8(-1)


def true_events(recordings: pd.DataFrame, events: pd.DataFrame, task: TaskSettings) -> TrueEvents:
    """Return what is known of the events of recordings.

    Args:
        recordings: Rows of `tables.RECORDINGS`, whose order is that of the result.
        events: Rows of `tables.EVENTS`.
        task: Of type `events`.

    Raises:
        DataError: A dataset has no rule.
    """
    found, unknown = event_stretches(recordings, events, task)
    return TrueEvents(task.targets, recordings["duration_s"].to_numpy(dtype=np.float64), found, unknown)


def event_maps(
    recordings: NDArray[np.int64],
    starts_s: NDArray[np.float64],
    truth: TrueEvents,
    grid: FrameGrid,
    boundary_s: float,
    *,
    boxes: EventBoxes | None = None,
    n_bands: int = 1,
) -> Maps:
    """Return the maps of clips: 1, 0 or `UNKNOWN`, shape [clip, channel, frame], or [clip, channel, band, frame].

    The first half of the channels are the kinds' objects: a frame is 1 where an event holds its middle. The second half
    are their boundaries: 1 around each onset and offset. What lies behind a recording's end is silence, and 0.

    With `boxes` an event fills its own bands, and its onset and offset are boundaries there; below and above it there
    is no boundary. Of an event whose frequencies nobody knows all bands are unknown, and around its onset and offset
    all boundaries.

    Args:
        recordings: Row of each clip's recording in `truth`, shape [clip].
        starts_s: Of each clip in its recording, shape [clip].
        truth: What is known of the recordings.
        grid: The frames of one clip.
        boundary_s: Width of an onset or offset.
        boxes: The true events with their bands; None: maps are over frames alone.
        n_bands: Of the spectrograms, with `boxes`.
    """
    n_kinds = len(truth.kinds)
    maps = np.zeros((len(recordings), 2 * n_kinds, n_bands, grid.n_frames), dtype=np.int8)
    cells = (recordings[:, None] * n_kinds + np.arange(n_kinds)).ravel()
    begins = np.repeat(starts_s, n_kinds)
    clips = Intervals(cells, begins, begins + grid.length_s)

    def paint(stretches: Intervals | EventBoxes, value: np.int8, channels: tuple[int, ...]) -> None:
        intervals = stretches if isinstance(stretches, Intervals) else stretches.intervals
        at, which, _ = overlaps(clips, intervals)
        first, end = grid.frames_of(intervals.starts[which] - begins[at], intervals.ends[which] - begins[at])
        low, high = np.zeros_like(which), np.full_like(which, n_bands)
        if isinstance(stretches, EventBoxes):
            low, high = stretches.first_bands[which], stretches.end_bands[which]
        for clip, kind, *cell in zip(*np.divmod(at, n_kinds), low, high, first, end, strict=True):
            bands, frames = slice(*cell[:2]), slice(*cell[2:])
            for half in channels:
                maps[clip, half * n_kinds + kind, bands, frames] = value

    # A frame is unknown where any of the sound in its cell is.
    reach = grid.step_s / 2 - 1e-6
    paint(_widened(truth.unknown, reach), UNKNOWN, (0, 1))
    events = truth.events
    edges = events.rows, np.concatenate([events.starts, events.ends])
    around = Intervals(np.tile(edges[0], 2), edges[1] - boundary_s / 2, edges[1] + boundary_s / 2)
    if boxes is not None:
        unplaced = boxes.take(~boxes.is_placed)
        paint(unplaced.intervals, UNKNOWN, (0,))
        paint(unplaced.edges(boundary_s).intervals, UNKNOWN, (1,))
        events = boxes.take(boxes.is_placed)
        around = events.edges(boundary_s)
    paint(events, np.int8(1), (0,))
    is_unknown = maps[:, n_kinds:] == UNKNOWN
    paint(around, np.int8(1), (1,))
    maps[:, n_kinds:][is_unknown & (maps[:, :n_kinds] != 1)] = UNKNOWN
    return maps[:, :, 0] if boxes is None else maps


def _widened(intervals: Intervals, by_s: float) -> Intervals:
    return Intervals(intervals.rows, intervals.starts - by_s, intervals.ends + by_s)


@dataclass(frozen=True)
class ClipEvents:
    """The events of some clips, and of the recordings that they are cut from.

    Attributes:
        truth: What is known of the recordings.
        recording_ids: Of these, shape [recording].
        patient_ids: Of these, shape [recording].
        rows: Each clip's recording, shape [clip].
        starts_s: Of each clip in its recording, shape [clip].
        grid: The frames of one clip.
        boundary_s: Width of an onset or offset.
        bands: The bands of one clip, where maps are over frames and bands; None: over frames.
        boxes: The events of the recordings with their bands; None without `bands`.
        open_truth: What is known of the recordings, unknown stretches where there are events too; None without `bands`.
    """

    truth: TrueEvents
    recording_ids: NDArray[np.object_]
    patient_ids: NDArray[np.object_]
    rows: NDArray[np.int64]
    starts_s: NDArray[np.float64]
    grid: FrameGrid
    boundary_s: float
    bands: BandGrid | None = None
    boxes: EventBoxes | None = None
    open_truth: TrueEvents | None = None

    @classmethod
    def of(
        cls,
        clips: pd.DataFrame,
        recordings: pd.DataFrame,
        events: pd.DataFrame,
        task: TaskSettings,
        grid: FrameGrid,
        *,
        bands: BandGrid | None = None,
    ) -> ClipEvents:
        """Return the events of clips.

        Args:
            clips: Rows of `tables.CLIPS`.
            recordings: Rows of `tables.RECORDINGS`, those of the clips among them; the others are left out.
            events: Rows of `tables.EVENTS`.
            task: Of type `events`.
            grid: The frames of one clip.
            bands: The bands of one clip, for maps over frames and bands.
        """
        kept = recordings.loc[recordings["recording_id"].isin(list(clips["recording_id"]))].reset_index(drop=True)
        truth = true_events(kept, events, task)
        return cls(
            truth,
            kept["recording_id"].to_numpy(dtype=object),
            kept["patient_id"].to_numpy(dtype=object),
            pd.Index(kept["recording_id"]).get_indexer(pd.Index(clips["recording_id"])).astype(np.int64),
            clips["start_s"].to_numpy(dtype=np.float64),
            grid,
            task.event_settings.boundary_s,
            bands,
            None if bands is None else EventBoxes.of(kept, events, task, bands),
            None if bands is None else replace(truth, unknown=event_stretches(kept, events, task, cut=False)[1]),
        )

    @classmethod
    def joined(cls, parts: Sequence[ClipEvents]) -> ClipEvents:
        """Return the clips of several datasets, one after the other."""
        n_recordings = np.cumsum([0, *(len(part.recording_ids) for part in parts)])
        n_kinds = len(parts[0].truth.kinds)

        def moved(intervals: list[Intervals]) -> Intervals:
            cells = [one.rows + first * n_kinds for one, first in zip(intervals, n_recordings, strict=False)]
            return Intervals(
                np.concatenate(cells),
                np.concatenate([one.starts for one in intervals]),
                np.concatenate([one.ends for one in intervals]),
            )

        truth = TrueEvents(
            parts[0].truth.kinds,
            np.concatenate([part.truth.durations_s for part in parts]),
            moved([part.truth.events for part in parts]),
            moved([part.truth.unknown for part in parts]),
        )
        opened = [part.open_truth.unknown for part in parts if part.open_truth is not None]
        boxes = [
            part.boxes.moved(int(first) * n_kinds)
            for part, first in zip(parts, n_recordings, strict=False)
            if part.boxes is not None
        ]
        return replace(
            parts[0],
            truth=truth,
            boxes=EventBoxes.joined(boxes) if boxes else None,
            open_truth=replace(truth, unknown=moved(opened)) if opened else None,
            recording_ids=np.concatenate([part.recording_ids for part in parts]),
            patient_ids=np.concatenate([part.patient_ids for part in parts]),
            rows=np.concatenate([part.rows + first for part, first in zip(parts, n_recordings, strict=False)]),
            starts_s=np.concatenate([part.starts_s for part in parts]),
        )

    def take(self, clips: NDArray[np.integer] | NDArray[np.bool_]) -> ClipEvents:
        """Return some of the clips, and the recordings that these are cut from."""
        rows = self.rows[clips]
        kept = np.unique(rows)
        return replace(
            self,
            truth=self.truth.take(kept),
            boxes=None if self.boxes is None else self.boxes.of_recordings(kept, len(self.truth.kinds)),
            open_truth=None if self.open_truth is None else self.open_truth.take(kept),
            recording_ids=self.recording_ids[kept],
            patient_ids=self.patient_ids[kept],
            rows=np.searchsorted(kept, rows).astype(np.int64),
            starts_s=self.starts_s[clips],
        )

    def maps(self) -> Maps:
        """Return the maps of the clips, [clip, channel, frame] or [clip, channel, band, frame]; see `event_maps`."""
        if self.bands is None or self.open_truth is None:
            return self.frame_maps()
        return event_maps(
            self.rows,
            self.starts_s,
            self.open_truth,
            self.grid,
            self.boundary_s,
            boxes=self.boxes,
            n_bands=len(self.bands),
        )

    def frame_maps(self) -> Maps:
        """Return the maps of the clips over frames alone, shape [clip, channel, frame]."""
        return event_maps(self.rows, self.starts_s, self.truth, self.grid, self.boundary_s)

    def lay_out(self, probabilities: NDArray[np.floating]) -> Tracks:
        """Return probabilities of the clips, [clip, channel, (band,) frame], along their recordings."""
        return lay_out(probabilities, self.rows, self.starts_s, self.truth.durations_s, self.grid)

    def digest(self) -> bytes:
        """Return what changes when a true event, an unknown stretch or the width of a boundary does."""
        digest = hashlib.sha256(repr((self.truth.kinds, self.grid, self.boundary_s)).encode("utf-8"))
        opened = () if self.open_truth is None else (self.open_truth.unknown,)
        for intervals in (self.truth.events, self.truth.unknown, *opened):
            for values in (intervals.rows, intervals.starts, intervals.ends):
                digest.update(np.ascontiguousarray(values, dtype="<f8").tobytes())
        if self.boxes is not None:
            digest.update(repr(self.bands).encode("utf-8") + self.boxes.digest())
        return digest.digest()
