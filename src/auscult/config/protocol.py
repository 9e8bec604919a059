"""A protocol: question, split, primary figure, operating rule and planned comparisons, frozen before the test."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from auscult.config.base import Settings
from auscult.config.documents import dump_yaml, read_yaml
from auscult.config.evaluate import EvaluateSettings
from auscult.config.experiment import Experiment, JobSettings
from auscult.config.files import PROTOCOL_SUFFIX, parse
from auscult.config.flatten import differences
from auscult.config.task import Level, TaskSettings

Section = Literal["question", "split", "primary", "operating_rule", "jobs"]
"""What may have changed since the freeze."""


class PrimaryFigure(Settings):
    """The one figure that answers the question."""

    metric: str = Field(description="as in metrics.json, such as auroc")
    view: str = Field(description="a target, macro (mean of targets), four_class or multi_class")
    level: Level


class PlannedComparison(Settings):
    """One job against another, by the primary figure."""

    job: int = Field(ge=1)
    base: int = Field(ge=1)


class FrozenSplit(Settings):
    """The split of some trainings.

    Attributes:
        runs: Their ids.
        table: Its path, whose key is a hash of everything that shapes it.
        sha256: Of the table; None where it had not been made when the protocol was frozen.
    """

    runs: tuple[str, ...]
    table: str
    sha256: str | None = None


class Protocol(Settings):
    """What `auscult freeze` writes.

    Attributes:
        protocol: Version of this form.
        experiment: Folder and name.
        frozen_utc: When.
        auscult: Version of the program.
        commit: Of the project, as git told it.
        late: Why it was not frozen before the test part was read; empty where it was.
        judged_before: How many models of other experiments the test parts had judged by then.
        question: The task's name and settings, label rules included.
        splits: Of all trainings.
        primary: The primary figure.
        operating_rule: Job -> how it decides.
        comparisons: That were planned.
        jobs: Job -> its settings without defaults.
        sha256: Of all the above; see `digest_of`.
    """

    protocol: Literal[1] = 1
    experiment: str
    frozen_utc: str
    auscult: str
    commit: str
    late: str = ""
    judged_before: int = Field(default=0, ge=0)
    question: dict[str, Any]
    splits: tuple[FrozenSplit, ...]
    primary: PrimaryFigure
    operating_rule: dict[str, dict[str, Any]]
    comparisons: tuple[PlannedComparison, ...] = ()
    jobs: dict[str, dict[str, Any]]
    sha256: str = ""

    @property
    def is_intact(self) -> bool:
        """Whether nothing in it was changed by hand."""
        return self.sha256 == digest_of(self)

    @property
    def split_of_runs(self) -> dict[str, FrozenSplit]:
        """Id of a training -> its split."""
        return {run: split for split in self.splits for run in split.runs}


_PROTOCOL = TypeAdapter(Protocol)
_HEAD = (
    "# Written by `auscult freeze {experiment}`. Commit this file before the test part is read: git then\n"
    "# bears witness to when. Change nothing by hand; what the experiment changes since, its report lists.\n"
)


def protocol_path(config_dir: Path, group: str, name: str) -> Path:
    """Return where the protocol of an experiment lies: beside its file.

    >>> protocol_path(Path("config"), "pneumonia", "train2356").as_posix()
    'config/experiments/pneumonia/train2356.protocol.yaml'
    """
    return config_dir / "experiments" / group / f"{name}{PROTOCOL_SUFFIX}"


def digest_of(protocol: Protocol) -> str:
    """Return the SHA-256 of everything in a protocol but its digest."""
    content = protocol.model_dump(mode="json", exclude={"sha256"})
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=True).encode("ascii")).hexdigest()


def protocol_yaml(protocol: Protocol) -> str:
    """Return the text of its file."""
    text = dump_yaml(protocol.model_dump(mode="json"))
    return _HEAD.format(experiment=protocol.experiment) + text


def read_protocol(path: Path) -> Protocol:
    """Read a protocol.

    Raises:
        ConfigError: It is missing or malformed.
    """
    return parse(_PROTOCOL, read_yaml(path), str(path))


def question_of(task_name: str, task: TaskSettings) -> dict[str, Any]:
    """Return what is asked: the task, and how each dataset's labels answer it."""
    return {"task": task_name, **task.model_dump(mode="json", exclude={"description"})}


def settings_of_jobs(experiment: Experiment) -> dict[str, dict[str, Any]]:
    """Return job -> what its file and presets say; defaults and what only draws pictures are left out."""
    return {
        str(number): job.model_dump(mode="json", exclude_defaults=True, exclude={"task", "note", "evaluate"})
        for number, job in enumerate(experiment.jobs, start=1)
    }


def rules_of_jobs(experiment: Experiment) -> dict[str, dict[str, Any]]:
    """Return job -> how it takes decisions."""
    return {str(number): _rule(job.evaluate) for number, job in enumerate(experiment.jobs, start=1)}


def _rule(settings: EvaluateSettings) -> dict[str, Any]:
    return {key: value for key, value in settings.frozen().items() if key != "best_on_test"}


@dataclass(frozen=True)
class Change:
    """What is no longer as it was frozen.

    Attributes:
        section: Of the protocol.
        job: Its number; None where it concerns all.
        text: The setting, what it was and what it is.
    """

    section: Section
    job: int | None
    text: str


def changes_since(
    protocol: Protocol, experiment: Experiment, task: TaskSettings, splits: Mapping[str, tuple[str, str | None]]
) -> list[Change]:
    """Return what an experiment has changed since its protocol was frozen, field by field.

    Args:
        protocol: As frozen.
        experiment: As it is now.
        task: As it is now.
        splits: Id of each training -> path and digest of its split table, the latter None where it is not there.
    """
    found = [Change("question", None, text) for text in _differences(protocol.question, _question(experiment, task))]
    rules, jobs = rules_of_jobs(experiment), settings_of_jobs(experiment)
    for number in sorted({*protocol.jobs, *jobs}, key=int):
        job = int(number)
        if number not in jobs or number not in protocol.jobs:
            found.append(Change("jobs", job, f"job {number} {'was added' if number in jobs else 'was taken out'}"))
            continue
        found += _changes_of_job(protocol, experiment, job, rules[number])
    frozen = protocol.split_of_runs
    for run in experiment.runs:
        path, digest = splits.get(run.id, ("", None))
        was = frozen.get(run.id)
        if was is None:
            continue
        if was.table != path:
            found.append(Change("split", run.job, f"split table: {was.table} -> {path}"))
        elif was.sha256 is not None and digest is not None and was.sha256 != digest:
            text = f"split table: the same settings divide other data (SHA-256 {was.sha256[:12]} -> {digest[:12]})"
            found.append(Change("split", run.job, text))
    return list(dict.fromkeys(found))


def _question(experiment: Experiment, task: TaskSettings) -> dict[str, Any]:
    return question_of(experiment.task, task)


def _changes_of_job(protocol: Protocol, experiment: Experiment, job: int, rule: dict[str, Any]) -> list[Change]:
    number, now = str(job), experiment.job(job)
    try:
        # Settings that a later version has brought have their defaults.
        was = JobSettings.model_validate({**protocol.jobs[number], "task": experiment.task})
        rule_before = _rule(EvaluateSettings.model_validate(protocol.operating_rule.get(number, {})))
        before, after = (one.model_dump(mode="json", exclude={"task", "note", "evaluate"}) for one in (was, now))
    except ValidationError:
        before, after = protocol.jobs[number], settings_of_jobs(experiment)[number]
        rule_before = protocol.operating_rule.get(number, {})
    return [
        *(Change("jobs", job, text) for text in _differences(before, after)),
        *(Change("operating_rule", job, text) for text in _differences(rule_before, rule)),
    ]


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [str(found) for found in differences(_plain(before), _plain(now))]


def _plain(value: Any) -> Any:
    """Return a value as it comes back from a file: tuples are lists."""
    return json.loads(json.dumps(value))
