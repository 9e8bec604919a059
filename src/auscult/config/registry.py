"""Registries: what an experiment may name, the settings of each name, and where its implementation is.

Settings are read in a dry run, which imports no torch. So they name their implementation as text, `module:callable`,
and it is imported when it is asked for. One decorator registers both:

    @MODELS.register("auscult.models.mixednet:build")
    class MixedNetSettings(BaseModelSettings):
        name: Literal["mixednet"]
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Generic, TypeVar, Union, get_args

from pydantic import BeforeValidator, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError

from auscult.config.base import Settings
from auscult.config.plugins import OrPlugin, PluginSettings, plugin_kind, plugin_names
from auscult.errors import unknown_name

S = TypeVar("S", bound=Settings)
Registered = TypeVar("Registered", bound=Settings)


class Registry(Mapping[str, type[S]], Generic[S]):
    """Maps public names to settings; as a type, `Annotated[<base class>, registry]` is one of the settings.

    Args:
        kind: What the names are, in errors.
        others: Registries whose names may be used too; they come first.
        field: The setting that says the name.
    """

    def __init__(self, kind: str, *others: Registry[Any], field: str = "name") -> None:
        self._kind = kind
        self._field = field
        self._others = others
        self._settings: dict[str, type[S]] = {}
        self._implementations: dict[str, str] = {}
        self._plugins: type[PluginSettings] | None = None

    def takes_plugins(self, kind: str) -> Callable[[type[Registered]], type[Registered]]:
        """Return a decorator of the settings that a plugin of this kind has (`config.plugins`)."""

        def register(settings: Any) -> Any:
            self._plugins = plugin_kind(kind, lambda: self)(settings)
            return settings

        return register

    def register(self, implementation: str) -> Callable[[type[Registered]], type[Registered]]:
        """Return a decorator that registers settings under the one value of their field.

        Args:
            implementation: `module:callable`.

        Raises:
            ValueError: The name is taken, or the field is no Literal of one value.
        """

        def register(settings: Any) -> Any:
            names = get_args(settings.model_fields[self._field].annotation)
            if len(names) != 1 or names[0] in self:
                expected = f"{self._field}: Literal[<a new name>]"
                raise ValueError(f"{settings.__name__}: expected `{expected}`, found {list(names)}")
            self._settings[names[0]] = settings
            self._implementations[names[0]] = implementation
            return settings

        return register

    def location(self, name: str) -> str:
        """Return where the implementation of `name` is, as `module:callable`."""
        for registry in (*self._others, self):
            if name in registry._implementations:
                return registry._implementations[name]
        raise KeyError(name)

    def implementation(self, name: str) -> Any:
        """Import the implementation of `name` and return it."""
        return pkgutil.resolve_name(self.location(name))

    def __getitem__(self, name: str) -> type[S]:
        for registry in self._others:
            if name in registry:
                return registry[name]
        return self._settings[name]

    def __iter__(self) -> Iterator[str]:
        for registry in self._others:
            yield from registry
        yield from self._settings

    def __len__(self) -> int:
        return sum(map(len, self._others)) + len(self._settings)

    def union(self) -> Any:
        """Return the type that is one of the settings, told apart by their field."""
        return Annotated[
            Union[tuple(self.values())],  # noqa: UP007 (of a tuple)
            Field(discriminator=self._field),
            BeforeValidator(self._check_name),
        ]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        ours = self.union()
        return handler.generate_schema(
            ours if self.plugins is None else Annotated[Any, OrPlugin(ours, self.plugins, self)]
        )

    @property
    def plugins(self) -> type[PluginSettings] | None:
        """The settings of plugins; None where there can be none."""
        return self._plugins or next((found.plugins for found in self._others if found.plugins), None)

    def names(self) -> list[str]:
        """Return all names, those of plugins too."""
        return [*self, *(plugin_names(self.plugins.plugin_kind) if self.plugins else ())]

    def _check_name(self, value: Any) -> Any:
        """Refuse a name that is not registered, saying the nearest one."""
        name = value.get(self._field) if isinstance(value, dict) else getattr(value, self._field, None)
        if name not in self:
            message = unknown_name(self._kind, str(name), self.names())
            raise PydanticCustomError("named", "{message}", {"message": message})
        return value
