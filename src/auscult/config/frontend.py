"""What a model may have before its backbone to turn waveforms into spectrograms by itself."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from auscult.config.base import Settings
from auscult.config.clips import ClipSettings
from auscult.config.spectrogram import SpectrogramSettings


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


FrontendSettings = Annotated[
    MelFrontend | LearnableMelFrontend | LinearFrontend | ConstantQFrontend, Field(discriminator="name")
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
    f_min_hz, f_max_hz = frontend_range_hz(frontend, spectrogram, clips)
    if isinstance(frontend, ConstantQFrontend):
        return math.ceil(frontend.bins_per_octave * math.log2(f_max_hz / f_min_hz))
    if isinstance(frontend, LinearFrontend):
        if frontend.n_bands is not None:
            return frontend.n_bands
        bin_hz = clips.sample_rate_hz / spectrogram.n_fft
        return math.floor(f_max_hz / bin_hz) - math.ceil(f_min_hz / bin_hz) + 1
    return spectrogram.n_mels


def frontend_fault(frontend: FrontendSettings, spectrogram: SpectrogramSettings, clips: ClipSettings) -> str | None:
    """Return why a front end does not fit the other settings; None where it does."""
    f_min_hz, f_max_hz = frontend_range_hz(frontend, spectrogram, clips)
    nyquist_hz = clips.sample_rate_hz / 2
    if not f_min_hz < f_max_hz <= nyquist_hz:
        return (
            f"its bands go from {f_min_hz:g} Hz to {f_max_hz:g} Hz; they must rise, and end at or below "
            f"{nyquist_hz:g} Hz, half the sample rate"
        )
    return None
