"""The coordinator of a study: it asks for trials, has their rungs trained, and decides which go on.

A study proceeds in steps. In each one the trials that go on and new ones, `tune.parallel` together, train to their next
rung, all in one call of the workflow; then their values are told in the order of the trials' numbers. What a step does
is written to the journal before it begins. So a study that was killed at any moment goes on as if it had not been,
trial by trial: what was asked is not asked again, what was trained is not trained again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auscult.config.documents import read_bounded_json
from auscult.config.experiment import Experiment
from auscult.config.flatten import differences
from auscult.config.resolve import load_experiment
from auscult.config.trials import (
    CHOSEN_FILE,
    JOURNAL_FILE,
    NOT_SEARCHED,
    TRIALS_FILE,
    Chosen,
    study_dir,
    study_key,
)
from auscult.config.tune import TuneSettings
from auscult.errors import ConfigError, InfeasibleError
from auscult.formatting.numbers import plural
from auscult.ops import search
from auscult.ops.study_outcome import REASON, conclude, is_complete, trials_table
from auscult.ops.study_status import FINISHED, STATE_FOLDER, write_status
from auscult.ops.trial_files import MOST_RUNG_BYTES, Rung, TrialFiles
from auscult.storage.files import write_json
from auscult.storage.tables import write_csv
from auscult.training.lock import RunLock

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

logger = logging.getLogger(__name__)

BINDING_FILE = "binding.json"
_STEP = "step"
_BUDGET_OVER = "budget_over"
Make = Callable[[Sequence[Path]], None]
"""Makes the files of rungs, paths from the project's folder; raises where one cannot be made."""


@dataclass
class Study:
    """A study on disk, below `work/tune/<group>/<name>`.

    Args:
        config_dir: The folder `config`.
        experiment: As its file says it, with a search.
        make: Has rungs trained.
        tell: Called with what has happened, for people.

    Attributes:
        folder: Of the study.
        files: Of its trials.
    """

    config_dir: Path
    experiment: Experiment
    make: Make
    tell: Callable[[str], None] = logger.info
    folder: Path = field(init=False)
    files: TrialFiles = field(init=False)

    def __post_init__(self) -> None:
        self.folder = study_dir(self.experiment.group, self.experiment.name)
        self.files = TrialFiles(self.config_dir, self.experiment, self.metric)

    @cached_property
    def tune(self) -> TuneSettings:
        """The search."""
        if self.experiment.tune is None:
            name = f"{self.experiment.group}/{self.experiment.name}"
            raise ConfigError(f"{name} has no search: add `tune` to its file (docs/tuning.md)")
        return self.experiment.tune

    @property
    def metric(self) -> str:
        """What trials are compared by."""
        return self.tune.metric or self.experiment.job(1).train.monitor

    @property
    def mode(self) -> search.Mode:
        """Whether large or small values of it are good."""
        return "min" if self.metric == "val/loss" else "max"

    @property
    def seeds(self) -> tuple[int, ...]:
        """Each trial is trained once with each."""
        return self.tune.seeds or (self.experiment.job(1).train.seed,)

    @cached_property
    def epochs(self) -> list[int]:
        """After which epochs trials are compared; the last is the training's end."""
        return self.tune.rung_epochs(self.experiment.job(1).train.epochs)

    def run(self) -> Chosen:
        """Carry the study on to its end, and write what it chose.

        Raises:
            ConfigError: Optuna is missing, or the folder holds a study of other settings.
            BusyError: Another process runs this study.
            InfeasibleError: Every trial failed.
        """
        search.require_optuna()
        _ = self.tune
        with RunLock(self.folder / STATE_FOLDER).held():
            self._bind()
            self._open()
            while True:
                self._carry_out(self._step)
                jobs = self._next_jobs()
                if not jobs:
                    break
                step = self._step["number"] + 1
                self._study.set_user_attr(_STEP, {"number": step, "jobs": jobs})
            return self._finish()

    # --- the journal

    def _bind(self) -> None:
        """Refuse to go on with a study of other settings."""
        path = self.folder / BINDING_FILE
        now = {
            "key": study_key(self.experiment),
            "job": self.experiment.job(1).model_dump(mode="json", exclude=set(NOT_SEARCHED)),
            "tune": self.tune.model_dump(mode="json", exclude={"trials", "budget_h"}),
        }
        if path.is_file():
            before = read_bounded_json(path, MOST_RUNG_BYTES)
            if before.get("key") != now["key"]:
                changes = "; ".join(map(str, differences(before, now)[1:]))
                raise ConfigError(
                    f"{self.folder} holds a study of other settings: {changes}. Restore them to go on, or move that "
                    "folder away and run the same command again"
                )
        else:
            write_json(path, now)

    def _open(self) -> None:
        import optuna  # noqa: PLC0415
        from optuna.storages import JournalStorage  # noqa: PLC0415
        from optuna.storages.journal import JournalFileBackend  # noqa: PLC0415

        path = self.folder / JOURNAL_FILE
        # The study's lease is held: a lock of the journal was left by a process that is dead.
        path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
        _drop_torn_line(path)
        self._storage = JournalStorage(JournalFileBackend(str(path)))
        self._study: optuna.Study = optuna.create_study(
            storage=self._storage,
            study_name=f"{self.experiment.group}/{self.experiment.name}",
            direction="maximize" if self.mode == "max" else "minimize",
            sampler=optuna.samplers.RandomSampler(seed=0),
            load_if_exists=True,
        )

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials so far, by their numbers."""
        return self._study.get_trials(deepcopy=False)

    @property
    def _step(self) -> Mapping[str, Any]:
        return self._study.user_attrs.get(_STEP, {"number": 0, "jobs": []})

    # --- a step

    def _carry_out(self, step: Mapping[str, Any]) -> None:
        """Train what the step says and tell what came of it; whatever of it was done before is passed over."""
        jobs: list[tuple[int, int]] = [(number, epoch) for number, epoch in step["jobs"]]
        wanted = [(number, epoch) for number, epoch in jobs if self._awaits(number, epoch)]
        if wanted:
            self._write_status(f"step {step['number']}: {_jobs_text(wanted)}")
            paths = [
                self.files.rung(number, self.values(number), seed, epoch)
                for number, epoch in wanted
                for seed in self.seeds
            ]
            missing = [path for path in paths if not path.is_file()]
            if missing:
                self.make(missing)
        for number, epoch in wanted:
            self._report(number, epoch)
        for number, epoch in jobs:
            self._decide(number, epoch)

    def _awaits(self, number: int, epoch: int) -> bool:
        trial = self.trials[number]
        return not trial.state.is_finished() and epoch not in trial.intermediate_values

    def _report(self, number: int, epoch: int) -> None:
        rungs = [self.files.read(number, self.values(number), seed, epoch) for seed in self.seeds]
        values = [rung.value for rung in rungs if rung.value is not None]
        if len(values) < len(rungs):
            self._fail(number, next(rung.reason for rung in rungs if rung.value is None))
            return
        value = sum(values) / len(values)
        self._storage.set_trial_intermediate_value(self._id(number), epoch, value)
        self.tell(f"trial {number}, epoch {epoch}: {self.metric} {value:.4f}")

    def _id(self, number: int) -> int:
        return self.trials[number]._trial_id  # pyright: ignore[reportPrivateUsage] (what its storage asks for)

    def _decide(self, number: int, epoch: int) -> None:
        """Tell that a trial has reached the end, or was stopped for good."""
        from optuna.trial import TrialState  # noqa: PLC0415

        trial = self.trials[number]
        if trial.state.is_finished():
            return
        value = trial.intermediate_values[epoch]
        if epoch == self.epochs[-1]:
            self._study.tell(number, value)
        elif self.tune.pruner == "median":
            of_all = [other.intermediate_values[epoch] for other in self.trials if epoch in other.intermediate_values]
            if search.is_below_median(value, of_all, self.mode):
                self._study.tell(number, state=TrialState.PRUNED)

    def _fail(self, number: int, reason: str) -> None:
        from optuna.trial import TrialState  # noqa: PLC0415

        self._storage.set_trial_user_attr(self._id(number), REASON, reason)
        self._study.tell(number, state=TrialState.FAIL)
        self.tell(f"trial {number} failed: {reason}")

    # --- the next step

    def _next_jobs(self) -> list[tuple[int, int]]:
        """Return trial and epoch of what is trained next: trials that go on, then new ones."""
        running = [trial for trial in self.trials if not trial.state.is_finished()]
        going_on = self._going_on(running)[: self.tune.parallel]
        jobs = [(number, self._next_epoch(number)) for number in going_on]
        # Asked by a process that was killed before it could write its step.
        jobs += [(trial.number, self.epochs[0]) for trial in running if not trial.intermediate_values]
        while len(jobs) < self.tune.parallel and self._may_ask():
            number = self._ask({number for number, _ in jobs})
            if number is not None:
                jobs.append((number, self.epochs[0]))
        if not jobs and not any(is_complete(trial) for trial in self.trials):
            # ASHA promotes nobody of a rung with few trials: the best of the highest one goes to the end.
            resting = [trial for trial in running if trial.intermediate_values]
            highest = max((max(trial.intermediate_values) for trial in resting), default=None)
            values = {
                trial.number: trial.intermediate_values[highest]
                for trial in resting
                if highest is not None and highest in trial.intermediate_values
            }
            jobs = [(number, self._next_epoch(number)) for number in search.ranked(values, self.mode)[:1]]
        return jobs

    def _going_on(self, running: Sequence[FrozenTrial]) -> list[int]:
        by_number = {trial.number: trial for trial in running if trial.intermediate_values}
        if self.tune.pruner != "asha":
            return sorted(by_number)
        rungs: list[dict[int, float]] = [
            {
                trial.number: trial.intermediate_values[epoch]
                for trial in self.trials
                if epoch in trial.intermediate_values
            }
            for epoch in self.epochs
        ]
        # One that failed, or was stopped for good when the study ended before, keeps its place among the best.
        return [number for number in search.promotable(rungs, self.tune.reduction, self.mode) if number in by_number]

    def _next_epoch(self, number: int) -> int:
        reached = max(self.trials[number].intermediate_values)
        return self.epochs[self.epochs.index(reached) + 1]

    def _may_ask(self) -> bool:
        if len(self.trials) >= self.tune.n_trials:
            return False
        budget_h = self.tune.budget_h
        if budget_h is None:
            return True
        # Once it was over it stays so: a study that goes on decides as it did before.
        if self._study.user_attrs.get(_BUDGET_OVER) != budget_h and self._training_s() / 3600 >= budget_h:
            self._study.set_user_attr(_BUDGET_OVER, budget_h)
            self.tell(f"the budget of {budget_h:g} h is spent: no new trial begins")
        return self._study.user_attrs.get(_BUDGET_OVER) != budget_h

    def _ask(self, in_this_step: set[int]) -> int | None:
        """Ask for a new trial and return its number; None: its values do not go together, and it failed at once."""
        from optuna.trial import TrialState, create_trial  # noqa: PLC0415

        number = len(self.trials)
        values = search.propose(self.tune, number, self._history(in_this_step), self.mode)
        params, space = search.encoded(self.tune, values), search.distributions(self.tune)
        # Whole, in one line of the journal: there is no trial of which only some settings were asked.
        self._study.add_trial(create_trial(state=TrialState.RUNNING, params=params, distributions=space))
        try:
            self.files.write_settings(number, values)
        except ConfigError as error:
            self._fail(number, str(error))
            return None
        return number

    def _history(self, in_this_step: set[int]) -> list[FrozenTrial]:
        """Return all trials as the sampler sees them: one that rests at a rung is one that was pruned there."""
        from optuna.trial import TrialState, create_trial  # noqa: PLC0415

        def seen(trial: FrozenTrial) -> FrozenTrial:
            if trial.state.is_finished() or trial.number in in_this_step or not trial.intermediate_values:
                return trial
            last = trial.intermediate_values[max(trial.intermediate_values)]
            return create_trial(
                state=TrialState.PRUNED,
                value=last,
                params=trial.params,
                distributions=trial.distributions,
                intermediate_values=trial.intermediate_values,
            )

        return [seen(trial) for trial in self.trials]

    # --- what was trained

    def values(self, number: int) -> dict[str, Any]:
        """Return the settings of a trial."""
        return search.decoded(self.tune, self.trials[number].params)

    def last_rungs(self, trial: FrozenTrial) -> list[Rung]:
        """Return what the trainings of a trial had reached last."""
        values = self.values(trial.number)
        return [
            self.files.read(trial.number, values, seed, epoch)
            for seed in self.seeds
            for epoch in [self.files.last_epoch(trial.number, seed, self.epochs)]
            if epoch is not None
        ]

    def _training_s(self) -> float:
        return sum(rung.training_s for trial in self.trials for rung in self.last_rungs(trial))

    def _write_status(self, text: str) -> None:
        trials = self.trials
        complete = {trial.number: float(trial.values[0]) for trial in trials if is_complete(trial)}
        reached = {trial.number: _last(trial) for trial in trials if trial.intermediate_values}
        best = search.ranked(complete or reached, self.mode)[:1]
        states = [trial.state.name for trial in trials]
        write_status(
            self.folder,
            {
                "status": text,
                "metric": self.metric,
                "trials": len(trials),
                "of": self.tune.n_trials,
                "complete": states.count("COMPLETE"),
                "failed": states.count("FAIL"),
                "best_trial": best[0] if best else None,
                "best_value": (complete or reached)[best[0]] if best else None,
            },
        )

    # --- the end

    @property
    def is_over_budget(self) -> bool:
        """Whether it began no more trials for its budget."""
        return _BUDGET_OVER in self._study.user_attrs

    def _finish(self) -> Chosen:
        from optuna.trial import TrialState  # noqa: PLC0415

        if not any(is_complete(trial) for trial in self.trials):
            reasons = dict.fromkeys(trial.user_attrs.get(REASON, "") for trial in self.trials)
            raise InfeasibleError(
                f"{self.folder}: each of {plural(len(self.trials), 'trial')} failed: {'; '.join(reasons)}. Search "
                "other values, move that folder away and run the same command again"
            )
        for trial in self.trials:
            if not trial.state.is_finished():
                self._study.tell(trial.number, state=TrialState.PRUNED)
        chosen = conclude(self)
        write_csv(self.folder / TRIALS_FILE, trials_table(chosen))
        write_json(self.folder / CHOSEN_FILE, chosen.model_dump(mode="json"))
        self._write_status(FINISHED)
        return chosen


def open_study(config_dir: Path, group: str, name: str, make: Make, tell: Callable[[str], None]) -> Study:
    """Return the study of an experiment.

    Raises:
        ConfigError: There is no such experiment, or it has no search.
    """
    study = Study(config_dir, load_experiment(config_dir, group, name), make, tell)
    _ = study.tune
    return study


def _last(trial: FrozenTrial) -> float:
    return float(trial.intermediate_values[max(trial.intermediate_values)])


def _jobs_text(jobs: Sequence[tuple[int, int]]) -> str:
    return "training " + ", ".join(f"trial {number} to epoch {epoch}" for number, epoch in jobs)


def _drop_torn_line(path: Path) -> None:
    """Cut off a last line that a killed process could not end; Optuna would refuse the whole journal."""
    if not path.is_file():
        return
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with path.open("r+b") as stream:
            stream.truncate(len(whole))
