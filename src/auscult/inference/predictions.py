"""What a model answers to audio files, as two tables: by recording and by clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auscult.config.task import TaskSettings
from auscult.inference.answers import FileAnswers
from auscult.metrics.aggregate import aggregate
from auscult.predictions import probability_column


@dataclass(frozen=True)
class Predictions:
    """Answers to files.

    Attributes:
        recordings: One row a file: `file`, `duration_s`, `n_clips`, `prob_<target>`, then `positive_<target>` or, of a
            multi-class task, `answer`.
        clips: One row a clip: `file`, `clip` (from 0), `start_s`, `end_s` (of the true sound), then as above.
        errors: File -> why it was not answered.
        notes: What a reader has to know of the answers.
    """

    recordings: pd.DataFrame
    clips: pd.DataFrame
    errors: dict[str, str]
    notes: tuple[str, ...] = ()


def positive_column(target: str) -> str:
    """Column that says whether the probability reaches the target's threshold."""
    return f"positive_{target}"


def combine(answers: NDArray[np.float64], task: TaskSettings) -> NDArray[np.float64]:
    """Return the answer of a recording, shape [target], of its clips' [clip, target], by the task's method."""
    unknown = np.full(answers.shape, np.nan)
    together = np.zeros(len(answers), dtype=np.int64)
    multi_class = task.type == "multi_class"
    return aggregate(answers, unknown, together, task.aggregate.method, multi_class=multi_class)[1][0]


def tabulate(
    answers: Sequence[FileAnswers], task: TaskSettings, thresholds: Sequence[float], notes: Sequence[str] = ()
) -> Predictions:
    """Return the answers of files as tables.

    Args:
        answers: One a file, in order.
        task: Names the targets, and says how clips combine.
        thresholds: One a target; empty for a multi-class task.
        notes: What a reader has to know.
    """
    columns = [probability_column(target) for target in task.targets]
    recordings: list[dict[str, Any]] = []
    whole: list[NDArray[np.float64]] = []
    clips: list[tuple[str, int, float, float]] = []
    parts: list[NDArray[np.float64]] = []
    for found in answers:
        if found.fault is not None:
            continue
        values = np.asarray(found.values, dtype=np.float64)
        file = str(found.path)
        recordings.append({"file": file, "duration_s": found.duration_s, "n_clips": len(values)})
        whole.append(combine(values, task))
        clips += [(file, index, cut.start_s, cut.end_s) for index, cut in enumerate(found.cuts)]
        parts.append(values)
    none = np.zeros((0, len(columns)))
    by_file = np.stack(whole) if whole else none
    by_clip = np.concatenate(parts) if parts else none
    return Predictions(
        recordings=_with_answers(
            pd.DataFrame(recordings, columns=["file", "duration_s", "n_clips"]), by_file, task, thresholds
        ),
        clips=_with_answers(
            pd.DataFrame(clips, columns=["file", "clip", "start_s", "end_s"]), by_clip, task, thresholds
        ),
        errors={str(found.path): found.fault for found in answers if found.fault is not None},
        notes=tuple(notes),
    )


def _with_answers(
    table: pd.DataFrame, probabilities: NDArray[np.float64], task: TaskSettings, thresholds: Sequence[float]
) -> pd.DataFrame:
    for column, target in enumerate(task.targets):
        table[probability_column(target)] = probabilities[:, column]
    if task.type == "multi_class":
        table["answer"] = [task.targets[place] for place in probabilities.argmax(axis=1)]
        return table
    for column, (target, threshold) in enumerate(zip(task.targets, thresholds, strict=True)):
        table[positive_column(target)] = probabilities[:, column] >= threshold
    return table
