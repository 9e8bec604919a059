"""Where datasets and tasks are defined: in a file of their own, or under `define` in one experiment file.

A file of its own can be used by every experiment; `define` keeps a first try with an own collection in one file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from auscult.config.files import check_name, read_yaml
from auscult.errors import ConfigError, unknown_name

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
    for path in sorted((config_dir / "experiments").glob("*/*.yaml")):
        if "define" not in path.read_text(encoding="utf-8", errors="replace"):
            continue
        for found, name, values in _of_experiment(read_yaml(path), path.parent.name, str(path)):
            if found == kind:
                yield path, name, values


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
