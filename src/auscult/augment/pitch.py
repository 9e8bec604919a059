"""Waveforms at another speed, tempo or pitch: resampling by a few fixed ratios, and a phase vocoder."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from auscult.augment.random import ClipRandom
from auscult.augment.waveform import Drawn, Sounds, WaveformStep, between
from auscult.config.waveform_augment import PitchShift, Speed, TimeStretch

STEPS = 100
"""Ratios of resampling come in steps of one over this."""
_HALF_TAPS = 24
_KAISER_BETA = 8.0
_CUTOFF = 0.93
_WINDOW_S = 0.1
_OVERLAP = 3
_HANN_SQUARED_SUM = 1.125
_MAX_RATE = 4
_TINY = 1e-18


class Resampler:
    """Reads waveforms at `ratio` times their speed, where 100 times the ratio is a whole number.

    100 samples that come out lie at the same places of the samples that go in as the next 100 (of even ratios, 50): so
    one matrix, a windowed sinc at each of these places, makes all of them.

    Args:
        device: Of the waveforms.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._kernels: dict[int, Tensor] = {}

    def __call__(self, waveforms: Tensor, hundredths: Tensor, n_out: int) -> Tensor:
        """Resample.

        Args:
            waveforms: Shape [clip, sample].
            hundredths: 100 times the ratio of each clip, int64 [clip].
            n_out: Samples that come out; zeros where the sound has ended.

        Returns:
            Shape [clip, n_out].
        """
        resampled = waveforms.new_zeros(len(waveforms), n_out)
        ratios: list[int] = hundredths.tolist()
        # Each clip has a ratio and so a kernel of its own.
        for before, after, ratio in zip(waveforms, resampled, ratios, strict=True):
            n_filled = min(n_out, -(-len(before) * STEPS // ratio))
            if ratio == STEPS:
                after[:n_filled] = before[:n_filled]
                continue
            kernel = self._kernel(ratio)
            n_made = kernel.shape[1]
            n_read = ratio * n_made // STEPS
            n_half = (len(kernel) - n_read) // 2
            n_blocks = -(-n_filled // n_made)
            n_behind = max(0, n_blocks * n_read + n_half - len(before))
            blocks = functional.pad(before, (n_half, n_behind)).unfold(0, len(kernel), n_read)[:n_blocks]
            after[:n_filled] = (blocks @ kernel).view(-1)[:n_filled]
        return resampled

    def _kernel(self, ratio: int) -> Tensor:
        """Return the matrix, float32 [samples in, samples out]."""
        if ratio not in self._kernels:
            cutoff = _CUTOFF * min(1.0, STEPS / ratio)
            n_half = math.ceil(_HALF_TAPS * max(1.0, ratio / STEPS))
            # The narrower, the less there is to multiply; below 25 the products are too small to be fast.
            n_made = STEPS // math.gcd(ratio, 4)
            n_read = ratio * n_made // STEPS
            places = np.arange(n_read + 2 * n_half)[:, None] - n_half - np.arange(n_made) * (ratio / STEPS)
            inside = np.clip(1 - (places / n_half) ** 2, 0, None)
            window = np.where(inside > 0, np.i0(_KAISER_BETA * np.sqrt(inside)) / np.i0(_KAISER_BETA), 0)
            kernel = cutoff * np.sinc(cutoff * places) * window
            # A level comes out as it went in.
            kernel /= kernel.sum(axis=0)
            self._kernels[ratio] = torch.from_numpy(kernel.astype(np.float32)).to(self._device)
        return self._kernels[ratio]


class PhaseVocoder:
    """Changes the tempo of waveforms and keeps their pitch (Flanagan & Golden 1966; Laroche & Dolson 1999).

    Frames are read at steps of rate * hop and written at steps of one hop. Each is turned, bin by bin, so that it goes
    on where the frame written before it leads in one hop: by the angles between what is read one hop behind that
    frame and this frame, added up. At rate 1 no angle is left, and the sound comes out as it went in.

    Args:
        sample_rate_hz: Sets the window, three times the power of two next to a third of 0.1 s.
        device: Of the waveforms.
    """

    def __init__(self, sample_rate_hz: int, device: torch.device) -> None:
        # With three windows over each sample the squares of Hann's add up to a constant; four would cost a third more.
        self.hop_samples = 1 << round(math.log2(_WINDOW_S * sample_rate_hz / _OVERLAP))
        self.n_fft = _OVERLAP * self.hop_samples
        self._window = torch.hann_window(self.n_fft, device=device)

    def __call__(self, waveforms: Tensor, rate: Tensor, n_out: int) -> Tensor:
        """Stretch.

        Args:
            waveforms: Shape [clip, sample].
            rate: 2 is twice as fast, at most 4, float64 [clip].
            n_out: Samples that come out; zeros where the sound has ended.

        Returns:
            Shape [clip, n_out].
        """
        n_clips, n_samples = waveforms.shape
        hop = self.hop_samples
        # Frames are centred on -1, 0, 1, ... hops of what comes out: whatever lies inside is covered by three.
        # The first two stay as they are read; all bins begin together.
        n_frames = -(-n_out // hop) + _OVERLAP
        before = self.n_fft // 2 + _MAX_RATE * hop
        padded = functional.pad(waveforms, (before, self.n_fft + hop))
        steps = (torch.arange(n_frames, device=waveforms.device) - 1) * hop
        places = (steps * rate[:, None]).round().long() + before - self.n_fft // 2
        places = places.clamp_max(before + n_samples)
        read = self._spectra(padded, places)
        led = self._spectra(padded, places[:, 1:-1] + hop)
        # A tiny bit to the right: where there is no sound, there is no angle.
        turns = led.mul_(read[:, 2:].conj()).add_(_TINY)
        squares = torch.view_as_real(turns).square()
        # Half the time of `sgn_`, which guards against overflow.
        turns *= (squares[..., 0] + squares[..., 1]).rsqrt_()
        read[:, 2:] *= torch.cumprod(turns, dim=1)
        frames = torch.fft.irfft(read, self.n_fft).mul_(self._window / _HANN_SQUARED_SUM)
        pieces = frames.view(n_clips, n_frames, _OVERLAP, hop)
        stretched = pieces.new_zeros(n_clips, n_frames + _OVERLAP - 1, hop)
        for piece in range(_OVERLAP):
            stretched[:, piece : piece + n_frames] += pieces[:, :, piece]
        start = self.n_fft // 2 + hop
        return stretched.view(n_clips, -1)[:, start : start + n_out]

    def _spectra(self, padded: Tensor, places: Tensor) -> Tensor:
        """Return the spectra of the windows that begin at `places`, complex [clip, frame, bin]."""
        n_clips, n_samples = padded.shape
        rows = padded.as_strided((padded.numel() - self.n_fft + 1, self.n_fft), (1, 1))
        clips = torch.arange(n_clips, device=padded.device)[:, None]
        frames = rows.index_select(0, (places + clips * n_samples).view(-1))
        return torch.fft.rfft(frames.mul_(self._window)).view(n_clips, places.shape[1], -1)


def _played(places: Tensor, n_sound: Tensor, rate: Tensor) -> Tensor:
    """Return where what is heard lay at another tempo, [clip, place]; NaN where the sound has ended before its padding.

    Args:
        places: In samples, float64 [place].
        n_sound: Samples before the silent padding, int64 [clip].
        rate: 2 is twice as fast, float64 [clip].
    """
    length = n_sound[:, None].double()
    before = places * rate[:, None]
    return torch.where(places < length, before.masked_fill(before >= length, torch.nan), places)


class SpeedChanger(WaveformStep):
    """Resamples: pitch and tempo change together. What then lies behind the true sound's end is cut."""

    CHANGES_TEMPO = True

    def sources(self, places: Tensor, n_sound: Tensor, drawn: Drawn) -> Tensor:
        """Return the places at the first speed."""
        return _played(places, n_sound, drawn[0].double() / STEPS)

    def __init__(self, settings: Speed, sample_rate_hz: int, device: torch.device) -> None:
        self._rate = settings.rate
        self._resample = Resampler(device)

    def draw(self, rng: ClipRandom) -> Drawn:
        """Draw the rate, in hundredths."""
        return ((between(rng, self._rate) * STEPS).round().long(),)

    def apply(self, sounds: Sounds, drawn: Drawn) -> Tensor:
        """Resample."""
        return sounds.silence_padding(self._resample(sounds.waveforms, drawn[0], sounds.n_samples))


class TimeStretcher(WaveformStep):
    """Changes the tempo and keeps the pitch. What then lies behind the true sound's end is cut."""

    CHANGES_TEMPO = True

    def sources(self, places: Tensor, n_sound: Tensor, drawn: Drawn) -> Tensor:
        """Return the places at the first tempo."""
        return _played(places, n_sound, drawn[0])

    def __init__(self, settings: TimeStretch, sample_rate_hz: int, device: torch.device) -> None:
        self._rate = settings.rate
        self._stretch = PhaseVocoder(sample_rate_hz, device)

    def draw(self, rng: ClipRandom) -> Drawn:
        """Draw the rate."""
        return (between(rng, self._rate),)

    def apply(self, sounds: Sounds, drawn: Drawn) -> Tensor:
        """Stretch."""
        return sounds.silence_padding(self._stretch(sounds.waveforms, drawn[0], sounds.n_samples))


class PitchShifter(WaveformStep):
    """Shifts the pitch, evenly drawn in semitones, and keeps the tempo: resampled, then stretched back."""

    def __init__(self, settings: PitchShift, sample_rate_hz: int, device: torch.device) -> None:
        self._max_semitones = settings.max_semitones
        self._resample = Resampler(device)
        self._stretch = PhaseVocoder(sample_rate_hz, device)
        self._least = round(STEPS * 2 ** (-settings.max_semitones / 12))

    def draw(self, rng: ClipRandom) -> Drawn:
        """Draw the ratio of frequencies, in hundredths."""
        semitones = between(rng, (-self._max_semitones, self._max_semitones))
        return ((STEPS * torch.exp2(semitones / 12)).round().long(),)

    def apply(self, sounds: Sounds, drawn: Drawn) -> Tensor:
        """Shift."""
        n_resampled = -(-sounds.n_samples * STEPS // self._least)
        resampled = self._resample(sounds.waveforms, drawn[0], n_resampled)
        return sounds.silence_padding(self._stretch(resampled, STEPS / drawn[0].double(), sounds.n_samples))
