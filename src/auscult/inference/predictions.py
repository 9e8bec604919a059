"""Predictions of audio files: clips of many files in batches, then two tables, by recording and by clip."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auscult.audio.cut import Cut
from auscult.audio.probe import AudioFacts
from auscult.config.events import KindDecoding
from auscult.config.task import TaskSettings
from auscult.datasets.sound_findings import sound_marks
from auscult.errors import DataError
from auscult.inference.stream import ClipBlock, ClipReader, read_facts
from auscult.metrics.aggregation import aggregate, weigh_class
from auscult.metrics.conformal import is_unsure
from auscult.metrics.event_decoding import Tracks, decode, lay_out
from auscult.metrics.operating_points import LevelPoint
from auscult.spectrograms.frames import FrameGrid
from auscult.storage.tables import positive_column, probability_column, threshold_column, unsure_column

Forward = Callable[[NDArray[Any]], NDArray[Any]]
"""A model applied to a batch: [clip, ...] -> [clip, value]."""
OnBlock = Callable[[Path, AudioFacts, ClipBlock], None]
"""Receives every block of clips that is read."""
Event = tuple[str, str, float, float, float]
"""File, kind, start and end in seconds, and the highest probability in it."""
NO_NUMBER = "the model gives no number (NaN or infinity) for it; train it again before its other answers are used"
EVENT_COLUMNS = ("file", "kind", "start_s", "end_s", "probability")


@dataclass
class FileOutputs:
    """The model's outputs for one file.

    Attributes:
        path: The file.
        duration_s: Its length.
        cuts: Its clips.
        values: One row a clip; empty where there is a fault.
        tracks: Of a model that finds events: its maps along the file; None without, and once they are used.
        events: Of such a model: rows of `EVENT_COLUMNS`, by start and kind.
        fault: Why it could not be read, without the file's name; None for a good file.
        marks: What is odd about its sound (`no sound`, `clipped 12.0%`).
    """

    path: Path
    duration_s: float = 0.0
    cuts: list[Cut] = field(default_factory=list)
    values: list[NDArray[Any]] = field(default_factory=list)
    tracks: Tracks | None = None
    events: list[Event] = field(default_factory=list)
    fault: str | None = None
    marks: list[str] = field(default_factory=list)

    @property
    def without_tracks(self) -> FileOutputs:
        """The same, small enough to be kept for each of many files."""
        return replace(self, tracks=None)

    @property
    def is_whole(self) -> bool:
        """Whether each clip has its outputs."""
        return len(self.cuts) == len(self.values)


def run_files(
    paths: Sequence[Path],
    reader: ClipReader,
    forward: Forward,
    *,
    batch_clips: int = 64,
    on_block: OnBlock | None = None,
) -> Generator[FileOutputs]:
    """Yield the outputs for each file, in the order of the files; a file that cannot be read comes with its fault.

    Args:
        paths: Audio files.
        reader: Cuts them.
        forward: The model.
        batch_clips: Clips in a batch; short files share one.
        on_block: Receives every block of clips that is read.
    """
    waiting: list[FileOutputs] = []
    queue = _Queue(forward, batch_clips)
    for path in paths:
        found = FileOutputs(path)
        waiting.append(found)
        try:
            facts = read_facts(path)
            found.duration_s = facts.duration_s
            found.marks = sound_marks(facts, path.name, reader.channel)
            for block in reader.blocks(path, facts, batch_clips):
                if on_block is not None:
                    on_block(path, facts, block)
                found.cuts += block.cuts
                queue.add(found, reader.model_input(block))
        except DataError as error:
            found.fault = str(error).removeprefix(f"{path}: ")
        while waiting and (waiting[0].fault is not None or waiting[0].is_whole):
            yield waiting.pop(0)
    queue.flush()
    yield from waiting


class _Queue:
    """Clips that wait until a batch is full."""

    def __init__(self, forward: Forward, batch_clips: int) -> None:
        self._forward = forward
        self._batch_clips = batch_clips
        self._clips: list[NDArray[Any]] = []
        self._owners: list[FileOutputs] = []

    def add(self, owner: FileOutputs, clips: NDArray[Any]) -> None:
        self._clips += list(clips)
        self._owners += [owner] * len(clips)
        while len(self._clips) >= self._batch_clips:
            self._take(self._batch_clips)

    def flush(self) -> None:
        if self._clips:
            self._take(len(self._clips))

    def _take(self, n_clips: int) -> None:
        values = self._forward(np.stack(self._clips[:n_clips]))
        for owner, value in zip(self._owners[:n_clips], values, strict=True):
            if not np.isfinite(value).all():
                # Neither positive nor negative: a comparison with a threshold would call it negative.
                owner.fault = NO_NUMBER
            owner.values.append(value)
        del self._clips[:n_clips], self._owners[:n_clips]


@dataclass(frozen=True)
class Predictions:
    """Predictions of files.

    Attributes:
        recordings: One row a file: `file`, `duration_s`, `n_clips`, `sound` (what is odd about it, empty for nothing),
            `prob_<target>`, then `threshold_<target>` and `positive_<target>` or, of a multi-class task, `answer`; of a
            model with conformal sets `unsure_<target>` (or `unsure_classes`), at the level that they were made for.
        clips: One row a clip: `file`, `clip` (from 0), `start_s`, `end_s` (of the true sound), then as above.
        errors: File -> why it could not be read.
        notes: What a reader has to know about the predictions.
        events: Of a model that finds events, one row an event: `EVENT_COLUMNS`; `probability` is the highest in it.
    """

    recordings: pd.DataFrame
    clips: pd.DataFrame
    errors: dict[str, str]
    notes: tuple[str, ...] = ()
    events: pd.DataFrame | None = None


def find_events(
    found: FileOutputs, task: TaskSettings, decodings: Sequence[KindDecoding], grid: FrameGrid
) -> FileOutputs:
    """Part the probabilities of a file's clips from the maps behind them, and find its events in these.

    Args:
        found: Each row of its values holds the probability of each target, then a flat map [2 x target, frame].
        task: Names the kinds.
        decodings: How events of each kind are read from maps.
        grid: The frames of one clip.

    Returns:
        The outputs with `tracks` and `events`.
    """
    n_kinds = len(task.targets)
    # Copies: a view would keep the maps of each clip in memory.
    values = [row[:n_kinds].copy() for row in found.values]
    if found.fault is not None or not values:
        return replace(found, values=values)
    maps = np.stack([row[n_kinds:].reshape(2 * n_kinds, -1).astype(np.float32) for row in found.values])
    starts_s = np.array([cut.start_s for cut in found.cuts])
    whole = np.zeros(len(starts_s), dtype=np.int64)
    tracks = lay_out(maps, whole, starts_s, np.array([found.duration_s]), grid)
    events = decode(tracks, decodings)
    first, end = grid.along(tracks.values.shape[1]).frames_of(events.starts, events.ends)
    rows = [
        (
            str(found.path),
            task.targets[kind],
            float(start_s),
            float(end_s),
            float(tracks.values[kind, begin:stop].max()),
        )
        for kind, start_s, end_s, begin, stop in zip(events.rows, events.starts, events.ends, first, end, strict=True)
    ]
    return replace(found, values=values, tracks=tracks, events=sorted(rows, key=lambda row: (row[2], row[1])))


def combine(probabilities: NDArray[np.float64], task: TaskSettings, normal_shift: float = 0.0) -> NDArray[np.float64]:
    """Return the probabilities of a recording, shape [target], from its clips' [clip, target], by the task's method.

    `normal_shift` is added to the logit of the task's normal class before.
    """
    if normal_shift:
        probabilities = weigh_class(probabilities, task.normal_column, normal_shift)
    unknown = np.full(probabilities.shape, np.nan)
    together = np.zeros(len(probabilities), dtype=np.int64)
    multi_class = task.type == "multi_class"
    return aggregate(probabilities, unknown, together, task.aggregate.method, multi_class=multi_class)[1][0]


def tabulate(
    outputs: Sequence[FileOutputs],
    task: TaskSettings,
    points: Mapping[str, LevelPoint],
    notes: Sequence[str] = (),
    conformal: Mapping[str, Any] | None = None,
) -> Predictions:
    """Return the predictions of files as tables.

    Args:
        outputs: One a file, in order.
        task: Its targets, and how clips combine.
        points: Level -> where decisions are taken.
        notes: Of the predictions.
        conformal: `conformal` of `model.json`, of a model with conformal sets.
    """
    columns = [probability_column(target) for target in task.targets]
    recordings: list[dict[str, Any]] = []
    clips: list[tuple[str, int, float, float]] = []
    of_clips: list[NDArray[np.float64]] = []
    for found in outputs:
        if found.fault is not None:
            continue
        values = np.asarray(found.values, dtype=np.float64)
        file = str(found.path)
        recordings.append(
            {"file": file, "duration_s": found.duration_s, "n_clips": len(values), "sound": "; ".join(found.marks)}
        )
        clips += [(file, index, cut.start_s, cut.end_s) for index, cut in enumerate(found.cuts)]
        of_clips.append(values)
    none = np.zeros((0, len(columns)))
    by_file = _combined(of_clips, task, points["recording"].normal_shift)
    by_clip = np.concatenate(of_clips) if of_clips else none
    if points["clip"].normal_shift:
        by_clip = weigh_class(by_clip, task.normal_column, points["clip"].normal_shift)
    by_level = {
        "recording": with_predictions(
            pd.DataFrame(recordings, columns=["file", "duration_s", "n_clips", "sound"]),
            by_file,
            task,
            points["recording"],
        ),
        "clip": with_predictions(
            pd.DataFrame(clips, columns=["file", "clip", "start_s", "end_s"]),
            by_clip,
            task,
            points["clip"],
        ),
    }
    if conformal is not None:
        # The sets are of the probabilities that the task's level has.
        level = "clip" if conformal["level"] == "clip" else "recording"
        of_level = np.concatenate(of_clips) if of_clips and level == "clip" else _combined(of_clips, task)
        for view, unsure in is_unsure(of_level, task, conformal).items():
            by_level[level][unsure_column(view)] = unsure
    return Predictions(
        recordings=by_level["recording"],
        clips=by_level["clip"],
        errors={str(found.path): found.fault for found in outputs if found.fault is not None},
        notes=tuple(notes),
    )


def _combined(
    of_clips: Sequence[NDArray[np.float64]], task: TaskSettings, normal_shift: float = 0.0
) -> NDArray[np.float64]:
    """Return the probabilities of recordings, shape [recording, target]."""
    found = [combine(values, task, normal_shift) for values in of_clips]
    return np.stack(found) if found else np.zeros((0, len(task.targets)))


def with_predictions(
    table: pd.DataFrame,
    probabilities: NDArray[np.float64],
    task: TaskSettings,
    point: LevelPoint,
) -> pd.DataFrame:
    """Add to a table the probabilities, and what is decided by them at a level.

    Args:
        table: One row a recording, or a clip; it is changed.
        probabilities: Shape [row, target].
        task: Its targets.
        point: Where decisions are taken.
    """
    for column, target in enumerate(task.targets):
        table[probability_column(target)] = probabilities[:, column]
    if task.type == "multi_class":
        table["answer"] = [task.targets[place] for place in probabilities.argmax(axis=1)]
        return table
    for column, (target, threshold) in enumerate(zip(task.targets, point.thresholds, strict=True)):
        table[threshold_column(target)] = threshold
        table[positive_column(target)] = probabilities[:, column] >= threshold
    return table
