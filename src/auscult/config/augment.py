"""Which augmentations an experiment may name. A new one is one class here and one function in `augment/`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from auscult.config.base import Settings
from auscult.errors import unknown_name


class _Augmentation(Settings):
    probability: float = Field(
        default=0.5, gt=0, le=1, description="that one clip is changed, drawn for each clip alone"
    )


class MaskTime(_Augmentation):
    """Silence one random run of frames across all mel bands (SpecAugment, Park et al. 2019)."""

    name: Literal["mask_time"]
    max_width_frames: int = Field(default=30, ge=1)


class MaskFrequency(_Augmentation):
    """Silence one random run of mel bands across all frames (SpecAugment, Park et al. 2019)."""

    name: Literal["mask_frequency"]
    max_width_bands: int = Field(default=16, ge=1)


class GaussianNoise(_Augmentation):
    """Add white Gaussian noise to the normalised spectrogram."""

    name: Literal["gaussian_noise"]
    max_deviation: float = Field(default=0.2, gt=0, description="in deviations of a mel band; drawn from 0 to this")


SPECTROGRAM_AUGMENTATIONS: dict[str, type[Settings]] = {
    "mask_time": MaskTime,
    "mask_frequency": MaskFrequency,
    "gaussian_noise": GaussianNoise,
}
"""The registry line of each augmentation: its public name and its settings."""


def _check_name(value: Any) -> Any:
    name = value.get("name") if isinstance(value, dict) else getattr(value, "name", None)
    if name not in SPECTROGRAM_AUGMENTATIONS:
        message = unknown_name("augmentation", str(name), SPECTROGRAM_AUGMENTATIONS)
        raise PydanticCustomError("named", "{message}", {"message": message})
    return value


SpectrogramAugmentation = Annotated[
    MaskTime | MaskFrequency | GaussianNoise, Field(discriminator="name"), BeforeValidator(_check_name)
]


class AugmentSettings(Settings):
    """What is done to training clips, in this order; never at validation or test."""

    spectrogram: tuple[SpectrogramAugmentation, ...] = ()
