"""Read the YAML files below `config/` and the definitions inside experiments; every fault is one clear error."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import TypeAdapter, ValidationError

from auscult.config.base import NAME_PATTERN
from auscult.config.documents import line_of, read_yaml
from auscult.config.model import MODELS
from auscult.errors import ConfigError, nearest, unknown_name

MAX_NAME = 200
"""Characters of a name: it becomes a folder's."""


def parse(adapter: TypeAdapter[Any], value: Any, where: str) -> Any:
    """Validate `value`; `where` (file, and place in it) opens every line of the error.

    Raises:
        ConfigError: One line a fault: file, key, what was found, what is allowed, nearest match.
    """
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        faults = [dict(fault) for fault in error.errors()]
        lines = [_describe(where, fault) + _line_text(where, _written_location(fault)) for fault in faults]
        raise ConfigError("\n".join(lines)) from None


def _line_text(where: str, location: Sequence[Any]) -> str:
    """Return where in its file a fault stands, for the end of its message; empty where no line of it does."""
    name, suffix, rest = where.partition(".yaml")
    path = Path(name + suffix)
    if not suffix or not path.is_file():
        return ""
    job = re.match(r": jobs\[(\d+)\]", rest)
    inside = ["jobs", int(job[1]) - 1] if job else re.findall(r"[^.:\s]+", rest)
    # What a job does not say itself is said for all jobs.
    line = line_of(path, [*inside, *location], least=3) or line_of(path, location) if job else None
    line = line or line_of(path, [*inside, *location])
    return "" if line is None else f" (line {line})"


def _describe(where: str, fault: Mapping[str, Any]) -> str:
    # Tags of discriminated unions stand in `loc` like keys; they are no part of what the user wrote.
    key = ".".join(str(part) for part in _written_location(fault))
    found = fault.get("input")
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "missing":
        return f"{where}: {key}: missing; add this key"
    if fault["type"] in {"unknown_key", "named", "ambiguous_label"}:
        return f"{where}: {key}: {message}" if key else f"{where}: {message}"
    context = fault.get("ctx") or {}
    expected = context.get("expected") or context.get("expected_tags")
    if fault["type"] == "union_tag_not_found":
        return f"{where}: {key}.{str(context['discriminator']).strip(chr(39))}: missing; add this key"
    if fault["type"] == "union_tag_invalid":
        key, found = f"{key}.{str(context['discriminator']).strip(chr(39))}", context["tag"]
    if isinstance(expected, str) and isinstance(found, str):
        close = nearest(found, re.findall(r"'([^']*)'", expected))
        hint = f", did you mean {close!r}?" if close else ";"
        return f"{where}: {key}: found {found!r}{hint} allowed: {expected}"
    if fault["type"] == "string_type" and isinstance(found, bool | int | float):
        message = f"expected text; quote it: '{getattr(found, 'written', found)}'"
    shown = repr(found)
    shown = shown if len(shown) <= 120 else shown[:117] + "..."
    place = f"{where}: {key}" if key else where
    return f"{place}: found {shown}; {message[:1].lower()}{message[1:]}"


_DATASET_KINDS = ("manifest", "native", "files_csv", "label_folders", "label_images", "idx", "uid_json")


def _written_location(fault: Mapping[str, Any]) -> list[Any]:
    tags = {
        "patients",
        "official",
        "column",
        "events",
        *_DATASET_KINDS,
        *MODELS.tags,
    }
    first, *rest = fault["loc"] or (None,)
    if first in _DATASET_KINDS:
        # A dataset's file is a union as a whole: its tag comes first, then what was written.
        return rest
    return [part for index, part in enumerate(fault["loc"]) if index == 0 or part not in tags]


def check_name(name: str, kind: str, where: str) -> str:
    """Return `name` when it may become a folder name.

    Raises:
        ConfigError: It holds a path separator, a blank or another character that does not belong there.
    """
    if not re.match(NAME_PATTERN, name):
        raise ConfigError(f"{where}: {kind} {name!r} may hold letters, digits, '_', '-' and '.' only")
    return name


def named_file(folder: Path, name: str, kind: str, where: str) -> Path:
    """Return `folder/name.yaml`, or say which names exist.

    Raises:
        ConfigError: There is no such file.
    """
    path = folder / f"{name}.yaml"
    if len(name) > MAX_NAME or not re.match(NAME_PATTERN, name) or not path.is_file():
        known = [known_path.stem for known_path in folder.glob("*.yaml")]
        raise ConfigError(f"{where}: {unknown_name(kind, name, known)} (files in {folder})")
    return path


def require_config(config_dir: Path) -> None:
    """Refuse to go on without the folder of the configuration, and say where the project is.

    Raises:
        ConfigError: There is no such folder.
    """
    if config_dir.is_dir():
        return
    where = config_dir.absolute()
    above = next((folder for folder in where.parents if (folder / where.name / "experiments").is_dir()), None)
    remedy = "go to the project's folder, or say --config FOLDER"
    if above is not None:
        remedy = f"the project is in {above}: cd {above}, or say --config {above / where.name}"
    raise ConfigError(f"{config_dir}: there is no such folder in {where.parent}; {remedy}")


RUNS = Path("work/runs")
"""Where the workflow trains; it is not there before the first training."""


def require_runs(runs: Path) -> None:
    """Refuse a folder of runs that is not there, unless it is the workflow's own, which comes with the first training.

    Raises:
        ConfigError: There is no such folder.
    """
    if runs != RUNS and not runs.is_dir():
        raise ConfigError(f"{runs}: no such folder; a project's runs are in {RUNS}")


PROTOCOL_SUFFIX = ".protocol.yaml"
"""Of what `auscult freeze` writes beside an experiment's file."""

STUDY_FILE = "study.yaml"
"""What only authors know, of a project or of a folder of experiments."""


def yaml_of_experiments(config_dir: Path) -> list[Path]:
    """Return the YAML files in the folders of experiments, sorted, without protocols and `study.yaml`."""
    found = (config_dir / "experiments").glob("*/*.yaml")
    return sorted(path for path in found if not path.name.endswith(PROTOCOL_SUFFIX) and path.name != STUDY_FILE)


Kind = Literal["dataset", "task"]


class Definition(NamedTuple):
    """The values of a dataset or task as written, and where they stand, for messages."""

    values: dict[str, Any]
    where: str


def find_definition(config_dir: Path, kind: Kind, name: str, where: str) -> Definition:
    """Return what defines a dataset or a task.

    Args:
        config_dir: The folder `config`.
        kind: What is sought.
        name: Its name.
        where: Who asks, for messages.

    Raises:
        ConfigError: Nothing defines that name, or several experiments do.
    """
    check_name(name, kind, where)
    path = config_dir / f"{kind}s" / f"{name}.yaml"
    if path.is_file():
        return Definition(read_yaml(path), str(path))
    defined = [(owner, values) for owner, key, values in _defined(config_dir, kind) if key == name]
    if len(defined) > 1:
        owners = " and ".join(str(owner) for owner, _ in defined)
        raise ConfigError(f"{where}: {kind} {name!r} is defined by {owners}; move one of the two to {path}")
    if not defined:
        known = defined_names(config_dir, kind)
        raise ConfigError(f"{where}: {unknown_name(kind, name, known)} (files in {path.parent})")
    owner, values = defined[0]
    return Definition(values, f"{owner}: {_key(kind, name)}")


def defined_names(config_dir: Path, kind: Kind) -> list[str]:
    """Return the names of all datasets or tasks, sorted."""
    files = {path.stem for path in (config_dir / f"{kind}s").glob("*.yaml")}
    return sorted(files | {name for _, name, _ in _defined(config_dir, kind)})


def is_defined(config_dir: Path, kind: Kind, name: str) -> bool:
    """Tell whether a dataset or task of that name exists; experiments are looked through only where no file has it."""
    return (config_dir / f"{kind}s" / f"{name}.yaml").is_file() or name in defined_names(config_dir, kind)


def check_definitions(config_dir: Path, raw: dict[str, Any], task: str, where: str) -> None:
    """Check the section `define` of an experiment file against the files that define the same.

    Raises:
        ConfigError: A malformed section, a name that a file defines already, or names that cannot be one.
    """
    for kind, name, _ in _of_experiment(raw, task, where):
        check_name(name, kind, f"{where}: {_key(kind, name)}")
        path = config_dir / f"{kind}s" / f"{name}.yaml"
        if path.is_file():
            raise ConfigError(
                f"{where}: {_key(kind, name)}: {path} defines {name!r} already; use it, or choose another name"
            )


def _key(kind: Kind, name: str) -> str:
    return "define.task" if kind == "task" else f"define.datasets.{name}"


def _defined(config_dir: Path, kind: Kind) -> Iterator[tuple[Path, str, dict[str, Any]]]:
    for path in yaml_of_experiments(config_dir):
        if "define" not in path.read_text(encoding="utf-8", errors="replace"):
            continue
        for found, name, values in _defined_by(path):
            if found == kind:
                yield path, name, values


def _defined_by(path: Path) -> Iterator[tuple[Kind, str, dict[str, Any]]]:
    raw = read_yaml(path)
    yield from _of_experiment(raw, str(raw.get("task", path.parent.name)), str(path))


def _of_experiment(raw: dict[str, Any], task: str, where: str) -> Iterator[tuple[Kind, str, dict[str, Any]]]:
    section = raw.get("define", {})
    if not isinstance(section, dict):
        raise ConfigError(f"{where}: define: found {type(section).__name__}, expected the keys task and datasets")
    for key in section:
        if key not in ("task", "datasets"):
            raise ConfigError(f"{where}: define: {unknown_name('key', str(key), ('task', 'datasets'))}")
    if "task" in section:
        yield "task", task, _mapping(section["task"], f"{where}: define.task")
    for name, values in _mapping(section.get("datasets", {}), f"{where}: define.datasets").items():
        yield "dataset", str(name), _mapping(values, f"{where}: define.datasets.{name}")


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: found {type(value).__name__}, expected a mapping of keys to values")
    return value
