"""Which augmentations an experiment may name. A new one is one class here and one function in `augment/`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from auscult.config.augmentation import Augmentation, check_name
from auscult.config.base import Settings
from auscult.config.mixing import MIXINGS, Mixing
from auscult.config.waveform_augment import BackgroundNoise, WaveformAugmentation, WaveformStep


class MaskTime(Augmentation):
    """Silence one random run of frames across all mel bands (SpecAugment, Park et al. 2019)."""

    name: Literal["mask_time"]
    max_width_frames: int = Field(default=30, ge=1)


class MaskFrequency(Augmentation):
    """Silence one random run of mel bands across all frames (SpecAugment, Park et al. 2019)."""

    name: Literal["mask_frequency"]
    max_width_bands: int = Field(default=16, ge=1)


class GaussianNoise(Augmentation):
    """Add white Gaussian noise to the normalised spectrogram."""

    name: Literal["gaussian_noise"]
    max_deviation: float = Field(default=0.2, gt=0, description="in deviations of a mel band; drawn from 0 to this")


class RollTime(Augmentation):
    """Shift the spectrogram in time; what leaves at one end comes in at the other."""

    name: Literal["roll_time"]
    max_shift_frames: int = Field(default=30, ge=1, description="to either side")


class RollFrequency(Augmentation):
    """Shift the spectrogram by mel bands; what leaves at one edge comes in at the other."""

    name: Literal["roll_frequency"]
    max_shift_bands: int = Field(default=4, ge=1, description="up or down")


class CoarseDropout(Augmentation):
    """Silence several random rectangles (Cutout, DeVries & Taylor 2017, with several holes)."""

    name: Literal["coarse_dropout"]
    n_holes: int = Field(default=8, ge=1, le=256)
    max_height_bands: int = Field(default=16, ge=1)
    max_width_frames: int = Field(default=16, ge=1)


class ResizeCrop(Augmentation):
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
    **MIXINGS,
}
"""The registry line of each augmentation: its public name and its settings."""


SpectrogramStep = MaskTime | MaskFrequency | GaussianNoise | RollTime | RollFrequency | CoarseDropout | ResizeCrop
"""Those that change each clip by itself."""

AnyStep = WaveformStep | SpectrogramStep | Mixing

SpectrogramAugmentation = Annotated[
    SpectrogramStep | Mixing,
    Field(discriminator="name"),
    BeforeValidator(check_name(SPECTROGRAM_AUGMENTATIONS, "augmentation")),
]


class AugmentSettings(Settings):
    """What is done to training clips, in this order; never at validation or test."""

    waveform: tuple[WaveformAugmentation, ...] = Field(
        default=(), description="the spectrograms are then computed in training, from the clips"
    )
    spectrogram: tuple[SpectrogramAugmentation, ...] = ()

    @property
    def steps(self) -> tuple[AnyStep, ...]:
        """All steps; the place of one here is its number."""
        return (*self.waveform, *self.spectrogram)

    @property
    def mixings(self) -> tuple[tuple[int, Mixing], ...]:
        """The steps that mix clips, each with its number."""
        return tuple((number, step) for number, step in enumerate(self.steps) if isinstance(step, Mixing))

    @property
    def noise_folders(self) -> tuple[str, ...]:
        """Folders whose audio files are mixed into the clips, each once, in the order of the steps."""
        functions = (function for step in self.waveform for function in (getattr(step, "functions", ()) or (step,)))
        return tuple(dict.fromkeys(function.folder for function in functions if isinstance(function, BackgroundNoise)))
