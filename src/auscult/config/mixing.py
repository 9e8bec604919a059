"""Augmentations that make one clip of two. A new one is one class here and one function in `augment/mixing.py`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from auscult.config.augmentation import Augmentation
from auscult.config.base import Settings
from auscult.config.task import TaskSettings

NONE = "none"
"""The class of a clip whose targets are all known and negative."""

Share = Annotated[float, Field(ge=0, le=1)]
ClassName = Literal[0, 1] | str


class _Mixing(Augmentation):
    classes: tuple[ClassName, ClassName] | None = Field(
        default=None,
        description="clips of the first are mixed with clips of the second: 0 and 1 for one target, names of targets "
        "(or `none`) for several; default: any with any",
    )
    weight: tuple[Share, Share] | None = Field(
        default=None, description="range of the second clip's share, drawn evenly; default: by `alpha`"
    )
    alpha: float = Field(default=1.0, gt=0, le=100, description="the share is drawn from Beta(alpha, alpha)")
    label: Literal["soft", "dominant", "union"] = Field(
        default="soft",
        description="soft: both labels by their shares; dominant: that of the larger share; union: positive where "
        "one of them is",
    )

    @model_validator(mode="after")
    def _check_weight(self) -> Self:
        if self.weight is None:
            return self
        if self.alpha != type(self).model_fields["alpha"].default:
            raise ValueError("weight and alpha both say how the share is drawn: leave one out")
        if self.weight[0] > self.weight[1]:
            raise ValueError(f"weight {list(self.weight)} must rise: [least, greatest]")
        return self


class Mixup(_Mixing):
    """Add two spectrograms by their shares (Zhang et al. 2018)."""

    name: Literal["mixup"]
    alpha: float = Field(default=0.2, gt=0, le=100, description="the share is drawn from Beta(alpha, alpha)")


class Cutmix(_Mixing):
    """Put a rectangle of the second spectrogram into the first (Yun et al. 2019)."""

    name: Literal["cutmix"]


class PatchMix(_Mixing):
    """Take patches of the second spectrogram, at random places of a grid, into the first (Bae et al. 2023)."""

    name: Literal["patch_mix"]
    patch_bands: int = Field(default=16, ge=1)
    patch_frames: int = Field(default=16, ge=1)


MIXINGS: dict[str, type[Settings]] = {"mixup": Mixup, "cutmix": Cutmix, "patch_mix": PatchMix}
"""The registry line of each: its public name and its settings."""

Mixing = Mixup | Cutmix | PatchMix


def mixing_fault(step: Mixing, task: TaskSettings) -> str | None:
    """Return why a step does not fit a task, with what does; None where it does."""
    if step.label == "union" and task.type == "multi_class":
        return "label: union would give one clip two classes of a multi_class task; use soft or dominant"
    allowed: list[ClassName] = [0, 1] if task.type == "binary" else list(task.targets)
    if task.type == "multi_label":
        allowed = [*allowed, NONE]
    strange = [name for name in step.classes or () if name not in allowed]
    if strange:
        return f"classes: found {strange}, allowed for this task: {', '.join(str(name) for name in allowed)}"
    return None
