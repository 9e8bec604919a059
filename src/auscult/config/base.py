"""What all settings share: unknown keys are refused, and the refusal names the nearest match."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from auscult.errors import nearest


class Settings(BaseModel):
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


def _scalar_to_text(value: Any) -> Any:
    """YAML reads 1 and 007 as numbers; a label in a table is text."""
    if isinstance(value, bool):
        raise PydanticCustomError(
            "ambiguous_label", "quote this label: YAML reads it as {value}", {"value": str(value)}
        )
    return str(value) if isinstance(value, int | float) else value


Label = Annotated[str, BeforeValidator(_scalar_to_text), WithJsonSchema({"type": ["string", "number"]})]
"""A value as it stands in a label column; numbers in YAML become their text."""

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
"""What a dataset, task or experiment may be called: it becomes a folder name."""
