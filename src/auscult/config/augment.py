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


class RollTime(_Augmentation):
    """Shift the spectrogram in time; what leaves at one end comes in at the other."""

    name: Literal["roll_time"]
    max_shift_frames: int = Field(default=30, ge=1, description="to either side")


class RollFrequency(_Augmentation):
    """Shift the spectrogram by mel bands; what leaves at one edge comes in at the other."""

    name: Literal["roll_frequency"]
    max_shift_bands: int = Field(default=4, ge=1, description="up or down")


class CoarseDropout(_Augmentation):
    """Silence several random rectangles (Cutout, DeVries & Taylor 2017, with several holes)."""

    name: Literal["coarse_dropout"]
    n_holes: int = Field(default=8, ge=1, le=256)
    max_height_bands: int = Field(default=16, ge=1)
    max_width_frames: int = Field(default=16, ge=1)


class ResizeCrop(_Augmentation):
    """Cut a random rectangle and stretch it to the whole spectrogram, bilinearly."""

    name: Literal["resize_crop"]
    min_share_time: float = Field(default=0.8, gt=0, le=1, description="shortest cut, of the frames")
    min_share_frequency: float = Field(default=0.9, gt=0, le=1, description="lowest cut, of the mel bands")


SPECTROGRAM_AUGMENTATIONS: dict[str, type[Settings]] = {
    "mask_time": MaskTime,
    "mask_frequency": MaskFrequency,
    "gaussian_noise": GaussianNoise,
    "roll_time": RollTime,
    "roll_frequency": RollFrequency,
    "coarse_dropout": CoarseDropout,
    "resize_crop": ResizeCrop,
}
"""The registry line of each augmentation: its public name and its settings."""


def _check_name(value: Any) -> Any:
    name = value.get("name") if isinstance(value, dict) else getattr(value, "name", None)
    if name not in SPECTROGRAM_AUGMENTATIONS:
        message = unknown_name("augmentation", str(name), SPECTROGRAM_AUGMENTATIONS)
        raise PydanticCustomError("named", "{message}", {"message": message})
    return value


SpectrogramAugmentation = Annotated[
    MaskTime | MaskFrequency | GaussianNoise | RollTime | RollFrequency | CoarseDropout | ResizeCrop,
    Field(discriminator="name"),
    BeforeValidator(_check_name),
]


class AugmentSettings(Settings):
    """What is done to training clips, in this order; never at validation or test."""

    spectrogram: tuple[SpectrogramAugmentation, ...] = ()
