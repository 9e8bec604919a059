"""YAML and JSON as documents: strict, bounded, nothing in them executed, each fault one message."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from auscult.config.base import WrittenFloat
from auscult.errors import ConfigError

MAX_BYTES = 4_000_000
"""Of a YAML file."""
MAX_DEPTH = 50
"""Of lists and mappings in one another."""
MAX_NODES = 200_000
"""Values of a document, each alias counted as all that it stands for."""


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


def parse_json(text: str | bytes) -> Any:
    """Return what a JSON document says.

    Raises:
        ValueError: It is no JSON, says a key twice, or a number that JSON does not have.
        RecursionError: It is deeper than Python follows.

    >>> parse_json('{"a": [1, "2"]}')
    {'a': [1, '2']}
    """
    return json.loads(text, object_pairs_hook=_refuse_repeated_keys, parse_constant=_refuse_constant)


def read_bounded_json(path: Path, most_bytes: int) -> Any:
    """Read a JSON document, as `parse_json`, of at most so many bytes.

    Raises:
        ConfigError: It is larger, unreadable or no such JSON.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(most_bytes + 1)
        if len(content) > most_bytes:
            raise ConfigError(f"{path}: larger than {most_bytes} bytes; it is not what auscult wrote there")
        return parse_json(content)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read as JSON ({error}); remove it, and it is made again") from None


def _refuse_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the keys {sorted({key for key in keys if keys.count(key) > 1})} stand twice")
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")
