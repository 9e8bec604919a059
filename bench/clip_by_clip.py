"""Each augmentation for one clip at a time, with librosa, SciPy and NumPy, as audiomentations works."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy import ndimage, signal

RATE_HZ = 8000
N_SAMPLES = 80_000

Array = NDArray[np.float32]
Rng = np.random.Generator


def _amplitude(level_db: float) -> np.float32:
    return np.float32(10 ** (level_db / 20))


def _rms(samples: Array) -> float:
    return float(np.sqrt(np.mean(np.square(samples))))


def _fitted(samples: Array) -> Array:
    return librosa.util.fix_length(samples, size=N_SAMPLES)


def waveform_step(name: str, folder: Path) -> Callable[[Array, Any, Rng], Array]:
    """Return a step by its name; `folder` holds recorded noise."""
    return getattr(_ClipByClip(folder), name)


class _ClipByClip:
    """Each waveform step for one clip."""

    def __init__(self, folder: Path) -> None:
        self._files = sorted(folder.glob("*.wav"))

    def time_shift(self, clip: Array, settings: Any, rng: Rng) -> Array:
        return np.roll(clip, round(rng.uniform(-1, 1) * settings.max_shift_s * RATE_HZ))

    def speed(self, clip: Array, settings: Any, rng: Rng) -> Array:
        rate = round(100 * rng.uniform(*settings.rate))
        return _fitted(librosa.resample(clip, orig_sr=rate, target_sr=100))

    def gaussian_noise(self, clip: Array, settings: Any, rng: Rng) -> Array:
        deviation = _rms(clip) / _amplitude(rng.uniform(*settings.snr_db))
        return clip + rng.normal(0, deviation, len(clip)).astype(np.float32)

    def coloured_noise(self, clip: Array, settings: Any, rng: Rng) -> Array:
        exponent = rng.integers(3)
        spectrum = np.fft.rfft(rng.normal(0, 1, len(clip)))
        spectrum *= np.maximum(np.fft.rfftfreq(len(clip), 1 / RATE_HZ), 20.0) ** (-exponent / 2)
        return self._added(clip, np.fft.irfft(spectrum, len(clip)).astype(np.float32), settings, rng)

    def background_noise(self, clip: Array, settings: Any, rng: Rng) -> Array:
        start = int(rng.integers(N_SAMPLES))
        path = self._files[rng.integers(len(self._files))]
        noise, _ = soundfile.read(path, N_SAMPLES, start, dtype="float32")
        return self._added(clip, noise, settings, rng)

    def _added(self, clip: Array, noise: Array, settings: Any, rng: Rng) -> Array:
        return clip + noise * np.float32(_rms(clip) / _rms(noise) / _amplitude(rng.uniform(*settings.snr_db)))

    def pitch_shift(self, clip: Array, settings: Any, rng: Rng) -> Array:
        semitones = rng.uniform(-settings.max_semitones, settings.max_semitones)
        return librosa.effects.pitch_shift(clip, sr=RATE_HZ, n_steps=semitones)

    def time_stretch(self, clip: Array, settings: Any, rng: Rng) -> Array:
        return _fitted(librosa.effects.time_stretch(clip, rate=rng.uniform(*settings.rate)))

    def gain(self, clip: Array, settings: Any, rng: Rng) -> Array:
        return clip * _amplitude(rng.uniform(*settings.gain_db))

    def polarity(self, clip: Array, settings: Any, rng: Rng) -> Array:
        return -clip

    def band_stop(self, clip: Array, settings: Any, rng: Rng) -> Array:
        centre_hz, width_hz = rng.uniform(*settings.centre_hz), rng.uniform(*settings.width_hz)
        edges_hz = [max(centre_hz - width_hz / 2, 1), centre_hz + width_hz / 2]
        # Forwards and backwards, as ours delays nothing.
        sections = signal.butter(2, edges_hz, "bandstop", output="sos", fs=RATE_HZ)
        return signal.sosfiltfilt(sections, clip).astype(np.float32)

    def clipping(self, clip: Array, settings: Any, rng: Rng) -> Array:
        limit = np.max(np.abs(clip)) * _amplitude(-rng.uniform(*settings.below_peak_db))
        return np.clip(clip, -limit, limit)

    def device_response(self, clip: Array, settings: Any, rng: Rng) -> Array:
        low_hz, high_hz = rng.uniform(*settings.low_cut_hz), rng.uniform(*settings.high_cut_hz)
        sections = [
            signal.butter(2, low_hz, "highpass", output="sos", fs=RATE_HZ),
            signal.butter(2, high_hz, "lowpass", output="sos", fs=RATE_HZ),
        ]
        for _ in range(settings.n_peaks):
            peak_hz, quality = rng.uniform(low_hz, high_hz), rng.uniform(*settings.quality)
            sections.append(_bell(peak_hz, quality, rng.uniform(-settings.max_peak_db, settings.max_peak_db)))
        return signal.sosfilt(np.concatenate(sections), clip).astype(np.float32)

    def augmix(self, clip: Array, settings: Any, rng: Rng) -> Array:
        share = rng.beta(settings.alpha, settings.alpha)
        mixed = clip * np.float32(1 - share)
        for weight in rng.dirichlet([settings.alpha] * settings.n_chains):
            end = clip
            for _ in range(rng.integers(1, settings.chain_depth + 1)):
                function = settings.functions[rng.integers(len(settings.functions))]
                end = getattr(self, function.name)(end, function, rng)
            mixed += np.float32(share * weight) * end
        return mixed


def _bell(peak_hz: float, quality: float, level_db: float) -> NDArray[np.float64]:
    """Return the section of a parametric equaliser (Bristow-Johnson)."""
    angle, root = 2 * np.pi * peak_hz / RATE_HZ, 10 ** (level_db / 40)
    width = np.sin(angle) / (2 * quality)
    section = np.array(
        [
            [
                1 + width * root,
                -2 * np.cos(angle),
                1 - width * root,
                1 + width / root,
                -2 * np.cos(angle),
                1 - width / root,
            ]
        ]
    )
    return section / section[0, 3]


def _mask_time(clip: Array, settings: Any, rng: Rng) -> Array:
    width = rng.integers(settings.max_width_frames + 1)
    start = rng.integers(clip.shape[1] - width + 1)
    masked = clip.copy()
    masked[:, start : start + width] = 0
    return masked


def _mask_frequency(clip: Array, settings: Any, rng: Rng) -> Array:
    width = rng.integers(settings.max_width_bands + 1)
    start = rng.integers(clip.shape[0] - width + 1)
    masked = clip.copy()
    masked[start : start + width] = 0
    return masked


def _gaussian_noise(clip: Array, settings: Any, rng: Rng) -> Array:
    return clip + rng.normal(0, rng.uniform(0, settings.max_deviation), clip.shape).astype(np.float32)


def _roll_time(clip: Array, settings: Any, rng: Rng) -> Array:
    return np.roll(clip, rng.integers(-settings.max_shift_frames, settings.max_shift_frames + 1), axis=1)


def _roll_frequency(clip: Array, settings: Any, rng: Rng) -> Array:
    return np.roll(clip, rng.integers(-settings.max_shift_bands, settings.max_shift_bands + 1), axis=0)


def _coarse_dropout(clip: Array, settings: Any, rng: Rng) -> Array:
    dropped = clip.copy()
    for _ in range(settings.n_holes):
        height = rng.integers(1, settings.max_height_bands + 1)
        width = rng.integers(1, settings.max_width_frames + 1)
        top, left = rng.integers(clip.shape[0] - height + 1), rng.integers(clip.shape[1] - width + 1)
        dropped[top : top + height, left : left + width] = 0
    return dropped


def _resize_crop(clip: Array, settings: Any, rng: Rng) -> Array:
    n_bands, n_frames = clip.shape
    height = round(n_bands * rng.uniform(settings.min_share_frequency, 1))
    width = round(n_frames * rng.uniform(settings.min_share_time, 1))
    top, left = rng.integers(n_bands - height + 1), rng.integers(n_frames - width + 1)
    cut = clip[top : top + height, left : left + width]
    return ndimage.zoom(cut, (n_bands / height, n_frames / width), order=1)


SPECTROGRAM_STEPS: dict[str, Callable[[Array, Any, Rng], Array]] = {
    "mask_time": _mask_time,
    "mask_frequency": _mask_frequency,
    "gaussian_noise": _gaussian_noise,
    "roll_time": _roll_time,
    "roll_frequency": _roll_frequency,
    "coarse_dropout": _coarse_dropout,
    "resize_crop": _resize_crop,
}
