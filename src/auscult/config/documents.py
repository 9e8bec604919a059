"""YAML as documents: strict, bounded, nothing in them executed, each fault one message; JSON is `storage.files`'."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from auscult.config.base import WrittenFloat
from auscult.errors import ConfigError, UnreadableError
from auscult.storage.files import read_json

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
        raise ConfigError(f"{where}: not valid YAML: {_in_one_line(error, text)}") from None


def _in_one_line(error: yaml.YAMLError, text: str) -> str:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        said = f"{error.problem or error.context}{f' {error.context}' if error.problem and error.context else ''}"
        return said if mark is None else f"{said}; line {mark.line + 1}, column {mark.column + 1}"
    if isinstance(error, yaml.reader.ReaderError):
        n_before = text.count("\n", 0, error.position) if isinstance(error.position, int) else 0
        return f"a character that no text holds ({error.reason}); line {n_before + 1}"
    return " ".join(str(error).split())


def line_of(path: Path, keys: Sequence[str | int], least: int = 1) -> int | None:
    """Return in which line of a YAML file a setting stands, or the innermost section around it that is written there.

    Args:
        path: The file.
        keys: From the outermost key on; numbers count from 0.
        least: How many of the keys must be written there.

    Returns:
        From 1; None where the file says fewer of the keys, or cannot be read.
    """
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except (OSError, ValueError, yaml.YAMLError):
        return None
    lines: list[int] = []
    for key in keys:
        if isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if pair[0].value == str(key)), None)
            if pair is None:
                break
            lines.append(pair[0].start_mark.line + 1)
            node = pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            node = node.value[key]
            lines.append(node.start_mark.line + 1)
        else:
            break
    return lines[-1] if len(lines) >= max(1, least) else None


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
        except (ValueError, KeyError, TypeError, OverflowError, AttributeError) as error:
            shown = node.value if isinstance(node.value, str) else type(node.value).__name__
            name = node.tag.removeprefix("tag:yaml.org,2002:")
            text = f"{shown[:60]!r} cannot be read as {name} ({str(error)[:80]}); quote what is text"
            raise yaml.constructor.ConstructorError(None, None, text, node.start_mark) from None

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        value, written = super().construct_yaml_float(node), self.construct_scalar(node)
        return value if repr(value) == written else WrittenFloat(value, str(written))

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise yaml.constructor.ConstructorError(None, None, "found no mapping of keys to values", node.start_mark)
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


def read_bounded_json(path: Path, most_bytes: int) -> Any:
    """Read a JSON document, as `storage.files.parse_json`, of at most so many bytes.

    Raises:
        ConfigError: It is larger, unreadable or no such JSON.
    """
    try:
        return read_json(path, most_bytes)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error}); remove it, and it is made again") from None
    except UnreadableError as error:
        raise ConfigError(f"{error}; remove it, and it is made again") from None
