"""The clips of many files through a model, in batches that reach over the borders of files."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auscult.audio.cut import Cut
from auscult.audio.probe import AudioFacts
from auscult.errors import DataError
from auscult.inference.reading import ClipReader, read_facts
from auscult.inference.stream import ClipBlock

Answer = Callable[[NDArray[Any]], NDArray[Any]]
"""What a model does to a batch: [clip, ...] -> [clip, value]."""
Watch = Callable[[Path, AudioFacts, ClipBlock], None]


@dataclass
class FileAnswers:
    """What came of one file.

    Attributes:
        path: The file.
        duration_s: Its length.
        cuts: Its clips.
        values: One row a clip; empty where there is a fault.
        fault: Why it was not answered, without the file's name; None for a good file.
    """

    path: Path
    duration_s: float = 0.0
    cuts: list[Cut] = field(default_factory=list)
    values: list[NDArray[Any]] = field(default_factory=list)
    fault: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether each clip has its answer."""
        return len(self.cuts) == len(self.values)


def answer_files(
    paths: Sequence[Path], reader: ClipReader, answer: Answer, *, batch_clips: int = 64, watch: Watch | None = None
) -> Generator[FileAnswers]:
    """Yield the answers of each file, in the order of the files; a file that cannot be read comes with its fault.

    Args:
        paths: Audio files.
        reader: Cuts them.
        answer: What is asked of the model, `batch_clips` clips at a time.
        batch_clips: Clips in a batch; files too short to fill one share it.
        watch: Is shown every block of clips that is read.
    """
    waiting: list[FileAnswers] = []
    queue = _Queue(answer, batch_clips)
    for path in paths:
        found = FileAnswers(path)
        waiting.append(found)
        try:
            facts = read_facts(path)
            found.duration_s = facts.duration_s
            for block in reader.blocks(path, facts, batch_clips):
                if watch is not None:
                    watch(path, facts, block)
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

    def __init__(self, answer: Answer, batch_clips: int) -> None:
        self._answer = answer
        self._batch_clips = batch_clips
        self._clips: list[NDArray[Any]] = []
        self._owners: list[FileAnswers] = []

    def add(self, owner: FileAnswers, clips: NDArray[Any]) -> None:
        self._clips += list(clips)
        self._owners += [owner] * len(clips)
        while len(self._clips) >= self._batch_clips:
            self._take(self._batch_clips)

    def flush(self) -> None:
        if self._clips:
            self._take(len(self._clips))

    def _take(self, n_clips: int) -> None:
        values = self._answer(np.stack(self._clips[:n_clips]))
        for owner, value in zip(self._owners[:n_clips], values, strict=True):
            owner.values.append(value)
        del self._clips[:n_clips], self._owners[:n_clips]
