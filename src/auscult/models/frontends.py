"""Front ends: waveforms [batch, sample] become spectrograms [batch, band, frame], on any device."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from auscult.config.clips import ClipSettings
from auscult.config.encoder import KaldiBands, LogMelBands, load_encoder
from auscult.config.spectrogram import (
    ConstantQFrontend,
    FrontendSettings,
    LearnableMelFrontend,
    LinearFrontend,
    MelFrontend,
    PublishedFrontend,
    SpectrogramSettings,
    frontend_frames,
    frontend_range_hz,
)
from auscult.spectrograms.filterbanks import (
    analysis_window,
    constant_q_frequencies,
    constant_q_kernel,
    constant_q_length,
    kaldi_filterbank,
    linear_filterbank,
    mel_filterbank,
)


class LogSpectrogram(nn.Module):
    """Bands of a short-time Fourier transform in dB, as `features.LogMel` computes them; in float32 under autocast too.

    Args:
        filters: Shape [band, n_fft // 2 + 1].
        settings: Window, hop, power and floor.
        is_learnable: The filters are trained; where a weight falls below zero it counts as zero.
    """

    filters: Tensor
    window: Tensor

    def __init__(
        self, filters: NDArray[np.float32], settings: SpectrogramSettings, *, is_learnable: bool = False
    ) -> None:
        super().__init__()
        self.settings = settings
        self.n_bands = len(filters)
        tensor = torch.from_numpy(filters)
        if is_learnable:
            self.filters = nn.Parameter(tensor)
        else:
            self.register_buffer("filters", tensor, persistent=False)
        window = torch.from_numpy(analysis_window(settings.window, settings.n_fft))
        self.register_buffer("window", window, persistent=False)
        self._floor = 10.0 ** (settings.floor_db / 10)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Turn float32 waveforms of full scale 1, [batch, sample], into dB, [batch, band, frame]."""
        settings = self.settings
        with torch.autocast(waveforms.device.type, enabled=False):
            spectrum = torch.stft(
                waveforms.float(),
                settings.n_fft,
                settings.hop_samples,
                window=self.window,
                center=settings.centred,
                pad_mode="reflect",
                return_complex=True,
            )
            magnitude = spectrum.abs()
            powered = magnitude if settings.power == 1 else magnitude.pow(settings.power)
            bands = self.filters.clamp(min=0) @ powered
            return _decibels(bands, self._floor)


class ConstantQ(nn.Module):
    """A constant-Q transform in dB (Brown 1991), its frames at the places of the short-time Fourier transform's.

    Bands of an octave share one length of frame, so the low ones alone are computed on long frames. Sound beyond the
    clip's ends counts as silence.

    Args:
        settings: Bands in an octave.
        spectrogram: Hop, power and floor; its `n_fft` places the first frame.
        sample_rate_hz: Of the waveforms.
        range_hz: Centre of the first band, and what the last one stays below.
    """

    def __init__(
        self,
        settings: ConstantQFrontend,
        spectrogram: SpectrogramSettings,
        sample_rate_hz: int,
        range_hz: tuple[float, float],
    ) -> None:
        super().__init__()
        of_bands = {"sample_rate_hz": sample_rate_hz, "bins_per_octave": settings.bins_per_octave}
        centres_hz = constant_q_frequencies(
            f_min_hz=range_hz[0], f_max_hz=range_hz[1], bins_per_octave=settings.bins_per_octave
        )
        self.settings = spectrogram
        self.n_bands = len(centres_hz)
        self._floor = 10.0 ** (spectrogram.floor_db / 10)
        self._n_octaves = -(-self.n_bands // settings.bins_per_octave)
        for octave in range(self._n_octaves):
            of_octave = centres_hz[octave * settings.bins_per_octave :][: settings.bins_per_octave]
            n_samples = constant_q_length(float(of_octave[0]), **of_bands)
            kernels = np.stack([constant_q_kernel(float(hz), n_samples=n_samples, **of_bands) for hz in of_octave])
            stacked = np.concatenate([kernels.real, kernels.imag]).astype(np.float32)
            self.register_buffer(f"kernels_{octave}", torch.from_numpy(stacked), persistent=False)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Turn float32 waveforms of full scale 1, [batch, sample], into dB, [batch, band, frame]."""
        settings = self.settings
        n_frames = settings.n_frames(waveforms.shape[1])
        first_middle = 0 if settings.centred else settings.n_fft // 2
        last_middle = first_middle + (n_frames - 1) * settings.hop_samples
        with torch.autocast(waveforms.device.type, enabled=False):
            bands: list[Tensor] = []
            for octave in range(self._n_octaves):
                kernels: Tensor = getattr(self, f"kernels_{octave}")
                length = kernels.shape[1]
                before = length // 2 - first_middle
                after = last_middle + length - length // 2 - waveforms.shape[1]
                around = functional.pad(waveforms.float(), (before, after))
                frames = around.unfold(1, length, settings.hop_samples)
                real, imaginary = (frames @ kernels.T).chunk(2, dim=2)
                bands.append(torch.sqrt(real**2 + imaginary**2 + _TINY).transpose(1, 2))
            magnitude = torch.cat(bands, dim=1)
            powered = magnitude if settings.power == 1 else magnitude.pow(settings.power)
            return _decibels(powered, self._floor)


class KaldiFilterbank(nn.Module):
    """Kaldi's log filter bank, as `torchaudio.compliance.kaldi.fbank` computes it, of whole batches.

    The clip's mean is taken off first, as AST does. Filters are triangles on the mel scale, not in Hz.

    Args:
        settings: Bands, window and pre-emphasis.
        sample_rate_hz: Of the waveforms.
    """

    filters: Tensor
    window: Tensor

    def __init__(self, settings: KaldiBands, sample_rate_hz: int) -> None:
        super().__init__()
        self.settings = settings
        self.n_bands = settings.n_mels
        self._shift = settings.shift_samples(sample_rate_hz)
        n_window = settings.window_samples(sample_rate_hz)
        self._n_fft = 1 << (n_window - 1).bit_length()
        filters = kaldi_filterbank(
            sample_rate_hz=sample_rate_hz, n_fft=self._n_fft, n_mels=settings.n_mels, f_min_hz=settings.f_min_hz
        )
        self.register_buffer("filters", torch.from_numpy(filters), persistent=False)
        self.register_buffer("window", torch.hann_window(n_window, periodic=False), persistent=False)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Turn float32 waveforms of full scale 1, [batch, sample], into natural logarithms, [batch, band, frame]."""
        with torch.autocast(waveforms.device.type, enabled=False):
            centred = waveforms.float() - waveforms.float().mean(dim=1, keepdim=True)
            frames = centred.unfold(1, len(self.window), self._shift)
            frames = frames - frames.mean(dim=2, keepdim=True)
            before = functional.pad(frames, (1, 0), mode="replicate")[..., :-1]
            emphasised = (frames - self.settings.preemphasis * before) * self.window
            power = torch.fft.rfft(emphasised, n=self._n_fft).abs().square()
            return (power @ self.filters.T).clamp(min=_KALDI_FLOOR).log().transpose(1, 2)


_KALDI_FLOOR = torch.finfo(torch.float32).eps

_TINY = 1e-24
"""Below any floor; the slope of a root at zero is infinite."""


def _decibels(power: Tensor, floor: float) -> Tensor:
    return power.clamp(min=floor).log10() * 10


class FixedNorm(nn.Module):
    """Spectrograms less one mean, over one deviation: those of the data that an encoder was trained on."""

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.mean = mean
        self.std = std

    def forward(self, spectrograms: Tensor) -> Tensor:
        """Return the same shape, normalised."""
        return (spectrograms - self.mean) / self.std


class Frontend(nn.Module):
    """A front end inside a model: its bands, normalised each by batch norm, as PANNs do (Kong et al. 2020).

    The statistics are the training clips' alone, and travel in the model's weights.

    Args:
        bands: From waveforms to levels.
        n_frames: Of one clip; where the bands have fewer, zeros follow, as published encoders have it.
        norm: In place of batch norm.
    """

    def __init__(
        self, bands: LogSpectrogram | ConstantQ | KaldiFilterbank, n_frames: int, norm: FixedNorm | None = None
    ) -> None:
        super().__init__()
        self.bands = bands
        self.norm = nn.BatchNorm1d(bands.n_bands) if norm is None else norm
        self.shape = (bands.n_bands, n_frames)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Turn waveforms of full scale 1, [batch, sample], into normalised bands, [batch, band, frame]."""
        bands = self.bands(waveforms)
        return self.norm(functional.pad(bands, (0, self.shape[1] - bands.shape[2])))


def log_mel(spectrogram: SpectrogramSettings, clips: ClipSettings, *, is_learnable: bool = False) -> LogSpectrogram:
    """Return the log-mel spectrogram that `spectrogram` says, in dB."""
    f_min_hz, f_max_hz = frontend_range_hz(None, spectrogram, clips)
    filters = mel_filterbank(
        sample_rate_hz=clips.sample_rate_hz,
        n_fft=spectrogram.n_fft,
        n_mels=spectrogram.n_mels,
        f_min_hz=f_min_hz,
        f_max_hz=f_max_hz,
        scale=spectrogram.mel_scale,
        norm=spectrogram.mel_norm,
    )
    return LogSpectrogram(filters, spectrogram, is_learnable=is_learnable)


def build_frontend(settings: FrontendSettings, spectrogram: SpectrogramSettings, clips: ClipSettings) -> Frontend:
    """Build the front end that `settings` name, for clips of one length and rate."""
    if isinstance(settings, PublishedFrontend):
        return _published_frontend(settings, spectrogram, clips)
    range_hz = frontend_range_hz(settings, spectrogram, clips)
    if isinstance(settings, MelFrontend | LearnableMelFrontend):
        bands = log_mel(spectrogram, clips, is_learnable=isinstance(settings, LearnableMelFrontend))
    elif isinstance(settings, LinearFrontend):
        filters = linear_filterbank(
            sample_rate_hz=clips.sample_rate_hz,
            n_fft=spectrogram.n_fft,
            n_bands=settings.n_bands,
            f_min_hz=range_hz[0],
            f_max_hz=range_hz[1],
        )
        bands = LogSpectrogram(filters, spectrogram)
    else:
        bands = ConstantQ(settings, spectrogram, clips.sample_rate_hz, range_hz)
    return Frontend(bands, spectrogram.n_frames(clips.n_samples))


def _published_frontend(settings: PublishedFrontend, spectrogram: SpectrogramSettings, clips: ClipSettings) -> Frontend:
    encoder = load_encoder(settings.encoder)
    bands = encoder.frontend
    if isinstance(bands, LogMelBands):
        module = log_mel(SpectrogramSettings(**bands.model_dump(exclude={"name"}), centred=True), clips)
    else:
        module = KaldiFilterbank(bands, clips.sample_rate_hz)
    return Frontend(module, frontend_frames(settings, spectrogram, clips), FixedNorm(encoder.mean, encoder.std))
