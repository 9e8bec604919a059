"""The files of a study's trials: their settings, and the rungs that their trainings have reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auscult.config.documents import read_bounded_json
from auscult.config.experiment import Experiment, JobSettings
from auscult.config.resolve import load_task, require_tunable
from auscult.config.trials import SETTINGS_FILE, TrialSettings, rung_key, rung_path, trial_dir, trial_job
from auscult.errors import DataError
from auscult.storage.files import write_json

MOST_RUNG_BYTES = 64_000_000


@dataclass(frozen=True)
class Rung:
    """What a training of a trial with one seed had reached.

    Attributes:
        value: Of the study's metric, in the epoch that would be kept; None: the trial failed.
        loss: The validation loss in the same epoch.
        training_s: Of all its epochs so far.
        epochs: Trained so far.
        samples_per_s: Of the epochs after the first, in the middle.
        peak_memory_mb: The most that a process of it took.
        reason: Why it failed.
    """

    value: float | None
    loss: float | None
    training_s: float
    epochs: int
    samples_per_s: float | None
    peak_memory_mb: float | None
    reason: str


class TrialFiles:
    """The files of one experiment's trials.

    Args:
        config_dir: The folder `config`.
        experiment: As its file says it.
        metric: The value of a trial.
        job: The number of the job that is changed.

    Raises:
        ConfigError: The job cannot be tuned.
    """

    def __init__(self, config_dir: Path, experiment: Experiment, metric: str, job: int = 1) -> None:
        require_tunable(experiment.job(job), f"{experiment.group}/{experiment.name}, job {job}")
        self._config_dir = config_dir
        self._experiment = experiment
        self._metric = metric
        self._job_number = job
        self._name = (experiment.group, experiment.name)
        self._keys: dict[tuple[str, int], str] = {}

    def write_settings(self, trial: int | str, values: Mapping[str, Any]) -> None:
        """Write what a trial changes.

        Raises:
            ConfigError: The values do not go together.
        """
        settings = TrialSettings(job=self._job_number, values=dict(values))
        self._job(trial, values, seed=0)
        write_json(trial_dir(*self._name, str(trial)) / SETTINGS_FILE, settings.model_dump(mode="json"))

    def rung(self, trial: int | str, values: Mapping[str, Any], seed: int, epoch: int) -> Path:
        """Return the path of a rung; the settings that it is made with are there."""
        if not (trial_dir(*self._name, str(trial)) / SETTINGS_FILE).is_file():
            self.write_settings(trial, values)
        return rung_path(*self._name, str(trial), seed, epoch)

    def last_epoch(self, trial: int | str, seed: int, epochs: Sequence[int]) -> int | None:
        """Return the last of some epochs that a training has reached."""
        there = [epoch for epoch in epochs if rung_path(*self._name, str(trial), seed, epoch).is_file()]
        return max(there, default=None)

    def read(self, trial: int | str, values: Mapping[str, Any], seed: int, epoch: int) -> Rung:
        """Read what a training had reached.

        Raises:
            DataError: It is of another trial.
        """
        path = rung_path(*self._name, str(trial), seed, epoch)
        found = read_bounded_json(path, MOST_RUNG_BYTES)
        if found.get("epoch") != epoch or found.get("key") != self._key(trial, values, seed):
            raise DataError(f"{path}: of other settings than this trial's; remove it, and run the same command again")
        rows: list[dict[str, Any]] = found["rows"]
        kept = next((row for row in rows if row["epoch"] == found["kept_epoch"]), {})
        # The first epoch warms caches up.
        speeds = sorted(row["samples_per_s"] for row in rows[1:] or rows if row.get("samples_per_s"))
        return Rung(
            value=kept.get(self._metric) if found["status"] == "reached" else None,
            loss=kept.get("val/loss"),
            training_s=sum(row["epoch_s"] for row in rows),
            epochs=len(rows),
            samples_per_s=speeds[len(speeds) // 2] if speeds else None,
            peak_memory_mb=found.get("peak_memory_mb"),
            reason=found["reason"] or f"{self._metric} is defined in no epoch",
        )

    def _key(self, trial: int | str, values: Mapping[str, Any], seed: int) -> str:
        known = (str(trial), seed)
        if known not in self._keys:
            self._keys[known] = rung_key(self._job(trial, values, seed))
        return self._keys[known]

    def _job(self, trial: int | str, values: Mapping[str, Any], seed: int) -> JobSettings:
        task = load_task(self._config_dir, self._experiment.task)
        settings = TrialSettings(job=self._job_number, values=dict(values))
        where = f"trial {trial}"
        return trial_job(self._config_dir, self._experiment, settings, task, seed=seed, where=where)
