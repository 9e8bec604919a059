"""How a clip becomes a log-mel spectrogram."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from auscult.config.base import Settings


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
