"""What a job takes from an earlier training: what has to be there first, and where it is read.

A result of this project is made first when it is asked for: the whole published result of another experiment, or the
other job alone of the same one, whose result is published later.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from auscult.config.experiment import JobSettings
from auscult.config.paths import place_of, result_dir, run_dir
from auscult.config.train import PRETRAINED_SOURCES
from auscult.errors import ConfigError

WEIGHTS_FILE = "model.safetensors"
META_FILE = "model.json"
MODEL_FILES = (WEIGHTS_FILE, META_FILE, "history.csv")
"""What a training declares: the files of a model that is evaluated again."""

_HUB = "hub"
_ENCODER = "probe.encoder"
_MEMBERS = "ensemble"
_FILES = {"evaluate_only": MODEL_FILES, _ENCODER: (WEIGHTS_FILE, META_FILE), "train.pretrained.result": (WEIGHTS_FILE,)}
"""Settings that name the folder of a trained job -> the files in it that are read."""


class RunName(NamedTuple):
    """One training of the project."""

    task: str
    experiment: str
    run: str

    def __str__(self) -> str:
        return f"{self.task}/{self.experiment}, job {self.run}"


class Upstream(NamedTuple):
    """What a job takes.

    Attributes:
        setting: Which setting names it, such as `train.pretrained.result`.
        written: The path in the setting.
        read: The path that is read.
        needs: Files, or a result's folder, that have to be there first.
        runs: The trainings of this project that make them; empty for files from elsewhere.
    """

    setting: str
    written: str
    read: str
    needs: tuple[str, ...]
    runs: tuple[RunName, ...]

    def read_by(self, job: JobSettings) -> JobSettings:
        """Return the job's settings with the path that is read."""
        if self.read == self.written:
            return job
        if self.setting == _MEMBERS:
            members = job.ensemble if isinstance(job.ensemble, tuple) else ()
            return job.model_copy(update={"ensemble": tuple(f"{self.read}/{member}" for member in members)})
        if self.setting == "evaluate_only":
            return job.model_copy(update={"evaluate_only": self.read})
        if self.setting == _ENCODER and job.probe is not None:
            return job.model_copy(update={"probe": job.probe.model_copy(update={"encoder": self.read})})
        pretrained = job.train.pretrained
        if pretrained is None:
            raise ValueError(f"{self.setting} is no setting of this job")
        source = self.setting.rpartition(".")[2]
        train = job.train.model_copy(update={"pretrained": pretrained.model_copy(update={source: self.read})})
        return job.model_copy(update={"train": train})


class UpstreamResults:
    """Finds what the jobs of a project take from each other.

    Args:
        experiments: Task and name of all.
        runs: Gives the settings of an experiment's trainings, by task and name; asked several times for each.
        root: The project's folder.

    Attributes:
        runs: As given.
    """

    def __init__(
        self,
        experiments: Collection[tuple[str, str]],
        runs: Callable[[str, str], Mapping[str, JobSettings]],
        root: Path | None = None,
    ) -> None:
        self._experiments = set(experiments)
        self.runs = runs
        self._root = Path.cwd() if root is None else root
        self._ends: set[RunName] = set()

    def of(self, name: RunName) -> Upstream | None:
        """Return what a training takes from an earlier one; None: nothing.

        Raises:
            ConfigError: It needs itself first, or names a job that its experiment does not have.
        """
        self._require_an_end(name, ())
        return self._of(name)

    def of_job(self, name: RunName, job: JobSettings) -> Upstream | None:
        """Return what a job takes that no other job takes anything from; `name` is what it is called in errors.

        Raises:
            ConfigError: As `of`.
        """
        upstream = self._of_job(name, job)
        for run in () if upstream is None else upstream.runs:
            self._require_an_end(run, ())
        return upstream

    def _of(self, name: RunName) -> Upstream | None:
        return self._of_job(name, self.runs(name.task, name.experiment)[name.run])

    def _of_job(self, name: RunName, job: JobSettings) -> Upstream | None:
        if isinstance(job.ensemble, tuple):
            return _members(name, job.ensemble)
        found = _written(job)
        if found is None:
            return None
        setting, written = found
        is_folder = setting in _FILES
        files = _FILES.get(setting, (WEIGHTS_FILE,))
        path = self._from_root(written)
        kind, owner, inner = place_of(path)
        if owner is None or owner not in self._experiments:
            needs = tuple(f"{path}/{file}" for file in files) if is_folder else (path,)
            return Upstream(setting, written, written, needs, ())
        run, _, file = (inner, "", "") if is_folder else inner.rpartition("/")
        runs = [RunName(*owner, known) for known in self.runs(*owner)]
        wanted = RunName(*owner, run)
        if wanted not in runs:
            raise ConfigError(
                f"{name}: {setting}: {written}: {'/'.join(owner)} has the jobs {', '.join(known.run for known in runs)}"
            )
        # The state to go on from stays in the run folder; a result is published without.
        wants_state = job.train.pretrained is not None and job.train.pretrained.state
        if kind == "results" and owner != (name.task, name.experiment) and not wants_state:
            return Upstream(setting, written, written, (result_dir(*owner),), tuple(runs))
        folder = run_dir(*wanted)
        read = folder if is_folder else f"{folder}/{file}"
        needs = tuple(f"{folder}/{each}" for each in files) if is_folder else (read,)
        return Upstream(setting, written, read, needs, (wanted,))

    def _require_an_end(self, name: RunName, before: tuple[RunName, ...]) -> None:
        if name in self._ends:
            return
        if name in before:
            ring = [*before[before.index(name) :], name]
            raise ConfigError(
                f"{name}: {self._setting(name)} needs this job itself first: {' <- '.join(map(str, ring))}; "
                "a job can only take what is there before it"
            )
        upstream = self._of(name)
        for run in () if upstream is None else upstream.runs:
            self._require_an_end(run, (*before, name))
        self._ends.add(name)

    def _setting(self, name: RunName) -> str:
        upstream = self._of(name)
        return "" if upstream is None else f"{upstream.setting}: {upstream.written}"

    def _from_root(self, written: str) -> str:
        path = Path(os.path.normpath(written))
        if path.is_absolute() and path.is_relative_to(self._root):
            path = path.relative_to(self._root)
        return path.as_posix()


def _members(name: RunName, ids: tuple[str, ...]) -> Upstream:
    """Return what an ensemble takes: the trainings of its job."""
    runs = tuple(RunName(name.task, name.experiment, run) for run in ids)
    needs = tuple(f"{run_dir(*run)}/{file}" for run in runs for file in (WEIGHTS_FILE, META_FILE))
    return Upstream(_MEMBERS, ", ".join(ids), f"{run_dir(name.task, name.experiment, '')}".rstrip("/"), needs, runs)


def _written(job: JobSettings) -> tuple[str, str] | None:
    if job.evaluate_only is not None:
        return "evaluate_only", job.evaluate_only
    if job.probe is not None:
        return _ENCODER, job.probe.encoder
    pretrained = job.train.pretrained
    if pretrained is not None:
        for source in PRETRAINED_SOURCES:
            path: str | None = getattr(pretrained, source)
            if path is not None and path != _HUB:
                return f"train.pretrained.{source}", path
    return None
