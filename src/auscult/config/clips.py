"""How recordings are cut into clips, and what is made of pictures in their place."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from auscult.config.base import Settings

FULL_SCALE = 32_768
"""Int16 steps of a full-scale sample: stored = round(32768 x), clipped to what int16 holds."""

_FORMER_DECODERS = {"librosa": "soundfile", "torchaudio": "ffmpeg"}


def _refuse_former_name(value: Any) -> Any:
    if value in _FORMER_DECODERS:
        raise PydanticCustomError(
            "former_name",
            "there is no decoder '{old}' any more; say '{new}'",
            {"old": value, "new": _FORMER_DECODERS[value]},
        )
    return value


Decoder = Annotated[Literal["soundfile", "ffmpeg"], BeforeValidator(_refuse_former_name)]


Trim = Literal["resize", "padding", "reflect"]
"""How what has one size is brought to another: stretched, or with its sides' ratio kept and the rest filled up."""


def _both_sides(value: Any) -> Any:
    return (value, value) if isinstance(value, int) else value


_SIDE = {"type": "integer", "minimum": 8, "maximum": 8192}
PictureSize = Annotated[
    tuple[Annotated[int, Field(ge=8, le=8192)], Annotated[int, Field(ge=8, le=8192)]],
    BeforeValidator(_both_sides),
    WithJsonSchema({"anyOf": [_SIDE, {"type": "array", "items": _SIDE, "minItems": 2, "maxItems": 2}]}),
]
"""Height and width in pixels; one number stands for both."""


class BandPass(Settings):
    """A zero-phase Butterworth band-pass, applied at the clip's sample rate before cutting."""

    low_hz: float = Field(gt=0)
    high_hz: float = Field(gt=0)
    order: int = Field(default=4, ge=1, le=10)

    @model_validator(mode="after")
    def _check_order_of_edges(self) -> Self:
        if self.low_hz >= self.high_hz:
            raise ValueError(f"low_hz {self.low_hz} must lie below high_hz {self.high_hz}")
        return self


_OF_IMAGES = ("size", "channels", "trim")


class ClipSettings(Settings):
    """One clip: what it is cut by, how long it is and at what rate; of pictures their size and channels instead."""

    unit: Literal["window", "cycle", "recording", "image"] = "window"
    length_s: float = Field(default=10.0, gt=0, le=600)
    sample_rate_hz: int = Field(default=8000, ge=100, le=192_000)
    hop_s: float | None = Field(default=None, gt=0, description="window only; default: length_s (no overlap)")
    min_valid_s: float = Field(
        default=1.0, ge=0, description="window only: a last, partly filled window is kept from this length on"
    )
    pad: Literal["zero", "reflect", "repeat"] = "zero"
    band_pass: BandPass | None = None
    decoder: Decoder = Field(
        default="soundfile",
        description="library that reads the audio; equal results to rounding. ffmpeg comes with PyAV",
    )
    size: PictureSize = Field(default=(224, 224), description="image only: height and width in pixels, or one number")
    channels: int = Field(
        default=3, ge=1, le=64, description="image only: 1 is grey, 3 colour; others as many as a TIFF has pages"
    )
    trim: Trim = Field(
        default="resize",
        description="image only: resize stretches a picture to the size; padding and reflect keep the ratio of its "
        "sides, and fill what is left with its mean or its mirror image",
    )

    @model_validator(mode="after")
    def _check_unit(self) -> Self:
        of_sound = [name for name in type(self).model_fields if name not in {"unit", *_OF_IMAGES}]
        others = of_sound if self.is_image else _OF_IMAGES
        strange = [name for name in others if getattr(self, name) != type(self).model_fields[name].default]
        if strange:
            belong = "sound" if self.is_image else "unit 'image'"
            raise ValueError(f"{', '.join(strange)}: of {belong}; the unit is {self.unit!r}: leave it out")
        return self

    @model_serializer(mode="wrap")
    def _of_unit_alone(self, to_dict: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Clips that were cut before there were pictures keep their key.
        values: dict[str, Any] = to_dict(self)
        kept = {"unit", *_OF_IMAGES} if self.is_image else values.keys() - set(_OF_IMAGES)
        return {name: value for name, value in values.items() if name in kept}

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.unit != "window" and self.hop_s is not None:
            raise ValueError(f"hop_s belongs to unit 'window'; the unit is {self.unit!r}")
        if self.band_pass is not None and self.band_pass.high_hz >= self.sample_rate_hz / 2:
            raise ValueError(
                f"band_pass.high_hz {self.band_pass.high_hz} must lie below half the sample rate, "
                f"{self.sample_rate_hz / 2}"
            )
        return self

    @property
    def is_image(self) -> bool:
        """Whether the clips are pictures."""
        return self.unit == "image"

    @property
    def noun(self) -> str:
        """What one clip is called: `clip`, or `picture`."""
        return "picture" if self.is_image else "clip"

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one picture."""
        return (self.channels, *self.size)

    @property
    def n_samples(self) -> int:
        """Samples in one clip."""
        return round(self.length_s * self.sample_rate_hz)

    @property
    def hop_samples(self) -> int:
        """Samples between the starts of two windows."""
        return max(1, round((self.hop_s or self.length_s) * self.sample_rate_hz))

    @property
    def slug(self) -> str:
        """A readable file name part, such as `window_10s_8khz` or `image_3x224x224`."""
        if self.is_image:
            return f"image_{'x'.join(map(str, self.picture_shape))}"
        return f"{self.unit}_{self.length_s:g}s_{self.sample_rate_hz / 1000:g}khz"
