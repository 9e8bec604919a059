"""User code where YAML ends: the settings of what `plugins/` registers, and its import by the job that uses it.

The settings of a job hold the digest of the plugin's file: they are the key of what is made with it, and the job
refuses a file that has changed since. `plugin_files` reads the files for a dry run, which imports none of them.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Collection, Iterable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from auscult.config.base import Settings
from auscult.config.plugin_files import PLUGINS, TAKEN, Plugin, Taken, read_plugins
from auscult.errors import ConfigError, nearest, unknown_name


class PluginSettings(Settings):
    """Settings of a plugin: those that all of its kind have, and behind them the arguments of its function."""

    model_config = ConfigDict(extra="allow")

    plugin_kind: ClassVar[str]
    name_key: ClassVar[str] = "name"

    plugin_sha256: str = Field(
        pattern="^[0-9a-f]{64}$", description="of the plugin's file; filled in, and checked before it is imported"
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        plugin = find_plugin(cls.plugin_kind, str(value.get(cls.name_key)))
        if plugin is None:
            message = unknown_plugin(cls.plugin_kind, str(value.get(cls.name_key)))
            raise PydanticCustomError("named", "{message}", {"message": message})
        given = {key: each for key, each in value.items() if key not in cls.model_fields}
        try:
            arguments = plugin.settings.model_validate(given)
        except ValidationError as error:
            raise PydanticCustomError("named", "{message}", {"message": _say(plugin, error)}) from None
        own = {key: each for key, each in value.items() if key in cls.model_fields}
        return {"plugin_sha256": plugin.sha256, **own, **arguments.model_dump(mode="json")}

    def implementation(self) -> Callable[..., Any]:
        """Import the plugin, and return its function with the settings filled in.

        Raises:
            ConfigError: The file is gone, is another one than was planned with, or cannot be imported.
        """
        name = getattr(self, self.name_key)
        arguments = repr(sorted((self.model_extra or {}).items()))
        key = (self.plugin_kind, name, self.plugin_sha256, arguments)
        if key not in _IMPLEMENTATIONS:
            plugin = find_plugin(self.plugin_kind, name)
            if plugin is None:
                raise ConfigError(unknown_plugin(self.plugin_kind, name))
            # Read again, for JSON has no tuples.
            typed = dict(plugin.settings.model_validate(self.model_extra or {}))
            _IMPLEMENTATIONS[key] = partial(_import(plugin, self.plugin_sha256), **typed)
        return _IMPLEMENTATIONS[key]


Kind = TypeVar("Kind", bound=PluginSettings)
_IMPLEMENTATIONS: dict[tuple[str, str, str, str], Callable[..., Any]] = {}


def plugin_kind(kind: str, ours: Callable[[], Collection[str]] = tuple) -> Callable[[type[Kind]], type[Kind]]:
    """Return a decorator that says which settings plugins of a kind have.

    Args:
        kind: One of `plugin_files.KINDS`.
        ours: Returns the names that are taken.
    """

    def register(settings: type[Kind]) -> type[Kind]:
        settings.plugin_kind = kind
        TAKEN[kind] = Taken(ours, tuple(settings.model_fields))
        return settings

    return register


class OrPlugin:
    """As an annotation of a type: settings of ours, or those of a plugin.

    Args:
        ours: The type of ours.
        plugins: The settings of a plugin.
        names: Our names; they come first.
    """

    def __init__(self, ours: Any, plugins: type[PluginSettings], names: Collection[str]) -> None:
        self._ours = ours
        self._plugins = plugins
        self._names = names

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # No union: what the settings of a plugin are is known when its file is read.
        return core_schema.no_info_wrap_validator_function(
            self._validate, handler.generate_schema(self._ours), serialization=core_schema.simple_ser_schema("any")
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        names = {"type": "string", "not": {"enum": sorted(self._names)}}
        plugin = {
            "type": "object",
            "description": f"a {self._plugins.plugin_kind} that a file of plugins/ registers",
            "properties": {self._plugins.name_key: names},
            "required": [self._plugins.name_key],
        }
        return {"anyOf": [handler(schema), plugin]}

    def _validate(self, value: Any, ours: Callable[[Any], Any]) -> Any:
        if isinstance(value, PluginSettings):
            return value
        name = value.get(self._plugins.name_key) if isinstance(value, dict) else None
        if not isinstance(name, str) or name in self._names or not find_plugin(self._plugins.plugin_kind, name):
            return ours(value)
        return self._plugins.model_validate(value)


def plugin_names(kind: str) -> list[str]:
    """Return the names of a kind that plugins register, sorted."""
    return sorted(name for of, name in read_plugins() if of == kind)


def find_plugin(kind: str, name: str) -> Plugin | None:
    """Return a plugin; None: no file registers it.

    Raises:
        ConfigError: A fault in any file of the folder.
    """
    return read_plugins().get((kind, name))


def unknown_plugin(kind: str, name: str) -> str:
    """Say that no plugin of a kind has a name, and which have."""
    return f"{unknown_name(f'plugin ({kind})', name, plugin_names(kind))}; files in {PLUGINS}/ register them"


def plugins_used(settings: Any) -> dict[str, str]:
    """Return the file of each plugin that settings name, and its digest as they hold it."""
    if isinstance(settings, PluginSettings):
        plugin = find_plugin(settings.plugin_kind, getattr(settings, settings.name_key))
        name = f"{PLUGINS}/{settings.plugin_kind} {getattr(settings, settings.name_key)}"
        found = {name if plugin is None else plugin.path.as_posix(): settings.plugin_sha256}
    else:
        found = {}
    if isinstance(settings, BaseModel):
        parts: Iterable[Any] = (getattr(settings, name) for name in type(settings).model_fields)
    else:
        parts = settings if isinstance(settings, tuple | list) else ()
    for part in parts:
        found |= plugins_used(part)
    return found


def _say(plugin: Plugin, error: ValidationError) -> str:
    """Return all faults of a plugin's settings in one sentence each."""
    known = plugin.settings.model_fields
    faults: list[str] = []
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "unknown_key":
            strange = str((fault.get("ctx") or {})["key"])
            close = nearest(strange, [*known, *TAKEN[plugin.kind].settings])
            hint = f", did you mean {close!r}?" if close else ""
            faults.append(f"it has no setting {strange!r}{hint} its settings: {', '.join(known) or 'none'}")
        elif fault["type"] == "missing":
            faults.append(f"{key}: missing; it has no default")
        else:
            faults.append(f"{key}: found {fault['input']!r}; {fault['msg'][:1].lower()}{fault['msg'][1:]}")
    return f"{plugin.kind} {plugin.name!r} ({plugin.where}): {'; '.join(faults)}"


# --- importing, in the job


def _import(plugin: Plugin, sha256: str) -> Callable[..., Any]:
    """Return the function of a plugin whose file is the one that was planned with."""
    data = plugin.path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise ConfigError(
            f"{plugin.where}: its SHA-256 is {found[:12]}…, these settings name {sha256[:12]}…: the file was changed "
            "since; run again, so that all that it makes is made anew, or bring the earlier file back"
        )
    module = _module(plugin.path, found, data)
    return getattr(module, plugin.function)


def _module(path: Path, sha256: str, data: bytes) -> ModuleType:
    """Execute the very bytes whose digest was checked; neither the path of imports nor a cache of them plays a part."""
    name = f"auscult_plugin_{path.stem}_{sha256[:12]}"
    if name not in sys.modules:
        module = ModuleType(name)
        module.__file__ = str(path.absolute())
        sys.modules[name] = module
        try:
            exec(compile(data, str(path), "exec", dont_inherit=True), module.__dict__)  # noqa: S102 (what it is for)
        except Exception as error:
            del sys.modules[name]
            raise ConfigError(f"{path}: cannot be imported: {type(error).__name__}: {error}") from error
    return sys.modules[name]
