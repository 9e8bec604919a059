"""What each patient can prove: whether it holds a positive, and a negative, of each target at the task's level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from auscult.config.task import EventRule
from auscult.labels import clip_targets, patient_targets, recording_targets
from auscult.labels.targets import WHOLE_RECORDING

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from auscult.config.task import TaskSettings

N_PARTS = 10
"""A recording that was listened to as a whole is looked at in so many parts, for it has no cycles to look at."""


@dataclass(frozen=True)
class Evidence:
    """What the patients of some recordings hold, in sorted order of `patient_ids`.

    A patient-level task counts patients (a patient is positive or negative, never both); a clip-level task counts
    breathing cycles or what else was annotated, so that one patient can hold both.

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

    def take(self, at: NDArray[np.bool_] | NDArray[np.integer]) -> Evidence:
        """Return some of the patients."""
        return Evidence(self.patient_ids[at], self.datasets[at], self.positive[at], self.negative[at])


def patient_evidence(recordings: pd.DataFrame, events: pd.DataFrame, task: TaskSettings) -> Evidence:
    """Return what the patients of `recordings` hold at the task's level.

    Args:
        recordings: Rows of `tables.RECORDINGS`.
        events: Rows of `tables.EVENTS`.
        task: Its level and rules.
    """
    # A patient's dataset is that of its rows: patient ids carry the dataset's name.
    firsts = recordings.drop_duplicates("patient_id").sort_values("patient_id")
    patient_ids = firsts["patient_id"].to_numpy(dtype=object)
    datasets = firsts["dataset"].to_numpy(dtype=object)
    if task.level == "patient":
        values = patient_targets(recordings, events, task).to_numpy(dtype=np.float32)
        return Evidence(patient_ids, datasets, values == 1, values == 0)
    if task.level == "recording":
        owners, values = recordings["patient_id"], recording_targets(recordings, events, task)
    else:
        parts = _parts(recordings, events, task)
        owners, values = parts["patient_id"], clip_targets(parts, recordings, events, task)
    rows = pd.Index(patient_ids).get_indexer(pd.Index(owners))
    found = np.zeros((2, len(patient_ids), len(task.targets)), dtype=bool)
    for side, wanted in enumerate((1, 0)):
        at, column = np.nonzero(values == wanted)
        found[side, rows[at], column] = True
    return Evidence(patient_ids, datasets, found[0], found[1])


def _parts(recordings: pd.DataFrame, events: pd.DataFrame, task: TaskSettings) -> pd.DataFrame:
    """Return stretches that clips of any setting would fall on: what was annotated, and the recordings themselves."""
    rules = [rule for by_target in task.datasets.values() for rule in by_target.values() if isinstance(rule, EventRule)]
    kinds = {kind for rule in rules for kind in rule.annotated_by}
    owners = pd.DataFrame(recordings[["recording_id", "patient_id"]])
    duration_s = recordings["duration_s"].to_numpy(dtype=np.float64)
    stretches = [owners.assign(start_s=0.0, end_s=duration_s)]
    if WHOLE_RECORDING in kinds:
        part_s = duration_s / N_PARTS
        stretches += [owners.assign(start_s=k * part_s, end_s=(k + 1) * part_s) for k in range(N_PARTS)]
    annotated = events.loc[events["kind"].isin(list(kinds)), ["recording_id", "start_s", "end_s"]]
    stretches.append(annotated.merge(owners, on="recording_id", how="inner"))
    return pd.concat(stretches, ignore_index=True)
