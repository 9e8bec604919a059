"""Log-mel spectrograms of waveforms."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, sparse

from auscult.audio.clip_store import to_float32
from auscult.config.spectrogram import SpectrogramSettings
from auscult.errors import ConfigError
from auscult.spectrograms.filterbanks import analysis_window, mel_filterbank

_BLOCK_FRAMES = 160
"""Frames transformed at once: with an FFT of 1024 they and their spectrum fit the second-level cache."""


class LogMel:
    """Turns waveforms into log-mel spectrograms in dB.

    The same as `librosa.power_to_db(librosa.feature.melspectrogram(y, ..., pad_mode="reflect"), ref=1.0,
    amin=10 ** (floor_db / 10), top_db=None)`, up to float32 rounding.

    SciPy's FFT and a sparse filterbank: on one core they are as fast as `torch.stft` with a dense product, and
    importing them takes half a second, not three, which is thousands of clips. They release the interpreter lock, and
    their result does not depend on the number of threads.
    """

    def __init__(self, settings: SpectrogramSettings, sample_rate_hz: int) -> None:
        """Prepare window and filterbank.

        Raises:
            ConfigError: If `f_max_hz` lies above half the sample rate.
        """
        f_max_hz = sample_rate_hz / 2 if settings.f_max_hz is None else settings.f_max_hz
        if f_max_hz > sample_rate_hz / 2 or settings.f_min_hz >= f_max_hz:
            raise ConfigError(
                f"spectrogram: f_min_hz {settings.f_min_hz:g} to f_max_hz {f_max_hz:g} does not fit clips at "
                f"{sample_rate_hz} Hz; both must lie between 0 and {sample_rate_hz / 2:g}, in this order"
            )
        self.settings = settings
        filters = mel_filterbank(
            sample_rate_hz=sample_rate_hz,
            n_fft=settings.n_fft,
            n_mels=settings.n_mels,
            f_min_hz=settings.f_min_hz,
            f_max_hz=f_max_hz,
            scale=settings.mel_scale,
            norm=settings.mel_norm,
        )
        self.n_empty_bands = int(np.sum(~filters.any(axis=1)))
        self._filters = sparse.csr_array(filters)
        self._window = analysis_window(settings.window, settings.n_fft)
        self._floor = np.float32(10.0 ** (settings.floor_db / 10))
        self._floor_db = np.log10(self._floor) * np.float32(10)

    def __call__(
        self,
        waveforms: NDArray[np.float32 | np.int16],
        n_sound: NDArray[np.integer] | None = None,
        dtype: type[np.float32 | np.float16] = np.float32,
        *,
        is_exact: bool = False,
    ) -> NDArray[np.float32 | np.float16]:
        """Return the spectrograms of waveforms, in dB of full-scale power, shape [batch, mel, frame].

        Args:
            waveforms: Float32 of full scale 1, or int16 as clips are stored, shape [batch, sample].
            n_sound: Where each waveform's trailing zeros begin, shape [batch], if that is known: frames of nothing but
                zeros are then set to the floor without a transform, which changes no value.
            dtype: Of the result.
            is_exact: In float64 up to the last rounding, for comparisons with other implementations, at twice the
                time: in float32 a transform's own noise shows in the quiet bands of a loud sound, by up to 0.01 dB.

        Raises:
            ConfigError: If the waveforms are shorter than one frame.
        """
        n_frames = self.n_frames(waveforms.shape[1])
        n_sounding = self._n_frames_sounding(n_sound, waveforms.shape, n_frames)
        spectrograms = np.empty((len(waveforms), self.settings.n_mels, n_frames), dtype)
        # One at a time: a clip's spectrum stays in the processor's cache.
        for waveform, spectrogram, n in zip(waveforms, spectrograms, n_sounding, strict=True):
            self._transform(waveform, spectrogram[:, :n], np.float64 if is_exact else np.float32)
            spectrogram[:, n:] = self._floor_db
        return spectrograms

    def _transform(
        self,
        waveform: NDArray[np.float32 | np.int16],
        spectrogram: NDArray[np.float32 | np.float16],
        dtype: type[np.float32 | np.float64],
    ) -> None:
        frames = self._frames(_as_float32(waveform), spectrogram.shape[1])
        for start in range(0, len(frames), _BLOCK_FRAMES):
            # Copied, then multiplied in place: numpy is a quarter faster so than by a product into another array.
            block = frames[start : start + _BLOCK_FRAMES].astype(dtype)
            block *= self._window
            spectrogram[:, start : start + _BLOCK_FRAMES] = self._levels_db(block)

    def _frames(self, waveform: NDArray[np.float32], n_frames: int) -> NDArray[np.float32]:
        settings = self.settings
        if settings.centred:
            waveform = np.pad(waveform, settings.n_fft // 2, mode="reflect")
        # A view of overlapping frames; numpy's sliding_window_view is the same and costs as much as the filterbank.
        strides = (settings.hop_samples * waveform.itemsize, waveform.itemsize)
        return np.ndarray((n_frames, settings.n_fft), np.float32, waveform, strides=strides)

    def _levels_db(self, frames: NDArray[np.float32 | np.float64]) -> NDArray[np.float32]:
        """Return the bands of windowed frames, shape [frame, sample], in dB, shape [mel, frame]."""
        # The FFT lays its result out as the filterbank reads it, [bin, frame]: transposing costs twice the product.
        spectrum: NDArray[np.complex64 | np.complex128] = np.asarray(fft.rfft(frames.T, axis=0))
        magnitude = np.abs(spectrum)
        power = self.settings.power
        if power == 2:
            magnitude *= magnitude
        elif power != 1:
            magnitude **= power
        mel = self._filters.astype(magnitude.dtype, copy=False) @ magnitude
        np.maximum(mel, self._floor, out=mel)
        np.log10(mel, out=mel)
        mel *= np.float32(10)
        return mel.astype(np.float32, copy=False)

    def _n_frames_sounding(
        self, n_sound: NDArray[np.integer] | None, shape: tuple[int, ...], n_frames: int
    ) -> NDArray[np.int64]:
        if n_sound is None:
            return np.full(shape[0], n_frames)
        # A centred frame near the end sees sound that the border reflects: such a clip is transformed whole.
        reaches_border = self.settings.centred & (n_sound > shape[1] - self.settings.n_fft)
        return np.where(reaches_border, n_frames, self.n_frames_valid(n_sound, shape[1]))

    def n_frames(self, n_samples: int) -> int:
        """Return the frames of a clip of `n_samples`, at least one.

        Raises:
            ConfigError: If the clip is shorter than one frame.
        """
        n_frames = self.settings.n_frames(n_samples)
        if n_frames == 0:
            raise ConfigError(
                f"spectrogram.n_fft {self.settings.n_fft} is longer than a clip of {n_samples} samples; "
                "lower n_fft or make clips longer"
            )
        return n_frames

    def n_frames_valid(self, n_valid: NDArray[np.integer], n_samples: int) -> NDArray[np.int64]:
        """Return how many frames, from the first, hold true sound, shape [clip].

        A frame holds true sound when its window starts before the true sound's end: frame k starts at sample k * hop,
        less n_fft // 2 when centred. At least one frame does.

        Args:
            n_valid: Samples of true sound of each clip, shape [clip].
            n_samples: Samples of a clip, padding included.

        >>> LogMel(SpectrogramSettings(), 8000).n_frames_valid(np.array([1, 254, 255, 80_000]), 80_000).tolist()
        [1, 1, 2, 311]
        """
        settings = self.settings
        end = np.asarray(n_valid, np.int64) + (settings.n_fft // 2 if settings.centred else 0)
        started = -(-end // settings.hop_samples)
        return np.clip(started, 1, self.n_frames(n_samples))


def _as_float32(waveform: NDArray[Any]) -> NDArray[np.float32]:
    return to_float32(waveform) if waveform.dtype == np.int16 else np.ascontiguousarray(waveform, np.float32)
