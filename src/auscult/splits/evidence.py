"""What recordings and patients can prove: whether they hold a positive, and a negative, of each target.

Counted at the task's level: for a task about patients one positive recording makes the patient positive; a task about
clips looks at breathing cycles, or what else was annotated, so that one patient can hold both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from auscult.config.task import EventRule
from auscult.labels import clip_targets, recording_targets
from auscult.labels.targets import WHOLE_RECORDING

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from auscult.config.task import TaskSettings

N_PARTS = 10
"""A recording that was listened to as a whole is looked at in so many parts, for it has no cycles to look at."""


@dataclass(frozen=True)
class Evidence:
    """What the patients of some recordings hold, in sorted order of `patient_ids`.

    Attributes:
        patient_ids: Shape [patient].
        datasets: Shape [patient].
        positive: Shape [patient, target]: it holds a positive.
        negative: Shape [patient, target]: it holds a negative.
    """

    patient_ids: NDArray[np.object_]
    datasets: NDArray[np.object_]
    positive: NDArray[np.bool_]
    negative: NDArray[np.bool_]


@dataclass(frozen=True)
class RecordingFacts:
    """What is known of each recording, computed once and summed up for any part of the recordings.

    Attributes:
        patient_ids: Shape [recording].
        datasets: Shape [recording].
        targets: Shape [recording, target]: 1, 0 or NaN.
        positive: Shape [recording, target]: it holds a positive at the task's level.
        negative: Shape [recording, target]: it holds a negative at the task's level.
        level: The task's level. At `clip` a recording can hold both; at `patient` one positive recording makes the
            patient positive and nothing else.
    """

    patient_ids: NDArray[np.object_]
    datasets: NDArray[np.object_]
    targets: NDArray[np.float32]
    positive: NDArray[np.bool_]
    negative: NDArray[np.bool_]
    level: str

    def take(self, at: NDArray[np.bool_]) -> RecordingFacts:
        """Return the facts of some of the recordings."""
        return RecordingFacts(
            patient_ids=self.patient_ids[at],
            datasets=self.datasets[at],
            targets=self.targets[at],
            positive=self.positive[at],
            negative=self.negative[at],
            level=self.level,
        )

    def by_patient(self) -> Evidence:
        """Return what the patients of these recordings hold."""
        patient_ids, first, rows = np.unique(self.patient_ids.astype(str), return_index=True, return_inverse=True)
        positive = _any_by(rows, self.positive, len(patient_ids))
        negative = _any_by(rows, self.negative, len(patient_ids))
        if self.level == "patient":
            negative &= ~positive
        return Evidence(patient_ids.astype(object), self.datasets[first], positive, negative)

    def patient_values(self) -> NDArray[np.float32]:
        """Return the maximum of what is known of each patient, shape [patient, target], patients in sorted order."""
        patient_ids, rows = np.unique(self.patient_ids.astype(str), return_inverse=True)
        values = np.where(_any_by(rows, self.targets == 0, len(patient_ids)), np.float32(0), np.float32(np.nan))
        values[_any_by(rows, self.targets == 1, len(patient_ids))] = 1
        return values


def _any_by(rows: NDArray[np.integer], held: NDArray[np.bool_], n_rows: int) -> NDArray[np.bool_]:
    found = np.zeros((n_rows, held.shape[1]), dtype=bool)
    at, column = np.nonzero(held)
    found[rows[at], column] = True
    return found


def recording_facts(recordings: pd.DataFrame, events: pd.DataFrame, task: TaskSettings) -> RecordingFacts:
    """Look up what is known of every recording.

    Args:
        recordings: Rows of `tables.RECORDINGS`.
        events: Rows of `tables.EVENTS`.
        task: Its level and rules.
    """
    targets = recording_targets(recordings, events, task)
    positive, negative = targets == 1, targets == 0
    if task.level == "clip":
        parts = _parts(recordings, events, task)
        values = clip_targets(parts, recordings, events, task)
        rows = pd.Index(recordings["recording_id"]).get_indexer(pd.Index(parts["recording_id"]))
        positive, negative = (_any_by(rows, values == value, len(recordings)) for value in (1, 0))
    patient_ids, datasets = (recordings[name].to_numpy(dtype=object) for name in ("patient_id", "dataset"))
    return RecordingFacts(patient_ids, datasets, targets, positive, negative, task.level)


def _parts(recordings: pd.DataFrame, events: pd.DataFrame, task: TaskSettings) -> pd.DataFrame:
    """Return stretches that clips of any setting would fall on: what was annotated, and the recordings themselves."""
    rules = [rule for by_target in task.datasets.values() for rule in by_target.values() if isinstance(rule, EventRule)]
    kinds = {kind for rule in rules for kind in rule.annotated_by}
    owners = pd.DataFrame(recordings[["recording_id"]])
    duration_s = recordings["duration_s"].to_numpy(dtype=np.float64)
    stretches = [owners.assign(start_s=0.0, end_s=duration_s)]
    if WHOLE_RECORDING in kinds:
        part_s = duration_s / N_PARTS
        stretches += [owners.assign(start_s=k * part_s, end_s=(k + 1) * part_s) for k in range(N_PARTS)]
    ours = pd.Index(owners["recording_id"]).get_indexer(pd.Index(events["recording_id"])) >= 0
    chosen = events["kind"].isin(list(kinds)).to_numpy(dtype=bool) & ours
    stretches.append(pd.DataFrame(events.loc[chosen, ["recording_id", "start_s", "end_s"]]))
    return pd.concat(stretches, ignore_index=True)
