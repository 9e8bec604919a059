"""Events in time and frequency: which mel bands each event takes, where the tables say so."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from auscult.labels import Intervals

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from auscult.config.task import TaskSettings
    from auscult.spectrograms.frames import BandGrid


@dataclass(frozen=True)
class EventBoxes:
    """The events of some recordings, each by itself, and the mel bands that they take.

    Attributes:
        rows: `recording x kinds + kind`, as the rows of `TrueEvents`, shape [event].
        starts: In seconds, shape [event].
        ends: In seconds, shape [event].
        first_bands: Shape [event].
        end_bands: Behind the last, shape [event].
        is_placed: Whether the event's frequencies are known, shape [event]; else its bands mean nothing.
    """

    rows: NDArray[np.int64]
    starts: NDArray[np.float64]
    ends: NDArray[np.float64]
    first_bands: NDArray[np.int64]
    end_bands: NDArray[np.int64]
    is_placed: NDArray[np.bool_]

    @classmethod
    def of(cls, recordings: pd.DataFrame, events: pd.DataFrame, task: TaskSettings, bands: BandGrid) -> EventBoxes:
        """Return the events that are the task's; unlike those of `labels.event_stretches` none are merged.

        An event is placed where either of `low_hz` and `high_hz` is known: the other is then the end of the bands.

        Args:
            recordings: Rows of `tables.RECORDINGS`.
            events: Rows of `tables.EVENTS`.
            task: Of type `events`.
            bands: Of the spectrograms.
        """
        at = pd.Index(recordings["recording_id"]).get_indexer(pd.Index(events["recording_id"]))
        marked = events.loc[at >= 0].reset_index(drop=True)
        at = at[at >= 0]
        datasets = recordings["dataset"].to_numpy(dtype=object)[at]
        ends = np.minimum(marked["end_s"].to_numpy(np.float64), recordings["duration_s"].to_numpy(np.float64)[at])
        starts = marked["start_s"].to_numpy(np.float64)
        lows_hz, highs_hz = (marked[name].to_numpy(np.float64) for name in ("low_hz", "high_hz"))
        first, end = bands.bands_of(lows_hz, highs_hz)
        is_placed = ~(np.isnan(lows_hz) & np.isnan(highs_hz))
        parts: list[EventBoxes] = []
        for name in sorted(set(datasets)):
            for column, target in enumerate(task.targets):
                kinds = getattr(task.datasets[name][target], "events", ())
                chosen = (datasets == name) & marked["kind"].isin(list(kinds)).to_numpy() & (ends > starts)
                rows = at[chosen].astype(np.int64) * len(task.targets) + column
                parts.append(cls(rows, starts[chosen], ends[chosen], first[chosen], end[chosen], is_placed[chosen]))
        none = np.zeros(0, dtype=np.int64)
        return cls.joined([cls(none, starts[:0], starts[:0], none, none, is_placed[:0]), *parts])

    @classmethod
    def joined(cls, parts: Sequence[EventBoxes]) -> EventBoxes:
        """Return all events, one part after the other."""
        return cls(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(cls)))

    def take(self, at: NDArray[np.bool_]) -> EventBoxes:
        """Return some of the events."""
        return EventBoxes(*(getattr(self, each.name)[at] for each in fields(self)))

    def moved(self, by_rows: int) -> EventBoxes:
        """Return the events with other rows."""
        return replace(self, rows=self.rows + by_rows)

    def of_recordings(self, recordings: NDArray[np.integer], n_kinds: int) -> EventBoxes:
        """Return the events of some recordings, which are then numbered in this order; each may be named once."""
        owners = self.rows // n_kinds
        places = np.full(int(np.max(np.concatenate([owners, recordings]), initial=-1)) + 1, -1)
        places[recordings] = np.arange(len(recordings))
        kept = self.take(places[owners] >= 0)
        return replace(kept, rows=places[kept.rows // n_kinds] * n_kinds + kept.rows % n_kinds)

    @property
    def intervals(self) -> Intervals:
        """Where they lie in time."""
        return Intervals(self.rows, self.starts, self.ends)

    def edges(self, width_s: float) -> EventBoxes:
        """Return the stretches of this width around each onset, then around each offset."""
        times = np.concatenate([self.starts, self.ends])
        twice = EventBoxes.joined([self, self])
        return replace(twice, starts=times - width_s / 2, ends=times + width_s / 2)

    def digest(self) -> bytes:
        """Return what changes when an event does."""
        digest = hashlib.sha256()
        for each in fields(self):
            digest.update(np.ascontiguousarray(getattr(self, each.name), dtype="<f8").tobytes())
        return digest.digest()
