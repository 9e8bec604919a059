"""Events as maps: for each clip and frame, whether an event is there and whether one begins or ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from auscult.labels import Intervals, event_stretches, overlaps
from auscult.metrics.events import TrueEvents

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from auscult.config.task import TaskSettings
    from auscult.spectrograms.frames import FrameGrid

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
) -> Maps:
    """Return the maps of clips: 1, 0 or `UNKNOWN`, shape [clip, channel, frame].

    The first half of the channels are the kinds' objects: a frame is 1 where an event holds its middle. The second half
    are their boundaries: 1 around each onset and offset. What lies behind a recording's end is silence, and 0.

    Args:
        recordings: Row of each clip's recording in `truth`, shape [clip].
        starts_s: Of each clip in its recording, shape [clip].
        truth: What is known of the recordings.
        grid: The frames of one clip.
        boundary_s: Width of an onset or offset.
    """
    n_kinds = len(truth.kinds)
    maps = np.zeros((len(recordings), 2 * n_kinds, grid.n_frames), dtype=np.int8)
    cells = (recordings[:, None] * n_kinds + np.arange(n_kinds)).ravel()
    begins = np.repeat(starts_s, n_kinds)
    clips = Intervals(cells, begins, begins + grid.length_s)

    def paint(intervals: Intervals, value: np.int8, channels: tuple[int, ...]) -> None:
        at, which, _ = overlaps(clips, intervals)
        first, end = grid.frames_of(intervals.starts[which] - begins[at], intervals.ends[which] - begins[at])
        for clip, kind, begin, stop in zip(*np.divmod(at, n_kinds), first, end, strict=True):
            for half in channels:
                maps[clip, half * n_kinds + kind, begin:stop] = value

    # A frame is unknown where any of the sound in its cell is.
    reach = grid.step_s / 2 - 1e-6
    paint(_widened(truth.unknown, reach), UNKNOWN, (0, 1))
    paint(truth.events, np.int8(1), (0,))
    is_unknown = maps[:, n_kinds:] == UNKNOWN
    edges = truth.events.rows, np.concatenate([truth.events.starts, truth.events.ends])
    times = Intervals(np.tile(edges[0], 2), edges[1] - boundary_s / 2, edges[1] + boundary_s / 2)
    paint(times, np.int8(1), (1,))
    maps[:, n_kinds:][is_unknown & (maps[:, :n_kinds] != 1)] = UNKNOWN
    return maps


def _widened(intervals: Intervals, by_s: float) -> Intervals:
    return Intervals(intervals.rows, intervals.starts - by_s, intervals.ends + by_s)
