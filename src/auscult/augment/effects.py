"""Waveforms shifted, louder, upside down or clipped, and filtered by a random response."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor
from torch.nn import functional

from auscult.augment.random import ClipRandom
from auscult.augment.waveform import Drawn, Sounds, WaveformStep, amplitude, between, between_octaves
from auscult.config.waveform_augment import BandStop, Clipping, DeviceResponse, Gain, Polarity, TimeShift
from auscult.errors import ConfigError

_LENGTH_S = 0.125
_RESPONSES_IN_BLOCK = 4


class TimeShifter(WaveformStep):
    """Shifts the sound by a whole number of samples, uniform to either side, inside its true length."""

    ONE_BY_ONE = False

    def __init__(self, settings: TimeShift, sample_rate_hz: int, device: torch.device) -> None:
        self._reach_samples = round(settings.max_shift_s * sample_rate_hz)
        self._is_rolled = settings.fill == "roll"

    def draw(self, rng: ClipRandom) -> Drawn:
        """Draw the shift in samples."""
        return (torch.floor(rng.uniform().double() * (2 * self._reach_samples + 1)).long() - self._reach_samples,)

    def sources(self, places: Tensor, n_sound: Tensor, drawn: Drawn) -> Tensor:
        """Return the places before the shift; the padding stays where it is."""
        length = n_sound[:, None].double()
        before = places - drawn[0][:, None]
        is_inside = (before >= 0) & (before < length)
        before = before.remainder(length) if self._is_rolled else before.masked_fill(~is_inside, torch.nan)
        return torch.where(places < length, before, places)

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

    def draw(self, rng: ClipRandom) -> Drawn:
        """Draw the gain in dB."""
        return (between(rng, self._gain_db),)

    def apply(self, sounds: Sounds, drawn: Drawn) -> Tensor:
        """Multiply."""
        return sounds.waveforms * amplitude(drawn[0])[:, None]


class PolarityInverter(WaveformStep):
    """Changes the sign of every sample."""

    ONE_BY_ONE = False
    N_DRAWN = 0

    def __init__(self, settings: Polarity, sample_rate_hz: int, device: torch.device) -> None:
        pass

    def draw(self, rng: ClipRandom) -> Drawn:
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

    def draw(self, rng: ClipRandom) -> Drawn:
        """Draw how far below the peak, in dB."""
        return (between(rng, self._below_peak_db),)

    def apply(self, sounds: Sounds, drawn: Drawn) -> Tensor:
        """Clip."""
        peak = torch.maximum(sounds.waveforms.amax(dim=1), -sounds.waveforms.amin(dim=1))
        limits: list[float] = (peak * amplitude(-drawn[0])).tolist()
        clipped = torch.empty_like(sounds.waveforms)
        # Clip by clip: limits in a tensor would be several times slower.
        for before, after, limit in zip(sounds.waveforms, clipped, limits, strict=True):
            torch.clamp(before, -limit, limit, out=after)
        return clipped


class _ResponseFilter(WaveformStep):
    """Filters each clip by its own magnitude response, without delay or phase.

    The impulse response, an eighth of a second long, is tapered; the clip is filtered block by block (overlap-save):
    FFTs of a few thousand samples are several times faster than one of the clip.
    """

    def __init__(self, sample_rate_hz: int, device: torch.device) -> None:
        self._n_response = 1 << round(math.log2(_LENGTH_S * sample_rate_hz))
        self._n_fft = _RESPONSES_IN_BLOCK * self._n_response
        taper = torch.hann_window(self._n_response + 1, periodic=False, dtype=torch.float64)
        half = self._n_response // 2
        at_once = torch.zeros(self._n_fft, dtype=torch.float64)
        at_once[: half + 1], at_once[-half:] = taper[half:], taper[:half]
        self._taper = at_once.float().to(device)
        self._frequencies_hz = torch.fft.rfftfreq(self._n_fft, 1 / sample_rate_hz, device=device)

    def draw(self, rng: ClipRandom) -> Drawn:
        """Draw the gain at each frequency, float32 [batch, frequency]."""
        impulse_response = torch.fft.irfft(self._power(self._frequencies_hz, rng).sqrt(), self._n_fft)
        return (torch.fft.rfft(impulse_response * self._taper).real.contiguous(),)

    def apply(self, sounds: Sounds, drawn: Drawn) -> Tensor:
        """Filter."""
        # What lies within half a response of a block's ends is wrong by wrap-around, and belongs to its neighbours.
        half, n_new = self._n_response // 2, self._n_fft - self._n_response
        n_blocks = -(-sounds.n_samples // n_new)
        padded = functional.pad(sounds.waveforms, (half, n_blocks * n_new + half - sounds.n_samples))
        spectra = torch.fft.rfft(padded.unfold(1, self._n_fft, n_new))
        filtered = torch.fft.irfft(spectra.mul_(drawn[0][:, None]), self._n_fft)[:, :, half : half + n_new]
        filtered = filtered.reshape(len(filtered), -1)[:, : sounds.n_samples]
        return sounds.silence_padding(filtered)

    @abstractmethod
    def _power(self, frequencies_hz: Tensor, rng: ClipRandom) -> Tensor:
        """Draw the gain of power at each frequency, float32 [batch, frequency].

        By arithmetic and roots alone, whose every bit is the same on whatever batch.
        """


class BandStopper(_ResponseFilter):
    """Takes out a band; its centre is uniform on a logarithmic scale, its width evenly drawn.

    Raises:
        ConfigError: If a centre may reach half the sample rate.
    """

    def __init__(self, settings: BandStop, sample_rate_hz: int, device: torch.device) -> None:
        super().__init__(sample_rate_hz, device)
        self._settings = settings
        check_below_nyquist("band_stop", "centre_hz", settings.centre_hz, sample_rate_hz)

    def _power(self, frequencies_hz: Tensor, rng: ClipRandom) -> Tensor:
        centre_hz = between_octaves(rng, self._settings.centre_hz)[:, None]
        width_hz = between(rng, self._settings.width_hz)[:, None]
        # A band that would begin below 1 Hz is as wide as its upper edge says.
        low_hz, high_hz = (centre_hz - width_hz / 2).clamp_min(1.0), centre_hz + width_hz / 2
        product, width = (low_hz * high_hz).float(), (high_hz - low_hz).float()
        distance = (frequencies_hz.square() - product).square().clamp_min(1e-3)
        ratio = (frequencies_hz * width).square() / distance
        # Butterworth's magnitude, order 4: the ratio's fourth power may be infinite, its inverse is then 0.
        return 1 / (1 + ratio.square().square())


class DeviceFilter(_ResponseFilter):
    """Gives the response of another device: two cuts of 12 dB an octave and the bells of a parametric equaliser.

    Raises:
        ConfigError: If the lower cut may reach half the sample rate. The upper one may: it then cuts little.
    """

    def __init__(self, settings: DeviceResponse, sample_rate_hz: int, device: torch.device) -> None:
        super().__init__(sample_rate_hz, device)
        self._settings = settings
        check_below_nyquist("device_response", "low_cut_hz", settings.low_cut_hz, sample_rate_hz)

    def _power(self, frequencies_hz: Tensor, rng: ClipRandom) -> Tensor:
        settings = self._settings
        low_hz = between_octaves(rng, settings.low_cut_hz)[:, None]
        high_hz = between_octaves(rng, settings.high_cut_hz)[:, None]
        low = (frequencies_hz / low_hz.float()).square().square()
        high = (frequencies_hz / high_hz.float()).square().square()
        power = low / ((1 + low) * (1 + high))
        # Between the cuts, evenly in octaves.
        peak_hz = (low_hz * (high_hz / low_hz) ** rng.uniform(settings.n_peaks).double()).float()
        level_db = between(rng, (-settings.max_peak_db, settings.max_peak_db), settings.n_peaks)
        gain, quality = amplitude(level_db), between_octaves(rng, settings.quality, settings.n_peaks).float()
        for peak in range(settings.n_peaks):
            # The analogue bell of the usual cookbook (Bristow-Johnson): level_db at its peak, 0 dB far off.
            square = (frequencies_hz / peak_hz[:, peak, None]).square()
            off, on = (1 - square).square(), square / quality[:, peak, None].square()
            power = power * (off + on * gain[:, peak, None]) / (off + on / gain[:, peak, None])
        return power


def check_below_nyquist(step: str, setting: str, range_hz: tuple[float, float], sample_rate_hz: int) -> None:
    """Check that frequencies lie below half the sample rate.

    Raises:
        ConfigError: They do not.
    """
    if range_hz[1] >= sample_rate_hz / 2:
        raise ConfigError(
            f"{step}: {setting} {list(range_hz)} reaches half the clips' sample rate, {sample_rate_hz / 2:g} Hz; "
            "lower it, or raise sample_rate_hz of the clips"
        )
