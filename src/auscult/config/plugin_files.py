"""What the files of `plugins/` register: taken from their syntax trees, so that a dry run imports none of them."""

from __future__ import annotations

import ast
import hashlib
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, Union, cast

from pydantic import ValidationError, create_model

from auscult.config.base import Settings
from auscult.errors import ConfigError, unknown_name

PLUGINS = Path("plugins")
"""The folder, beside `config`."""

KINDS: dict[str, tuple[str, ...]] = {
    "model": ("input_shape",),
    "loss": ("logits", "targets"),
    "waveform": ("waveforms", "rng", "sample_rate_hz"),
    "spectrogram": ("spectrograms", "rng"),
    "picture": ("pictures", "maps", "rng"),
    "reader": ("root", "dataset"),
    "train_step": ("model", "inputs", "targets", "loss"),
    "test_step": ("model", "inputs"),
}
"""What may be registered, and what each function is handed before its settings."""

_DECORATORS = "auscult.plugin."
_PLAIN = {"int": int, "float": float, "bool": bool, "str": str, "None": None}
_PLAIN_TYPES = "int, float, bool, str, list[...], tuple[..., ...], Literal[...] and `... | None`"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


class Taken(NamedTuple):
    """What plugins of a kind cannot be called, nor their arguments.

    Attributes:
        names: Returns the names of ours.
        settings: What all of the kind have.
    """

    names: Callable[[], Collection[str]]
    settings: Collection[str]


TAKEN: dict[str, Taken] = {}
"""Kind -> what is taken; filled where the settings of the kind are (`plugins.plugin_kind`)."""


@dataclass(frozen=True)
class Plugin:
    """A registered function, as its file says.

    Attributes:
        kind: One of `KINDS`.
        name: What a config says.
        path: The file.
        line: Of the function.
        function: Its name.
        settings: Its keyword arguments.
        sha256: Of the file, comments included.
    """

    kind: str
    name: str
    path: Path
    line: int
    function: str
    settings: type[Settings]
    sha256: str

    @property
    def where(self) -> str:
        """File and line."""
        return f"{self.path.as_posix()}:{self.line}"


def read_plugins(folder: Path = PLUGINS) -> Mapping[tuple[str, str], Plugin]:
    """Return what the files of a folder register, by kind and name; nothing where there is no such folder.

    Raises:
        ConfigError: With file and line: no Python, a link, an import of another plugin, a name that is taken, an
            argument that cannot be a setting.
    """
    if not folder.exists():
        return {}
    if folder.is_symlink() or not folder.is_dir():
        raise ConfigError(
            f"{folder}: expected a folder of the project, found a link or a file; nothing else is imported"
        )
    paths = sorted(path for path in folder.iterdir() if path.suffix == ".py")
    for path in paths:
        if path.is_symlink() or not path.is_file():
            raise ConfigError(f"{path}: expected a file, found a link or a folder; copy the file itself into {folder}/")
    facts = tuple((path, path.stat().st_size, path.stat().st_mtime_ns, path.stat().st_ino) for path in paths)
    return _read_files(folder.absolute(), facts)


@cache
def _read_files(folder: Path, facts: tuple[tuple[Path, int, int, int], ...]) -> Mapping[tuple[str, str], Plugin]:
    del folder  # a relative path means another file in another folder
    found: dict[tuple[str, str], Plugin] = {}
    paths = [path for path, *_ in facts]
    for path in paths:
        for plugin in _read_file(path, {other.stem for other in paths}):
            key = (plugin.kind, plugin.name)
            if key in found:
                raise ConfigError(
                    f"{plugin.where}: {plugin.kind} {plugin.name!r} is registered by {found[key].where} already; give "
                    "one of the two another name"
                )
            if plugin.name in (TAKEN[plugin.kind].names() if plugin.kind in TAKEN else ()):
                raise ConfigError(
                    f"{plugin.where}: {plugin.kind} {plugin.name!r} is a name of auscult's own; choose another"
                )
            found[key] = plugin
    return found


def _read_file(path: Path, stems: set[str]) -> Iterator[Plugin]:
    data = path.read_bytes()
    try:
        tree = ast.parse(data, str(path))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise ConfigError(f"{path}:{line}: no Python: {getattr(error, 'msg', error)}") from None
    spelt = _imported(path, tree, stems)
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        for decorator in node.decorator_list:
            call = decorator.func if isinstance(decorator, ast.Call) else decorator
            written = _dotted(call)
            first, dot, rest = written.partition(".")
            full = spelt.get(first, first) + dot + rest
            if not full.startswith(_DECORATORS):
                continue
            kind, where = full.removeprefix(_DECORATORS), f"{path}:{decorator.lineno}"
            if kind not in KINDS:
                raise ConfigError(f"{where}: {unknown_name('decorator', kind, KINDS)}")
            arguments = decorator.args if isinstance(decorator, ast.Call) and not decorator.keywords else []
            value = arguments[0].value if len(arguments) == 1 and isinstance(arguments[0], ast.Constant) else None
            if not isinstance(value, str) or not _NAME.fullmatch(value):
                raise ConfigError(
                    f'{where}: expected a name in quotes, of letters, digits, _ and -, such as @{written}("my_{kind}")'
                )
            if not isinstance(node, ast.FunctionDef):
                raise ConfigError(f"{where}: expected a function, found `{node.name}`, which is none")
            settings = _settings_of(path, node, kind)
            yield Plugin(kind, value, path, node.lineno, node.name, settings, hashlib.sha256(data).hexdigest())


def _imported(path: Path, tree: ast.Module, stems: set[str]) -> dict[str, str]:
    """Return what the names that a file imports stand for.

    Raises:
        ConfigError: It imports another file of the folder, whose digest would be in no key.
    """
    spelt: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
            spelt |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            modules = ["." * node.level + (node.module or "")]
            spelt |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        else:
            continue
        for module in modules:
            first = module.partition(".")[0]
            if first in {"", PLUGINS.name} or first in stems - set(sys.stdlib_module_names):
                raise ConfigError(
                    f"{path}:{node.lineno}: imports {module!r}: a plugin is one file, for its digest is all that says "
                    "when it changed; move what it needs into it, or into a package that is installed"
                )
    return spelt


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _settings_of(path: Path, function: ast.FunctionDef, kind: str) -> type[Settings]:
    """Return the keyword arguments of a function as settings."""
    arguments, handed = function.args, KINDS[kind]
    where = f"{path}:{function.lineno}: {function.name}"
    positional = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    if tuple(positional) != handed or arguments.defaults or arguments.vararg or arguments.kwarg:
        found = ast.unparse(arguments)
        raise ConfigError(
            f"{where}: found the arguments ({found}), expected ({', '.join(handed)}, *, <settings>): so is a {kind} "
            "called, with its settings behind the `*`"
        )
    fields: dict[str, Any] = {}
    taken = TAKEN[kind].settings if kind in TAKEN else ()
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        place = f"{path}:{argument.lineno}: {function.name}: {argument.arg}"
        if argument.arg in taken:
            raise ConfigError(f"{place}: every {kind} has a setting of this name; choose another")
        if argument.arg.startswith("_"):
            raise ConfigError(f"{place}: a setting does not begin with `_`; choose another name")
        kind_of = _type_of(argument.annotation, place)
        if default is None:
            fields[argument.arg] = (kind_of, ...)
            continue
        try:
            fields[argument.arg] = (kind_of, ast.literal_eval(default))
        except (ValueError, TypeError):
            raise ConfigError(f"{place}: its default must be written out, such as 0.5 or [1, 2]") from None
        _check_default(argument.arg, kind_of, fields[argument.arg][1], place)
    return create_model(function.name, __base__=Settings, **fields)


def _check_default(name: str, kind: Any, default: Any, where: str) -> None:
    field: dict[str, Any] = {name: (kind, ...)}
    try:
        create_model("default", __base__=Settings, **field).model_validate({name: default})
    except ValidationError as error:
        fault = error.errors()[0]["msg"]
        raise ConfigError(f"{where}: its default {default!r} is not of its type: {fault}") from None


def _type_of(node: ast.expr | None, place: str) -> Any:
    """Return the type that an annotation says; plain ones alone, for they are written in YAML."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        node = ast.parse(node.value, mode="eval").body
    name = "None" if isinstance(node, ast.Constant) and node.value is None else _dotted(node) if node else ""
    if name in _PLAIN:
        return _PLAIN[name]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return Union[_type_of(node.left, place), _type_of(node.right, place)]  # noqa: UP007 (of what is computed)
    if isinstance(node, ast.Subscript):
        outer = _dotted(node.value).rpartition(".")[2]
        inner = list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]
        if outer == "Literal" and all(isinstance(each, ast.Constant) for each in inner):
            return Literal[tuple(cast("ast.Constant", each).value for each in inner)]
        if outer == "list" and len(inner) == 1:
            return list[_type_of(inner[0], place)]
        if outer == "tuple":
            parts = [
                ... if isinstance(each, ast.Constant) and each.value is ... else _type_of(each, place) for each in inner
            ]
            return tuple[tuple(parts)]
    found = "no type" if node is None else f"`{ast.unparse(node)}`"
    raise ConfigError(f"{place}: found {found}; the type of a setting is one of {_PLAIN_TYPES}")
