"""Where the frames of a spectrogram lie in time, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from auscult.config.clips import ClipSettings
    from auscult.config.spectrogram import SpectrogramSettings


@dataclass(frozen=True)
class FrameGrid:
    """The frames of one clip; each stands for a cell of time around its middle, as long as one hop.

    Attributes:
        first_s: Middle of the first frame, from the clip's start.
        step_s: From one middle to the next.
        n_frames: How many there are.
        length_s: Of the clip; the first and the last cell reach to its ends.
    """

    first_s: float
    step_s: float
    n_frames: int
    length_s: float

    @classmethod
    def of(cls, spectrogram: SpectrogramSettings, clips: ClipSettings) -> FrameGrid:
        """Return the frames of clips.

        >>> from auscult.config import ClipSettings, SpectrogramSettings
        >>> grid = FrameGrid.of(SpectrogramSettings(n_fft=400, hop_samples=160), ClipSettings(length_s=1))
        >>> grid.n_frames, round(grid.first_s, 4), grid.step_s
        (48, 0.025, 0.02)
        """
        first = 0 if spectrogram.centred else spectrogram.n_fft / 2
        rate = clips.sample_rate_hz
        n_frames = spectrogram.n_frames(clips.n_samples)
        return cls(first / rate, spectrogram.hop_samples / rate, n_frames, clips.n_samples / rate)

    def along(self, n_frames: int) -> FrameGrid:
        """Return the same grid over a recording of so many frames."""
        return FrameGrid(self.first_s, self.step_s, n_frames, 2 * self.first_s + self.step_s * n_frames)

    @property
    def middles_s(self) -> NDArray[np.float64]:
        """The middle of each frame, shape [frame]."""
        return self.first_s + self.step_s * np.arange(self.n_frames, dtype=np.float64)

    def frames_of(
        self, starts_s: NDArray[np.float64], ends_s: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the first frame and the one after the last of intervals: those whose middles they hold.

        An interval that holds no middle is given the frame that is nearest to its own. Parts outside of the clip have
        no frames.

        Args:
            starts_s: From the clip's start, shape [interval]; may be negative.
            ends_s: The same.
        """
        rounding = 1e-6
        first = np.ceil((starts_s - self.first_s) / self.step_s - rounding).astype(np.int64)
        end = np.ceil((ends_s - self.first_s) / self.step_s - rounding).astype(np.int64)
        middles_s = (np.maximum(starts_s, 0.0) + np.minimum(ends_s, self.length_s)) / 2
        nearest = np.clip(np.rint((middles_s - self.first_s) / self.step_s), 0, self.n_frames - 1).astype(np.int64)
        first, end = np.clip(first, 0, self.n_frames), np.clip(end, 0, self.n_frames)
        is_outside = (ends_s <= 0) | (starts_s >= self.length_s)
        is_between = (first >= end) & ~is_outside
        first = np.where(is_between, nearest, first)
        end = np.where(is_between, nearest + 1, np.where(is_outside, first, end))
        return first, end
