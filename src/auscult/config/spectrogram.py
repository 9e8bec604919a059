"""How a clip becomes a spectrogram: a stored log-mel one, or by a front end inside the model, from waveforms."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from auscult.config.base import Settings
from auscult.config.clips import ClipSettings
from auscult.config.encoder import Encoder, encoder_names, load_encoder
from auscult.errors import unknown_name


class SpectrogramSettings(Settings):
    """A log-mel spectrogram in decibels; the same words as `librosa.feature.melspectrogram`."""

    n_fft: int = Field(default=1024, ge=16, le=65_536)
    hop_samples: int = Field(default=254, ge=1)
    n_mels: int = Field(default=128, ge=1, le=1024)
    f_min_hz: float = Field(default=0.0, ge=0)
    f_max_hz: float | None = Field(default=None, gt=0, description="default: half the sample rate")
    window: Literal["hann", "hamming"] = "hann"
    mel_scale: Literal["slaney", "htk"] = "slaney"
    mel_norm: Literal["slaney", "none"] = "slaney"
    power: float = Field(default=2.0, gt=0, le=2)
    floor_db: float = Field(default=-100.0, ge=-200, le=0, description="quieter bands are raised to this level")
    centred: bool = Field(
        default=False, description="pad by n_fft / 2 on both sides (reflected), as librosa's `center`"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.f_max_hz is not None and self.f_max_hz <= self.f_min_hz:
            raise ValueError(f"f_max_hz {self.f_max_hz} must lie above f_min_hz {self.f_min_hz}")
        return self

    def n_frames(self, n_samples: int) -> int:
        """Frames of a clip of `n_samples`.

        >>> SpectrogramSettings(n_fft=1024, hop_samples=254).n_frames(80_000)
        311
        """
        length = n_samples + (2 * (self.n_fft // 2) if self.centred else 0)
        return 0 if length < self.n_fft else (length - self.n_fft) // self.hop_samples + 1

    @property
    def slug(self) -> str:
        """A readable file name part, such as `mel128`."""
        return f"mel{self.n_mels}"


class MelFrontend(Settings):
    """Mel bands, as `spectrogram` says."""

    name: Literal["mel"]


class LearnableMelFrontend(Settings):
    """Mel bands, as `spectrogram` says, whose filters are trained with the model; negative weights count as zero."""

    name: Literal["learnable_mel"]


class LinearFrontend(Settings):
    """Bands of equal width from `spectrogram.f_min_hz` to `f_max_hz`."""

    name: Literal["linear"]
    n_bands: int | None = Field(default=None, ge=1, le=4096, description="default: every bin of the FFT")


class ConstantQFrontend(Settings):
    """A constant-Q transform (Brown 1991): bands at equal steps of pitch, each as long as its pitch asks for."""

    name: Literal["cqt"]
    bins_per_octave: int = Field(default=24, ge=1, le=96)
    f_min_hz: float = Field(default=60.0, gt=0, description="centre of the first band")
    f_max_hz: float | None = Field(default=None, gt=0, description="default: spectrogram.f_max_hz")

    @model_validator(mode="after")
    def _check_edges(self) -> Self:
        if self.f_max_hz is not None and self.f_max_hz <= self.f_min_hz:
            raise ValueError(f"f_max_hz {self.f_max_hz} must lie above f_min_hz {self.f_min_hz}")
        return self


class PublishedFrontend(Settings):
    """The bands that a published encoder was trained on, normalised as it expects; nothing of `spectrogram` is used."""

    name: Literal["published"]
    encoder: str = Field(description="one of src/auscult/config/encoders")
    pad: bool = Field(default=True, description="shorter clips are padded to the encoder's own number of frames")

    @field_validator("encoder")
    @classmethod
    def _check_encoder(cls, value: str) -> str:
        if value not in encoder_names():
            raise PydanticCustomError(
                "named", "{message}", {"message": unknown_name("encoder", value, encoder_names())}
            )
        return value


FrontendSettings = Annotated[
    MelFrontend | LearnableMelFrontend | LinearFrontend | ConstantQFrontend | PublishedFrontend,
    Field(discriminator="name"),
]


def frontend_range_hz(
    frontend: FrontendSettings | None, spectrogram: SpectrogramSettings, clips: ClipSettings
) -> tuple[float, float]:
    """Return the lowest and the highest frequency of the bands, in Hz."""
    f_max_hz = spectrogram.f_max_hz or clips.sample_rate_hz / 2
    if isinstance(frontend, ConstantQFrontend):
        return frontend.f_min_hz, frontend.f_max_hz or f_max_hz
    return spectrogram.f_min_hz, f_max_hz


def frontend_bands(frontend: FrontendSettings | None, spectrogram: SpectrogramSettings, clips: ClipSettings) -> int:
    """Return the bands of the spectrograms that a backbone sees.

    >>> spectrogram, clips = SpectrogramSettings(n_fft=1024), ClipSettings(sample_rate_hz=8000)
    >>> frontend_bands(LinearFrontend(name="linear"), spectrogram, clips)
    513
    """
    if isinstance(frontend, PublishedFrontend):
        return load_encoder(frontend.encoder).frontend.n_mels
    f_min_hz, f_max_hz = frontend_range_hz(frontend, spectrogram, clips)
    if isinstance(frontend, ConstantQFrontend):
        return math.ceil(frontend.bins_per_octave * math.log2(f_max_hz / f_min_hz))
    if isinstance(frontend, LinearFrontend):
        if frontend.n_bands is not None:
            return frontend.n_bands
        bin_hz = clips.sample_rate_hz / spectrogram.n_fft
        return math.floor(f_max_hz / bin_hz) - math.ceil(f_min_hz / bin_hz) + 1
    return spectrogram.n_mels


def frontend_frames(frontend: FrontendSettings | None, spectrogram: SpectrogramSettings, clips: ClipSettings) -> int:
    """Return the frames of the spectrograms that a backbone sees.

    >>> clips = ClipSettings(length_s=10.0, sample_rate_hz=16_000)
    >>> frontend_frames(PublishedFrontend(name="published", encoder="ast"), SpectrogramSettings(), clips)
    1024
    >>> frontend_frames(PublishedFrontend(name="published", encoder="ast", pad=False), SpectrogramSettings(), clips)
    998
    """
    if not isinstance(frontend, PublishedFrontend):
        return spectrogram.n_frames(clips.n_samples)
    encoder = load_encoder(frontend.encoder)
    n_frames = encoder.bands(clips.n_samples)[1]
    return max(n_frames, encoder.n_frames or 0) if frontend.pad else n_frames


def frontend_fault(frontend: FrontendSettings, spectrogram: SpectrogramSettings, clips: ClipSettings) -> str | None:
    """Return why a front end does not fit the other settings; None where it does."""
    if isinstance(frontend, PublishedFrontend):
        return _published_fault(load_encoder(frontend.encoder), frontend.encoder, clips)
    f_min_hz, f_max_hz = frontend_range_hz(frontend, spectrogram, clips)
    nyquist_hz = clips.sample_rate_hz / 2
    if not f_min_hz < f_max_hz <= nyquist_hz:
        return (
            f"its bands go from {f_min_hz:g} Hz to {f_max_hz:g} Hz; they must rise, and end at or below "
            f"{nyquist_hz:g} Hz, half the sample rate"
        )
    return None


def _published_fault(encoder: Encoder, name: str, clips: ClipSettings) -> str | None:
    if clips.sample_rate_hz != encoder.sample_rate_hz:
        return (
            f"{name} was trained on sound at {encoder.sample_rate_hz} Hz, and clips.sample_rate_hz is "
            f"{clips.sample_rate_hz}; make it {encoder.sample_rate_hz}"
        )
    if encoder.bands(clips.n_samples)[1] < 1:
        return f"a clip of {clips.length_s:g} s is shorter than one frame of {name}; make clips.length_s larger"
    return None
