"""Where the frames of a spectrogram lie in time, and its bands in frequency, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from auscult.spectrograms.filterbanks import hz_to_mel, mel_to_hz

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


@dataclass(frozen=True)
class BandGrid:
    """The mel bands of a spectrogram; each stands for the frequencies that are nearer to its centre than to others.

    Attributes:
        edges_hz: Where one band's share ends and the next begins, rising, of n bands n + 1.
        centres_hz: Of each band, rising.
    """

    edges_hz: tuple[float, ...]
    centres_hz: tuple[float, ...]

    @classmethod
    def of(cls, spectrogram: SpectrogramSettings, sample_rate_hz: int) -> BandGrid:
        """Return the bands of clips at a sample rate.

        >>> from auscult.config import SpectrogramSettings
        >>> [round(hz) for hz in BandGrid.of(SpectrogramSettings(n_mels=4), 4000).centres_hz]
        [334, 669, 1003, 1417]
        """
        ends_hz = [spectrogram.f_min_hz, spectrogram.f_max_hz or sample_rate_hz / 2]
        low, high = hz_to_mel(ends_hz, spectrogram.mel_scale)
        places = np.linspace(low, high, spectrogram.n_mels + 2)
        halves = (places[1:] + places[:-1]) / 2
        edges_hz, centres_hz = (mel_to_hz(mel, spectrogram.mel_scale).tolist() for mel in (halves, places[1:-1]))
        return cls(tuple(edges_hz), tuple(centres_hz))

    def __len__(self) -> int:
        return len(self.centres_hz)

    def bands_of(
        self, lows_hz: NDArray[np.float64], highs_hz: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the first band and the one after the last of frequency ranges: those whose centres they hold.

        A range that holds no centre is given the band in whose share its middle lies. Ranges above or below all bands
        have none.

        Args:
            lows_hz: Shape [range]; NaN: from the lowest band on.
            highs_hz: Shape [range]; NaN: up to the highest.
        """
        lows_hz, highs_hz = np.nan_to_num(lows_hz, nan=0.0), np.nan_to_num(highs_hz, nan=np.inf)
        centres, edges = np.asarray(self.centres_hz), np.asarray(self.edges_hz)
        first, end = np.searchsorted(centres, lows_hz), np.searchsorted(centres, highs_hz, side="right")
        middles_hz = (np.maximum(lows_hz, edges[0]) + np.minimum(highs_hz, edges[-1])) / 2
        nearest = np.clip(np.searchsorted(edges, middles_hz) - 1, 0, len(self) - 1)
        is_outside = (highs_hz <= edges[0]) | (lows_hz >= edges[-1])
        is_between = (first >= end) & ~is_outside
        return np.where(is_between, nearest, first), np.where(is_between, nearest + 1, np.where(is_outside, first, end))
