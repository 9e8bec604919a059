"""Read the YAML files below `config/` and turn every fault into one clear error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from auscult.config.base import NAME_PATTERN
from auscult.config.model import MODEL_TAGS
from auscult.errors import ConfigError, nearest, unknown_name


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds one mapping, refusing repeated keys.

    Raises:
        ConfigError: The file is missing, not UTF-8, not YAML, not a mapping, or says a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 ({error}); save the file as UTF-8") from None
    try:
        value = yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML\n  {error}") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: found {type(value).__name__}, expected a mapping of keys to values")
    return value


class _UniqueKeyLoader(yaml.CSafeLoader):
    """`yaml.safe_load` keeps the last of two equal keys in silence; this one refuses."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | bool | None):
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is not text", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} stands here twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def parse(adapter: TypeAdapter[Any], value: Any, where: str) -> Any:
    """Validate `value`; `where` (file, and place in it) opens every line of the error.

    Raises:
        ConfigError: One line a fault: file, key, what was found, what is allowed, nearest match.
    """
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        lines = [_describe(where, dict(fault)) for fault in error.errors()]
        raise ConfigError("\n".join(lines)) from None


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
    shown = repr(found)
    shown = shown if len(shown) <= 120 else shown[:117] + "..."
    place = f"{where}: {key}" if key else where
    return f"{place}: found {shown}; {message[:1].lower()}{message[1:]}"


_DATASET_KINDS = ("manifest", "native", "files_csv", "label_folders", "uid_json")


def _written_location(fault: Mapping[str, Any]) -> list[Any]:
    tags = {
        "patients",
        "official",
        "column",
        "events",
        *_DATASET_KINDS,
        *MODEL_TAGS,
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
    if not re.match(NAME_PATTERN, name) or not path.is_file():
        known = [known_path.stem for known_path in folder.glob("*.yaml")]
        raise ConfigError(f"{where}: {unknown_name(kind, name, known)} (files in {folder})")
    return path
