"""Which augmentations an experiment may name: a list on waveforms, a list on spectrograms.

A new one on spectrograms is one class here, registered with what does it in `augment/spectrogram.py` or, of two clips,
in `augment/mixing.py`.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from auscult.config.base import Settings
from auscult.config.registry import Registry
from auscult.config.task import TaskSettings
from auscult.config.waveform_augment import (
    RISES,
    Augmentation,
    BackgroundNoise,
    PluginStepSettings,
    WaveformAugmentation,
)

NONE = "none"
"""The class of a clip whose targets are all known and negative."""

Share = Annotated[float, Field(ge=0, le=1)]
_Positive = Annotated[float, Field(gt=0, le=100)]
_Part = Annotated[float, Field(gt=0, le=1)]
Positives = Annotated[tuple[_Positive, _Positive], RISES]
Parts = Annotated[tuple[_Part, _Part], RISES]
ClassName = Literal[0, 1] | str

SPECTROGRAM_FUNCTIONS: Registry[Augmentation] = Registry("augmentation")
"""Steps that change each clip by itself. Implementations: `(spectrograms, settings, rng, picked) -> Tensor`."""

MIXINGS: Registry[Mixing] = Registry("augmentation")
"""Steps that make one clip of two. Implementations: `(settings) -> Mixer`."""

SPECTROGRAM: Registry[Augmentation] = Registry("augmentation", SPECTROGRAM_FUNCTIONS, MIXINGS)
"""All steps on spectrograms."""


@SPECTROGRAM_FUNCTIONS.register("auscult.augment.spectrogram:mask_time")
class MaskTime(Augmentation):
    """Silence one random run of frames across all mel bands (SpecAugment, Park et al. 2019)."""

    name: Literal["mask_time"]
    max_width_frames: int = Field(default=30, ge=1)


@SPECTROGRAM_FUNCTIONS.register("auscult.augment.spectrogram:mask_frequency")
class MaskFrequency(Augmentation):
    """Silence one random run of mel bands across all frames (SpecAugment, Park et al. 2019)."""

    name: Literal["mask_frequency"]
    max_width_bands: int = Field(default=16, ge=1)


@SPECTROGRAM_FUNCTIONS.register("auscult.augment.spectrogram:gaussian_noise")
class GaussianNoise(Augmentation):
    """Add white Gaussian noise to the normalised spectrogram."""

    name: Literal["gaussian_noise"]
    max_deviation: float = Field(default=0.2, gt=0, description="in deviations of a mel band; drawn from 0 to this")


@SPECTROGRAM_FUNCTIONS.register("auscult.augment.spectrogram:roll_time")
class RollTime(Augmentation):
    """Shift the spectrogram in time; what leaves at one end comes in at the other."""

    moves_events: ClassVar[bool] = True

    name: Literal["roll_time"]
    max_shift_frames: int = Field(default=30, ge=1, description="to either side")


@SPECTROGRAM_FUNCTIONS.register("auscult.augment.spectrogram:roll_frequency")
class RollFrequency(Augmentation):
    """Shift the spectrogram by mel bands; what leaves at one edge comes in at the other."""

    name: Literal["roll_frequency"]
    max_shift_bands: int = Field(default=4, ge=1, description="up or down")

    @property
    def moves_bands(self) -> bool:
        """Sound leaves its place in frequency."""
        return True


@SPECTROGRAM_FUNCTIONS.register("auscult.augment.spectrogram:coarse_dropout")
class CoarseDropout(Augmentation):
    """Silence several random rectangles (Cutout, DeVries & Taylor 2017, with several holes)."""

    name: Literal["coarse_dropout"]
    n_holes: int = Field(default=8, ge=1, le=256)
    max_height_bands: int = Field(default=16, ge=1)
    max_width_frames: int = Field(default=16, ge=1)


@SPECTROGRAM_FUNCTIONS.register("auscult.augment.spectrogram:resize_crop")
class ResizeCrop(Augmentation):
    """Cut a random rectangle and stretch it to the whole spectrogram, bilinearly."""

    moves_events: ClassVar[bool] = True

    name: Literal["resize_crop"]
    min_share_time: float = Field(default=0.8, gt=0, le=1, description="shortest cut, of the frames")
    min_share_frequency: float = Field(default=0.9, gt=0, le=1, description="lowest cut, of the mel bands")

    @property
    def moves_bands(self) -> bool:
        """Whether sound leaves its place in frequency."""
        return self.min_share_frequency < 1


class Mixing(Augmentation):
    """A step that makes one clip of two."""

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


@MIXINGS.register("auscult.augment.mixing:MixupMixer")
class Mixup(Mixing):
    """Add two spectrograms by their shares (Zhang et al. 2018)."""

    name: Literal["mixup"]
    alpha: float = Field(default=0.2, gt=0, le=100, description="the share is drawn from Beta(alpha, alpha)")


@MIXINGS.register("auscult.augment.mixing:CutmixMixer")
class Cutmix(Mixing):
    """Put a rectangle of the second spectrogram into the first (Yun et al. 2019)."""

    unfit_for_events: ClassVar[str] = "takes some of the mel bands, and of an event there may be half"

    name: Literal["cutmix"]


@MIXINGS.register("auscult.augment.mixing:PatchMixer")
class PatchMix(Mixing):
    """Take patches of the second spectrogram, at random places of a grid, into the first (Bae et al. 2023)."""

    unfit_for_events: ClassVar[str] = "takes some of the mel bands, and of an event there may be half"

    name: Literal["patch_mix"]
    patch_bands: int = Field(default=16, ge=1)
    patch_frames: int = Field(default=16, ge=1)


SpectrogramAugmentation = Annotated[Augmentation, SPECTROGRAM]


PICTURE: Registry[Augmentation] = Registry("augmentation")
"""All steps on pictures. Implementations: `(pictures, maps, settings, rng, picked) -> (pictures, maps)`."""


class OnColours(Augmentation):
    """A step on brightness from 0 to 1, of grey or of colours; all others take standardised pictures."""


@PICTURE.register("auscult.augment.pictures:flip")
class Flip(Augmentation):
    """Mirror the picture."""

    name: Literal["flip"]
    axes: Literal["both", "horizontal", "vertical"] = Field(
        default="both", description="horizontal: left becomes right; both: one of the two, or the two together"
    )


@PICTURE.register("auscult.augment.pictures:turn")
class Turn(Augmentation):
    """Turn a square picture by one, two or three right angles."""

    name: Literal["turn"]


@PICTURE.register("auscult.augment.pictures:rotate")
class Rotate(Augmentation):
    """Rotate the picture about its middle; what comes in from outside is unknown."""

    name: Literal["rotate"]
    max_degrees: float = Field(default=15.0, gt=0, le=180, description="to either side")


@PICTURE.register("auscult.augment.pictures:affine")
class Affine(Augmentation):
    """Move, enlarge or shrink, and shear the picture about its middle; what comes in from outside is unknown."""

    name: Literal["affine"]
    max_shift_share: float = Field(default=0.1, ge=0, le=1, description="of each side, to either side")
    scale: Positives = Field(default=(0.9, 1.1), description="evenly in its logarithm")
    max_shear_degrees: float = Field(default=0.0, ge=0, lt=90, description="along both axes, to either side")


@PICTURE.register("auscult.augment.pictures:crop")
class Crop(Augmentation):
    """Cut a part and stretch it to the whole (torchvision's RandomResizedCrop)."""

    name: Literal["crop"]
    area_share: Parts = Field(default=(0.64, 1.0), description="what is cut, of the picture's area")
    ratio: Positives = Field(
        default=(0.75, 1.33), description="width over height of what is cut, evenly in its logarithm"
    )


@PICTURE.register("auscult.augment.pictures:erase")
class Erase(Augmentation):
    """Cover a rectangle with the mean colour; what was below is unknown (Zhong et al. 2020)."""

    name: Literal["erase"]
    area_share: Parts = Field(default=(0.02, 0.33), description="of the picture's area")
    ratio: Positives = Field(default=(0.3, 3.3), description="width over height, evenly in its logarithm")


@PICTURE.register("auscult.augment.pictures:brightness_contrast")
class BrightnessContrast(Augmentation):
    """Make the picture brighter or darker, and its contrast higher or lower, whatever its channels are."""

    name: Literal["brightness_contrast"]
    max_brightness: float = Field(default=0.3, ge=0, description="added or taken away, in deviations of a channel")
    max_contrast: float = Field(default=0.2, ge=0, lt=1, description="share by which the contrast rises or falls")


@PICTURE.register("auscult.augment.pictures:colour_jitter")
class ColourJitter(OnColours):
    """Change brightness, contrast, saturation and hue, in random order (torchvision's ColorJitter)."""

    name: Literal["colour_jitter"]
    max_brightness: float = Field(default=0.2, ge=0, le=1, description="share by which it rises or falls")
    max_contrast: float = Field(default=0.2, ge=0, le=1, description="share by which it rises or falls")
    max_saturation: float = Field(default=0.2, ge=0, le=1, description="share by which it rises or falls")
    max_hue: float = Field(default=0.05, ge=0, le=0.5, description="to either side, of the circle of colours")


@PICTURE.register("auscult.augment.pictures:grey")
class Grey(OnColours):
    """Take the colours out; the number of channels stays."""

    name: Literal["grey"]


@PICTURE.register("auscult.augment.pictures:blur")
class Blur(Augmentation):
    """Blur with a Gaussian."""

    name: Literal["blur"]
    sigma_px: Positives = Field(default=(0.1, 2.0), description="deviation of the Gaussian")


@PICTURE.register("auscult.augment.pictures:sharpness")
class Sharpness(OnColours):
    """Make the picture sharper or softer."""

    name: Literal["sharpness"]
    max_change: float = Field(default=0.9, gt=0, le=1, description="share by which it rises or falls; 1 less is smooth")


@PICTURE.register("auscult.augment.pictures:autocontrast")
class Autocontrast(OnColours):
    """Stretch each channel from black to full brightness."""

    name: Literal["autocontrast"]


@PICTURE.register("auscult.augment.pictures:equalize")
class Equalize(OnColours):
    """Make all brightnesses of a channel equally frequent (256 steps)."""

    name: Literal["equalize"]


PictureAugmentation = Annotated[Augmentation, PICTURE]


@SPECTROGRAM_FUNCTIONS.takes_plugins("spectrogram")
class PluginSpectrogramSettings(PluginStepSettings):
    """A step on spectrograms of a file in `plugins/`."""


@PICTURE.takes_plugins("picture")
class PluginPictureSettings(PluginStepSettings):
    """A step on pictures of a file in `plugins/`."""


class AugmentSettings(Settings):
    """What is done to training clips, in this order; never at validation or test."""

    # When all steps are registered.
    model_config = ConfigDict(defer_build=True)

    waveform: tuple[WaveformAugmentation, ...] = Field(
        default=(), description="the spectrograms are then computed in training, from the clips"
    )
    spectrogram: tuple[SpectrogramAugmentation, ...] = ()
    picture: tuple[PictureAugmentation, ...] = Field(
        default=(), description="of pictures (clips.unit: image) instead of the two others"
    )
    augments: int = Field(
        default=1, ge=1, le=100, description="so often an epoch visits each clip, each time augmented by other numbers"
    )

    @model_validator(mode="after")
    def _check_augments(self) -> Self:
        if self.augments > 1 and not self.steps:
            raise ValueError(f"augments: {self.augments} would repeat each clip as it is: name a step, or leave it out")
        return self

    @model_serializer(mode="wrap")
    def _without_one(self, to_dict: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # What was trained before clips could be repeated, or pictures augmented, stays what it is.
        values: dict[str, Any] = to_dict(self)
        if self.augments == 1:
            values.pop("augments", None)
        if not self.picture:
            values.pop("picture", None)
        return values

    @property
    def steps(self) -> tuple[Augmentation, ...]:
        """All steps; the place of one here is its number."""
        return (*self.waveform, *self.spectrogram, *self.picture)

    @property
    def mixings(self) -> tuple[tuple[int, Mixing], ...]:
        """The steps that mix clips, each with its number."""
        return tuple((number, step) for number, step in enumerate(self.steps) if isinstance(step, Mixing))

    @property
    def noise_folders(self) -> tuple[str, ...]:
        """Folders whose audio files are mixed into the clips, each once, in the order of the steps."""
        functions = (function for step in self.waveform for function in (getattr(step, "functions", ()) or (step,)))
        return tuple(dict.fromkeys(function.folder for function in functions if isinstance(function, BackgroundNoise)))


def events_fault(step: Augmentation) -> str | None:
    """Return why a step does not fit a task that finds events; None where it does."""
    if step.unfit_for_events:
        return f"{step.unfit_for_events}; the maps of events cannot follow: leave it out"
    moving = [one.name for one in getattr(step, "functions", ()) if one.moves_events]
    if moving:
        return (
            f"{', '.join(moving)}: chains lie over the sound that stays, and one event would be at two places; name "
            "functions that leave sound in its place, or the step by itself"
        )
    if isinstance(step, Mixing) and step.label != "union":
        return f"label: found {step.label!r}; the maps of two clips are laid over each other: say `label: union`"
    return None


def mixing_fault(step: Mixing, task: TaskSettings) -> str | None:
    """Return why a step does not fit a task, with what does; None where it does."""
    if step.label == "union" and task.type == "multi_class":
        return "label: union would give one clip two classes of a multi_class task; use soft or dominant"
    allowed: list[ClassName] = [0, 1] if task.type == "binary" else list(task.targets)
    if task.type in {"multi_label", "events"}:
        allowed = [*allowed, NONE]
    strange = [name for name in step.classes or () if name not in allowed]
    if strange:
        return f"classes: found {strange}, allowed for this task: {', '.join(str(name) for name in allowed)}"
    return None
