"""`auscult experiment rerun`: an experiment again, from the settings that a result of it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from auscult.config.description import check_digest
from auscult.config.documents import dump_yaml, parse_yaml, read_yaml
from auscult.config.experiment import Experiment, ExperimentFile, JobSettings
from auscult.config.files import check_name, is_defined, parse, require_config
from auscult.config.flatten import differences
from auscult.config.paths import SETTINGS_FILE
from auscult.config.resolve import apply_values, load_experiment, load_task
from auscult.config.task import TaskSettings
from auscult.config.upstream import META_FILE
from auscult.errors import ConfigError, DataError, unknown_name
from auscult.provenance import require_as_published
from auscult.storage.files import read_json, write_text

_EXPERIMENT = TypeAdapter(Experiment)
_TASK = TypeAdapter(TaskSettings)
_WIDTH = 118
_KEYS = tuple(name for name in JobSettings.model_fields if name != "task")


@dataclass(frozen=True)
class Rerun:
    """What was written.

    Attributes:
        path: Of the new experiment.
        group: Its folder.
        task_path: Of the task; None where it was there.
        notes: How the task here differs from that of the result.
    """

    path: Path
    group: str
    task_path: Path | None
    notes: tuple[str, ...]


def parse_values(words: Sequence[str]) -> dict[str, Any]:
    """Return dotted setting -> value of `train.epochs=5` and the like; values are YAML.

    Raises:
        ConfigError: One is not of this form, or comes twice.

    >>> parse_values(["train.epochs=5", "seeds=[0, 1]"])
    {'train.epochs': 5, 'seeds': [0, 1]}
    """
    values: dict[str, Any] = {}
    for word in words:
        key, is_given, text = word.partition("=")
        key = key.strip()
        if not is_given or not key:
            raise ConfigError(f"--set {word}: expected KEY=VALUE, such as train.epochs=5")
        if key in values:
            raise ConfigError(f"--set {word}: {key} is set twice")
        section = key.split(".")[0]
        if section not in _KEYS:
            raise ConfigError(f"--set {word}: {unknown_name('key', section, _KEYS)}")
        values[key] = parse_yaml(text, f"--set {word}")
    return values


def write_rerun(config_dir: Path, result: Path, values: Mapping[str, Any], new_name: str | None = None) -> Rerun:
    """Write `experiments/<group>/<name>.yaml` from what a result says of itself; its task too where there is none.

    All settings are written out, so that a later default changes nothing. What a search chose is a setting like others:
    the search is not repeated.

    Args:
        config_dir: The folder `config`.
        result: `experiment.yaml` of a result, or the folder that holds it.
        values: Dotted settings -> values that replace those of every job.
        new_name: Of the new experiment; default: its own where that is free, else with `_rerun` behind it.

    Raises:
        ConfigError: The file is no result's, a value does not fit, a task or dataset is not there, or there is such an
            experiment.
    """
    require_config(config_dir)
    path = result / SETTINGS_FILE if result.is_dir() else result
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; a result holds one: results/<folder>/<experiment>/{SETTINGS_FILE}")
    require_as_published(path)
    found: Experiment = parse(_EXPERIMENT, read_yaml(path), str(path))
    target = _free_path(config_dir, check_name(found.group, "folder", str(path)), found.name, new_name)
    of_result, where_task = _task_of(path.parent)
    task_path, task, notes = _place_task(config_dir, found.task, of_result, where_task, path)
    written = [target]
    try:
        if task_path is not None:
            write_text(task_path, _heading(path, {}) + _yaml(task.model_dump(mode="json", exclude_defaults=True)))
            written.append(task_path)
            if load_task(config_dir, found.task) != task:
                raise ValueError(f"{task_path} would not be the task of {path}")
        jobs = [
            apply_values(config_dir, job, values, task, f"{path}: job {number}") if values else job
            for number, job in enumerate(found.jobs, start=1)
        ]
        write_text(target, _heading(path, values) + _yaml(_as_file(found, jobs, values)))
        if load_experiment(config_dir, found.group, target.stem).jobs != tuple(jobs):
            raise ValueError(f"{target} would not be the experiment of {path}")
    except BaseException:
        for one in written:
            one.unlink(missing_ok=True)
        raise
    return Rerun(target, found.group, task_path, notes)


def _free_path(config_dir: Path, group: str, name: str, new_name: str | None) -> Path:
    folder = config_dir / "experiments" / group
    if new_name is None:
        new_name = f"{name}_rerun" if (folder / f"{name}.yaml").exists() else name
    path = folder / f"{check_name(new_name, 'experiment', 'auscult experiment rerun')}.yaml"
    if path.exists():
        raise ConfigError(f"{path}: is there already; take another name with --name")
    return path


def _task_of(folder: Path) -> tuple[TaskSettings | None, str]:
    """Return the task that the first model of a result was trained for, and where it says so; None without a model."""
    for path in sorted(folder.glob(f"**/{META_FILE}")):
        try:
            meta = read_json(path)
            check_digest(meta, path)
            return parse(_TASK, meta["task"], f"{path}: task"), str(path)
        except (OSError, ValueError, KeyError, TypeError, DataError) as error:
            raise ConfigError(
                f"{path}: not the description of a model ({error}); take it again from its source"
            ) from error
    return None, ""


def _place_task(
    config_dir: Path, name: str, of_result: TaskSettings | None, where: str, path: Path
) -> tuple[Path | None, TaskSettings, tuple[str, ...]]:
    """Return where the task is to be written, None where it is here; the task; and how the two differ."""
    if is_defined(config_dir, "task", name):
        here = load_task(config_dir, name)
        if of_result is None:
            return None, here, ()
        changes = differences(of_result.model_dump(mode="json"), here.model_dump(mode="json"))
        return None, here, tuple(f"task {name} here differs from that of {where}: {change}" for change in changes)
    if of_result is None:
        raise ConfigError(
            f"{path}: task {name!r} is not defined in {config_dir}, and no {META_FILE} beside or below the result says "
            f"what it is; write {config_dir}/tasks/{name}.yaml"
        )
    return config_dir / "tasks" / f"{check_name(name, 'task', str(path))}.yaml", of_result, ()


def _as_file(found: Experiment, jobs: Sequence[JobSettings], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return an experiment file: the first job's settings are shared, the others state the sections that differ."""
    dumped = [job.model_dump(mode="json", exclude={"task"}) for job in jobs]
    first = dumped[0]
    changed = f"; again with {', '.join(f'{key}={value}' for key, value in values.items())}" if values else ""
    file: dict[str, Any] = {"description": f"{found.description}{changed}", "task": found.task, **first}
    if len(dumped) > 1:
        file["jobs"] = [{key: value for key, value in job.items() if value != first[key]} for job in dumped]
    return {key: value for key, value in file.items() if key in ExperimentFile.model_fields}


def _heading(path: Path, values: Mapping[str, Any]) -> str:
    changes = "".join(f"#   {key}: {value}\n" for key, value in values.items())
    return f"# Written by `auscult experiment rerun` from {path}{', with' if values else '.'}\n{changes}"


def _yaml(value: Any) -> str:
    return dump_yaml(value, width=_WIDTH)
