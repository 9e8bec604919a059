"""The files of a study below `work/tune/<group>/<name>`: the settings of its trials, and what was chosen."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, TypeAdapter

from auscult.config.base import Settings
from auscult.config.documents import read_bounded_json
from auscult.config.experiment import Experiment, JobSettings
from auscult.config.files import parse
from auscult.config.resolve import apply_values, load_experiment, load_task
from auscult.config.task import TaskSettings
from auscult.errors import ConfigError
from auscult.storage.files import settings_key

FORMAT = 1
CHOSEN_FILE = "chosen.json"
TRIALS_FILE = "trials.csv"
JOURNAL_FILE = "study.journal"
SETTINGS_FILE = "settings.json"
TRIAL_PATTERN = r"[0-9a-z][0-9a-z-]*"
MOST_TRIAL_BYTES = 64_000
MOST_CHOSEN_BYTES = 64_000_000

NOT_SEARCHED = ("evaluate", "note", "seeds", "val_folds", "ensemble")
"""Of the job: what the chosen one is trained and judged with again, and no trial is."""

State = Literal["complete", "pruned", "failed"]


class TrialSettings(Settings):
    """`trials/<trial>/settings.json`: what a trial changes in a job of the experiment's file."""

    job: int = Field(default=1, ge=1)
    values: dict[str, Any]


class RungValue(Settings):
    """What a trial had reached after some epochs."""

    epoch: int
    value: float
    of_seeds: tuple[float, ...]


class TrialRecord(Settings):
    """One trial of a finished study.

    Attributes:
        number: From 0 on.
        state: Complete: trained to the end. Pruned: stopped at a rung.
        values: Its settings.
        value: Of its last rung; None: it failed.
        rungs: In their order.
        training_s: Of all its seeds together.
        reason: Why it failed.
    """

    number: int
    state: State
    values: dict[str, Any]
    value: float | None
    rungs: tuple[RungValue, ...]
    training_s: float
    reason: str = ""


class Budget(Settings):
    """What a study took: hours of training, epochs, and the epochs of as many trials trained to the end."""

    training_h: float
    epochs: int
    epochs_without_pruning: int
    ended_by_budget: bool = False


class Chosen(Settings):
    """`chosen.json`: what a finished study chose, and all that it rests on."""

    format: Literal[1] = FORMAT
    experiment: str
    key: str = Field(description="of the job and the search that it is the outcome of")
    metric: str
    mode: Literal["max", "min"]
    trial: int
    value: float
    values: dict[str, Any]
    reason: str
    importances: dict[str, float] = Field(default={})
    importance_method: str = ""
    budget: Budget
    trials: tuple[TrialRecord, ...]


_CHOSEN = TypeAdapter(Chosen)
_TRIAL = TypeAdapter(TrialSettings)


def study_dir(group: str, experiment: str) -> Path:
    """Where a study works."""
    return Path("work/tune") / group / experiment


def trial_dir(group: str, experiment: str, trial: str) -> Path:
    """Where a trial works; below it is a folder for each seed."""
    return study_dir(group, experiment) / "trials" / trial


def rung_path(group: str, experiment: str, trial: str, seed: int, epoch: int) -> Path:
    """What a trial's training with one seed had reached after so many epochs."""
    return trial_dir(group, experiment, trial) / f"seed{seed}" / f"epoch{epoch}.json"


def read_trial(group: str, experiment: str, trial: str) -> TrialSettings:
    """Read the settings of a trial.

    Raises:
        ConfigError: There is no such trial, or its file is damaged.
    """
    path = trial_dir(group, experiment, trial) / SETTINGS_FILE
    if not re.fullmatch(TRIAL_PATTERN, trial) or not path.is_file():
        raise ConfigError(
            f"{path}: no such trial; `auscult tune run {group}/{experiment}` makes the trials of a study, and runs them"
        )
    return parse(_TRIAL, read_bounded_json(path, MOST_TRIAL_BYTES), str(path))


def list_trials(group: str, experiment: str) -> list[str]:
    """Return the trials that have settings, sorted."""
    return sorted(path.parent.name for path in study_dir(group, experiment).glob(f"trials/*/{SETTINGS_FILE}"))


def trial_job(
    config_dir: Path, experiment: Experiment, trial: TrialSettings, task: TaskSettings, *, seed: int, where: str
) -> JobSettings:
    """Return what is trained for a trial with one seed.

    Raises:
        ConfigError: Values that the job cannot take together.
    """
    if trial.job > len(experiment.jobs):
        raise ConfigError(f"{where}: job: found {trial.job}, the experiment has {len(experiment.jobs)}")
    job = apply_values(config_dir, experiment.job(trial.job), trial.values, task, where)
    changes = {
        "folds": None,
        "val_folds": None,
        "matrix": None,
        "seeds": (),
        "ensemble": False,
        "train": job.train.model_copy(update={"seed": seed}),
        "evaluate": job.evaluate.model_copy(update={"best_on_test": False}),
    }
    return job.model_copy(update=changes)


def rung_key(job: JobSettings) -> str:
    """Return a digest of what a trial trains: a file of another trial in its place is not taken for it."""
    return settings_key(job.model_dump(mode="json", exclude={"evaluate", "note"}))


def study_key(experiment: Experiment) -> str:
    """Return a digest of what shapes a study: the job and the search; how long it goes on does not.

    What only the retrained job is judged by plays no part.
    """
    if experiment.tune is None:
        raise ValueError(f"{experiment.group}/{experiment.name} has no search")
    job = experiment.job(1).model_dump(mode="json", exclude=set(NOT_SEARCHED))
    tune = experiment.tune.model_dump(mode="json", exclude={"trials", "budget_h"})
    return settings_key({"job": job, "tune": tune})


def read_chosen(experiment: Experiment, root: Path = Path()) -> Chosen | None:
    """Return what the study of an experiment chose; None: it is not finished, or was one of other settings.

    Args:
        experiment: As its file says it.
        root: The project's folder.

    Raises:
        ConfigError: The file is damaged.
    """
    path = root / study_dir(experiment.group, experiment.name) / CHOSEN_FILE
    if not path.is_file():
        return None
    chosen = read_chosen_file(path)
    return chosen if chosen.key == study_key(experiment) else None


def read_chosen_file(path: Path) -> Chosen:
    """Read what a study chose, of whatever settings.

    Raises:
        ConfigError: The file is damaged.
    """
    return parse(_CHOSEN, read_bounded_json(path, MOST_CHOSEN_BYTES), str(path))


def with_chosen(config_dir: Path, experiment: Experiment, root: Path = Path()) -> Experiment:
    """Return an experiment with the settings that its study chose; one without a search as it is.

    Raises:
        ConfigError: Its study is not finished; the error says the command.
    """
    if experiment.tune is None:
        return experiment
    chosen = read_chosen(experiment, root)
    name = f"{experiment.group}/{experiment.name}"
    if chosen is None:
        folder = root / study_dir(experiment.group, experiment.name)
        state = "was of other settings" if (folder / CHOSEN_FILE).is_file() else "is not finished"
        raise ConfigError(f"{name} has a search (`tune`), and its study {state}; run it first: auscult tune run {name}")
    job = chosen_job(config_dir, experiment, chosen.values)
    return experiment.model_copy(update={"jobs": (job,)})


def chosen_job(config_dir: Path, experiment: Experiment, values: Mapping[str, Any]) -> JobSettings:
    """Return the experiment's job with chosen values, its seeds and evaluation as the file says them."""
    task = load_task(config_dir, experiment.task)
    where = str(study_dir(experiment.group, experiment.name) / CHOSEN_FILE)
    return apply_values(config_dir, experiment.job(1), values, task, where)


def load_tuned_experiment(config_dir: Path, group: str, name: str, root: Path = Path()) -> Experiment:
    """Read an experiment; one with a search comes with the settings that its study chose.

    Raises:
        ConfigError: As `load_experiment`; or its study is not finished.
    """
    return with_chosen(config_dir, load_experiment(config_dir, group, name), root)
