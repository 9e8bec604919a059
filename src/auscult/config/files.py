"""Read the YAML files below `config/` and the definitions inside experiments; every fault is one clear error."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml
from pydantic import TypeAdapter, ValidationError

from auscult.config.base import NAME_PATTERN, WrittenFloat
from auscult.config.model import MODELS
from auscult.errors import ConfigError, nearest, unknown_name


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds one mapping, refusing repeated keys.

    Raises:
        ConfigError: The file is missing, too large, not UTF-8, not YAML, not a mapping, or says a key twice.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        text = content.decode("utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a folder, expected a file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 ({error}); save the file as UTF-8") from None
    if len(content) > MAX_BYTES:
        raise ConfigError(
            f"{path}: larger than {MAX_BYTES // 1_000_000} MB, which no settings are; is it another file?"
        )
    value = parse_yaml(text, str(path))
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: found {type(value).__name__}, expected a mapping of keys to values")
    return value


MAX_NAME = 200
"""Characters of a name: it becomes a folder's."""
MAX_BYTES = 4_000_000
"""Of a YAML file."""
MAX_DEPTH = 50
"""Of lists and mappings in one another."""
MAX_NODES = 200_000
"""Values of a document, each alias counted as all that it stands for."""


def parse_yaml(text: str, where: str) -> Any:
    """Return what a YAML document says: numbers, true and false, null; all else is text, as it is written.

    Args:
        text: The document.
        where: Opens the message of an error.

    Raises:
        ConfigError: It is not YAML, says a key twice, or is deeper or larger than settings are.
    """
    try:
        _require_bounds(text)
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: not valid YAML\n  {error}") from None


def _require_bounds(text: str) -> None:
    """Refuse a document before anything is built of it: what nests too deep would end the interpreter.

    Raises:
        yaml.YAMLError: It is not YAML, or too deep, or too large once its aliases are followed.
    """
    sizes: dict[str, int] = {}
    opened: list[tuple[str | None, int]] = []
    n_nodes = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent):
            if any(event.anchor == anchor for anchor, _ in opened):
                raise yaml.constructor.ConstructorError(None, None, f"*{event.anchor} holds itself", event.start_mark)
            n_nodes += sizes.get(event.anchor, 1)
        elif isinstance(event, yaml.CollectionStartEvent):
            opened.append((event.anchor, n_nodes))
            n_nodes += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            if anchor is not None:
                sizes[anchor] = n_nodes - before
        elif isinstance(event, yaml.ScalarEvent):
            n_nodes += 1
        if len(opened) > MAX_DEPTH:
            raise yaml.constructor.ConstructorError(None, None, f"deeper than {MAX_DEPTH} levels", event.start_mark)
        if n_nodes > MAX_NODES:
            raise yaml.constructor.ConstructorError(
                None, None, f"more than {MAX_NODES:,} values, aliases followed", event.start_mark
            )


def read_bounded_json(path: Path, most_bytes: int) -> Any:
    """Read a strict JSON document of at most so many bytes: no key twice, no NaN.

    Raises:
        ConfigError: It is larger, unreadable or no such JSON.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(most_bytes + 1)
        if len(content) > most_bytes:
            raise ConfigError(f"{path}: larger than {most_bytes} bytes; it is not what auscult wrote there")
        return json.loads(content, object_pairs_hook=_unique_pairs, parse_constant=_refuse_constant)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read as JSON ({error}); remove it, and it is made again") from None


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"a key stands twice among {', '.join(key for key, _ in pairs)}")
    return found


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is no number")


class _StrictLoader(yaml.CSafeLoader):
    """`yaml.safe_load` keeps the last of two equal keys in silence; this one refuses."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            shown = node.value if isinstance(node.value, str) else type(node.value).__name__
            name = node.tag.removeprefix("tag:yaml.org,2002:")
            text = f"{shown[:60]!r} cannot be read as {name} ({str(error)[:80]}); quote what is text"
            raise yaml.constructor.ConstructorError(None, None, text, node.start_mark) from None

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        value, written = super().construct_yaml_float(node), self.construct_scalar(node)
        return value if repr(value) == written else WrittenFloat(value, str(written))

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


_StrictLoader.add_constructor("tag:yaml.org,2002:float", _StrictLoader.construct_yaml_float)

# YAML 1.1 reads yes, no, on and off as booleans, 017 as 15, 12:30 as 750, 1_000 as 1000 and 2026-01-01 as a date: all
# of these are labels that people write. Here they are text, as in YAML 1.2, and a number is what looks like one: 1e-3.
_YAML_1_1 = {f"tag:yaml.org,2002:{name}" for name in ("bool", "int", "float", "timestamp")}
_StrictLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _YAML_1_1]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
_PATTERNS = (
    ("bool", "true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", "-?(0|[1-9][0-9]*)", "-0123456789"),
    (
        "float",
        r"-?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?|-?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-.0123456789",
    ),
)


class _Dumper(yaml.SafeDumper):
    """Quotes what this or another reader would take for something else than text."""


for _tag, _pattern, _first in _PATTERNS:
    for _side in (_StrictLoader, _Dumper):
        _side.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), list(_first))


def dump_yaml(value: Any, *, width: int = 100, flow: bool = False) -> str:
    """Return a value as YAML that `parse_yaml` reads back as it was; keys keep their order.

    Args:
        value: Of plain types.
        width: Of a line.
        flow: All in one line, as `{a: 1}`.

    >>> print(dump_yaml({"patient": "1e5", "lr": 1e-3, "side": "no"}), end="")
    patient: '1e5'
    lr: 0.001
    side: 'no'
    """
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=width, default_flow_style=flow)


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
