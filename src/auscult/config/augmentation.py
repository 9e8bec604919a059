"""What all augmentations share: how often, on which clips, and in place or as clips beside the given ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from auscult.config.base import Settings
from auscult.errors import unknown_name


class Augmentation(Settings):
    """One step of a list of augmentations."""

    probability: float = Field(
        default=0.5, gt=0, le=1, description="that one clip is changed, drawn for each clip alone"
    )
    quantity: float | None = Field(
        default=None,
        gt=0,
        le=10,
        description="so many new clips an epoch, as a share of the training set, are made by this step and the others "
        "stay as they are; default: clips are changed in place",
    )
    unpadded_only: bool = Field(default=False, description="change only clips that hold sound from end to end")

    @model_validator(mode="after")
    def _check_quantity(self) -> Self:
        # Not by what was given: settings that were written out with all their defaults are read again.
        if self.quantity is not None and self.probability != type(self).model_fields["probability"].default:
            raise ValueError("quantity makes new clips, each by this step: leave probability out")
        return self


def check_name(registry: Mapping[str, type[Settings]], kind: str) -> Callable[[Any], Any]:
    """Return a validator that refuses a `name` outside `registry`, saying the nearest one."""

    def check(value: Any) -> Any:
        name = value.get("name") if isinstance(value, dict) else getattr(value, "name", None)
        if name not in registry:
            message = unknown_name(kind, str(name), registry)
            raise PydanticCustomError("named", "{message}", {"message": message})
        return value

    return check
