"""What all settings share: unknown keys are refused, and the refusal names the nearest match."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, GetCoreSchemaHandler, WithJsonSchema, model_validator
from pydantic_core import CoreSchema, PydanticCustomError
from typing_extensions import override

from auscult.errors import nearest


class WrittenFloat(float):
    """A number that also knows its text, which a label keeps: 1.10 is not 1.1 there."""

    written: str

    def __new__(cls, value: float, written: str) -> Self:
        """Return the number `value` with its text `written`."""
        made = super().__new__(cls, value)
        made.written = written
        return made


def _strict_numbers(schema: Any) -> Any:
    """Return a core schema whose numbers take numbers alone: neither true nor text becomes one."""
    if isinstance(schema, dict):
        found = {key: value if key == "metadata" else _strict_numbers(value) for key, value in schema.items()}
        return {**found, "strict": True} if found.get("type") in ("int", "float") else found
    if isinstance(schema, list):
        return [_strict_numbers(part) for part in schema]
    return tuple(_strict_numbers(part) for part in schema) if isinstance(schema, tuple) else schema


class StrictNumbers(BaseModel):
    """What is read from a file: a number there is a number."""

    @classmethod
    @override
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return _strict_numbers(handler(source))


class Settings(StrictNumbers):
    """A section of the configuration: immutable, and no key passes unread."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        for key in value:
            if key not in cls.model_fields:
                close = nearest(str(key), cls.model_fields)
                raise PydanticCustomError(
                    "unknown_key",
                    "unknown key '{key}'{hint}; allowed: {allowed}",
                    {
                        "key": str(key),
                        "hint": f", did you mean '{close}'?" if close else "",
                        "allowed": ", ".join(sorted(cls.model_fields)),
                    },
                )
        return value


def without_none(values: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Return what was written out of settings, without those of these names that are not given.

    >>> without_none({"end": None, "low_hz": None, "high_hz": "top"}, ("low_hz", "high_hz"))
    {'end': None, 'high_hz': 'top'}
    """
    return {name: value for name, value in values.items() if value is not None or name not in names}


def scalar_to_text(value: Any) -> Any:
    """YAML reads 1 and 007 as numbers; a label in a table is text."""
    if isinstance(value, bool):
        raise PydanticCustomError(
            "ambiguous_label", "quote this label: YAML reads it as {value}", {"value": str(value)}
        )
    if isinstance(value, WrittenFloat):
        return value.written
    return str(value) if isinstance(value, int | float) else value


Label = Annotated[str, BeforeValidator(scalar_to_text), WithJsonSchema({"type": ["string", "number"]})]
"""A value as it stands in a label column; numbers in YAML become their text."""

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
"""What a dataset, task or experiment may be called: it becomes a folder name."""
