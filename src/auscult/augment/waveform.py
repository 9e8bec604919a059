"""Augmentations of waveforms that need neither spectrum nor noise: shift, gain, polarity, clipping."""

from __future__ import annotations

import torch
from torch import Tensor

from auscult.augment.draws import Draws
from auscult.augment.step import Drawn, Sounds, WaveformStep, amplitude, between
from auscult.config.waveform_augment import Clipping, Gain, Polarity, TimeShift


class TimeShifter(WaveformStep):
    """Shifts the sound by a whole number of samples, uniform to either side, inside its true length."""

    ONE_BY_ONE = False

    def __init__(self, settings: TimeShift, sample_rate_hz: int, device: torch.device) -> None:
        self._reach_samples = round(settings.max_shift_s * sample_rate_hz)
        self._is_rolled = settings.fill == "roll"

    def draw(self, draws: Draws) -> Drawn:
        """Draw the shift in samples."""
        return (torch.floor(draws.uniform().double() * (2 * self._reach_samples + 1)).long() - self._reach_samples,)

    def apply(self, sounds: Sounds, drawn: Drawn) -> Tensor:
        """Copy the two pieces of each clip to their places: an index of every sample would be several times slower."""
        shifted = torch.empty_like(sounds.waveforms)
        shifts: list[int] = drawn[0].tolist()
        lengths: list[int] = sounds.n_sound.tolist()
        for before, after, shift, length in zip(sounds.waveforms, shifted, shifts, lengths, strict=True):
            cut = shift % max(length, 1)
            if self._is_rolled or 0 <= shift < length:
                after[cut:length] = before[: length - cut]
            else:
                after[cut:length] = 0.0
            if self._is_rolled or -length < shift < 0:
                after[:cut] = before[length - cut : length]
            else:
                after[:cut] = 0.0
            after[length:] = 0.0
        return shifted


class GainChanger(WaveformStep):
    """Multiplies by a factor that is uniform in dB. What exceeds full scale is kept."""

    ONE_BY_ONE = False

    def __init__(self, settings: Gain, sample_rate_hz: int, device: torch.device) -> None:
        self._gain_db = settings.gain_db

    def draw(self, draws: Draws) -> Drawn:
        """Draw the gain in dB."""
        return (between(draws, self._gain_db),)

    def apply(self, sounds: Sounds, drawn: Drawn) -> Tensor:
        """Multiply."""
        return sounds.waveforms * amplitude(drawn[0])[:, None]


class PolarityInverter(WaveformStep):
    """Changes the sign of every sample."""

    ONE_BY_ONE = False
    N_DRAWN = 0

    def __init__(self, settings: Polarity, sample_rate_hz: int, device: torch.device) -> None:
        pass

    def draw(self, draws: Draws) -> Drawn:
        """Draw nothing."""
        return ()

    def apply(self, sounds: Sounds, drawn: Drawn) -> Tensor:
        """Change the sign."""
        return -sounds.waveforms


class Clipper(WaveformStep):
    """Clips each clip at a level below its own peak, uniform in dB."""

    ONE_BY_ONE = False

    def __init__(self, settings: Clipping, sample_rate_hz: int, device: torch.device) -> None:
        self._below_peak_db = settings.below_peak_db

    def draw(self, draws: Draws) -> Drawn:
        """Draw how far below the peak, in dB."""
        return (between(draws, self._below_peak_db),)

    def apply(self, sounds: Sounds, drawn: Drawn) -> Tensor:
        """Clip."""
        peak = torch.maximum(sounds.waveforms.amax(dim=1), -sounds.waveforms.amin(dim=1))
        limits: list[float] = (peak * amplitude(-drawn[0])).tolist()
        clipped = torch.empty_like(sounds.waveforms)
        # Clip by clip: limits in a tensor would be several times slower.
        for before, after, limit in zip(sounds.waveforms, clipped, limits, strict=True):
            torch.clamp(before, -limit, limit, out=after)
        return clipped
