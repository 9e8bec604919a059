"""Which tasks can use a dataset, and what is known there: positive, negative and unknown, by recording and patient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from auscult.config import TaskSettings, load_task
from auscult.config.files import defined_names
from auscult.datasets.sources import DatasetTables
from auscult.errors import AuscultError, DataError
from auscult.labels import patient_targets, recording_targets


@dataclass(frozen=True)
class Balance:
    """How many are positive, negative and unknown."""

    positive: int
    negative: int
    unknown: int

    @property
    def total(self) -> int:
        """How many there are."""
        return self.positive + self.negative + self.unknown


@dataclass(frozen=True)
class TargetBalance:
    """One target (of a multi-class task, one class)."""

    target: str
    recordings: Balance
    patients: Balance


@dataclass(frozen=True)
class TaskBalance:
    """What a dataset knows for one task.

    Attributes:
        name: The task.
        task: Its settings.
        is_doubtful: Whether an experiment must say `allow_doubtful`.
        targets: In the task's order; empty where there is a fault.
        fault: Why the task cannot read the dataset's labels, None when it can.
    """

    name: str
    task: TaskSettings
    is_doubtful: bool
    targets: tuple[TargetBalance, ...]
    fault: str | None = None


def load_tasks(config_dir: Path) -> tuple[dict[str, TaskSettings], list[str]]:
    """Return the tasks by name, and the faults of those that cannot be read."""
    tasks: dict[str, TaskSettings] = {}
    faults: list[str] = []
    for name in defined_names(config_dir, "task"):
        try:
            tasks[name] = load_task(config_dir, name)
        except AuscultError as error:
            faults.append(str(error))
    return tasks, faults


def task_names(dataset: str, tasks: Mapping[str, TaskSettings]) -> list[str]:
    """Return the tasks that map `dataset`; those that need `allow_doubtful` are marked."""
    return [
        f"{name} (doubtful)" if dataset in task.doubtful else name
        for name, task in tasks.items()
        if dataset in task.supported_datasets
    ]


def balances(dataset: str, tables: DatasetTables, tasks: Mapping[str, TaskSettings]) -> list[TaskBalance]:
    """Return what the dataset knows for every task that maps it."""
    return [_balance(name, task, dataset, tables) for name, task in tasks.items() if dataset in task.supported_datasets]


def _balance(name: str, task: TaskSettings, dataset: str, tables: DatasetTables) -> TaskBalance:
    is_doubtful = dataset in task.doubtful
    try:
        recordings = recording_targets(tables.recordings, tables.events, task)
        patients = patient_targets(tables.recordings, tables.events, task).to_numpy()
    except DataError as error:
        return TaskBalance(name, task, is_doubtful, (), fault=str(error))
    found = [
        TargetBalance(target, _count(recordings[:, column]), _count(patients[:, column]))
        for column, target in enumerate(task.targets)
    ]
    return TaskBalance(name, task, is_doubtful, tuple(found))


def _count(values: npt.NDArray[np.floating]) -> Balance:
    unknown = np.isnan(values)
    return Balance(int((values == 1).sum()), int((values == 0).sum()), int(unknown.sum()))
