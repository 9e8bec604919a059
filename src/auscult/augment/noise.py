"""Noise added to waveforms at a given signal-to-noise ratio: white, coloured, and from a folder of recordings."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from auscult.audio.decode import decode
from auscult.audio.probe import probe
from auscult.audio.resample import resample
from auscult.augment.draws import Draws
from auscult.augment.step import Drawn, Sounds, WaveformStep, between
from auscult.config.waveform_augment import BackgroundNoise, ColouredNoise, GaussianNoiseWaveform
from auscult.errors import ConfigError, DataError

EXPONENTS = {"white": 0.0, "pink": 1.0, "brown": 2.0, "blue": -1.0, "violet": -2.0}
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
_LEVEL_BELOW_HZ = 20.0
_LEAST_SAMPLES = 1 << 21
_SEED = 20_200_414


class _Pools:
    """Long stretches of sound, of which windows are read.

    Each is a circle: its beginning stands behind its end once more, as far as a window may reach.

    Args:
        sounds: Float32 [sample] each.
        device: On which they are kept.
    """

    def __init__(self, sounds: Sequence[NDArray[np.float32]], device: torch.device) -> None:
        self._sounds = sounds
        self._device = device
        self._lengths = torch.tensor([len(sound) for sound in sounds], dtype=torch.float64, device=device)
        self._n_samples = 0
        self._samples = torch.zeros(0)
        self._starts = torch.zeros(0)

    def windows(self, n_samples: int, sound: Tensor, place: Tensor) -> Tensor:
        """Return windows, shape [clip, n_samples].

        Args:
            n_samples: Of each.
            sound: Which sound, from [0, 1), float64 [clip].
            place: Where in it, from [0, 1), float64 [clip].
        """
        if self._n_samples != n_samples:
            self._lay_out(n_samples)
        number = (sound * len(self._sounds)).long()
        start = self._starts[number] + (place * self._lengths[number]).long()
        # One row for each place: what is selected is copied row by row, without an index of every sample.
        rows = self._samples.as_strided((len(self._samples) - n_samples + 1, n_samples), (1, 1))
        return rows.index_select(0, start)

    def _lay_out(self, n_samples: int) -> None:
        circles = [np.resize(sound, len(sound) + n_samples) for sound in self._sounds]
        starts = np.cumsum([0, *(len(circle) for circle in circles[:-1])])
        self._samples = torch.from_numpy(np.concatenate(circles)).to(self._device)
        self._starts = torch.from_numpy(starts.astype(np.int64)).to(self._device)
        self._n_samples = n_samples


class _NoiseAdder(WaveformStep):
    """Adds noise so that the sound's power over the noise's, both over the true sound, is what was drawn."""

    N_DRAWN = 2

    def __init__(self, snr_db: tuple[float, float]) -> None:
        self._snr_db = snr_db

    def draw(self, draws: Draws) -> Drawn:
        """Draw the ratio in dB, and what the noise is made of."""
        return between(draws, self._snr_db), draws.uniform(4).double()

    def apply(self, sounds: Sounds, drawn: Drawn) -> Tensor:
        """Add the noise; a clip or a noise of nothing but zeros leaves the clip as it is."""
        snr_db, picks = drawn
        noise = sounds.silence_padding(self._noise(sounds.n_samples, picks))
        # In float64 and at least 1e-30: the norm of silence divides nothing by zero.
        signal_norm = torch.linalg.vector_norm(sounds.waveforms, dim=1).double()
        noise_norm = torch.linalg.vector_norm(noise, dim=1).double().clamp_min(1e-30)
        scale = signal_norm / noise_norm * torch.pow(10.0, -snr_db / 20)
        return torch.addcmul(sounds.waveforms, noise, scale.float()[:, None])

    def _noise(self, n_samples: int, picks: Tensor) -> Tensor:
        """Return noise of any level, shape [clip, n_samples]; `picks` from [0, 1), float64 [clip, 4]."""
        raise NotImplementedError


class ColouredNoiseAdder(_NoiseAdder):
    """Adds Gaussian noise of one of several colours.

    Each clip's noise is the sum of two windows at random places of minutes of noise that is made once (over four
    minutes at 8 kHz; some 10^12 sums): so noise costs two copies, not a random number for each sample. A sum of
    Gaussian noise is Gaussian noise.
    """

    def __init__(
        self, settings: ColouredNoise | GaussianNoiseWaveform, sample_rate_hz: int, device: torch.device
    ) -> None:
        super().__init__(settings.snr_db)
        colours = settings.colours if isinstance(settings, ColouredNoise) else ("white",)
        exponents = [EXPONENTS[colour] if isinstance(colour, str) else colour for colour in colours]
        self._sample_rate_hz = sample_rate_hz
        self._device = device
        self._exponents = exponents
        self._n_made = 0
        self._pools: _Pools | None = None

    def _noise(self, n_samples: int, picks: Tensor) -> Tensor:
        n_made = max(_LEAST_SAMPLES, 1 << (n_samples * 8 - 1).bit_length())
        if self._pools is None or n_made != self._n_made:
            sounds = [coloured_noise(n_made, exponent, self._sample_rate_hz) for exponent in self._exponents]
            self._pools, self._n_made = _Pools(sounds, self._device), n_made
        colour, first, second, _ = picks.unbind(1)
        return self._pools.windows(n_samples, colour, first).add_(self._pools.windows(n_samples, colour, second))


@lru_cache(maxsize=8)
def coloured_noise(n_samples: int, exponent: float, sample_rate_hz: int) -> NDArray[np.float32]:
    """Return Gaussian noise of unit power, always the same, shape [sample]; it closes into a circle.

    Its power density is 1 / frequency ** exponent, and level below 20 Hz, where a stethoscope hears nothing and brown
    noise would have most of its power.
    """
    noise = np.random.Generator(np.random.PCG64(_SEED)).standard_normal(n_samples, np.float32)
    if exponent:
        frequencies_hz = np.maximum(np.fft.rfftfreq(n_samples, 1 / sample_rate_hz), _LEVEL_BELOW_HZ)
        gain = (frequencies_hz / _LEVEL_BELOW_HZ) ** (-exponent / 2)
        noise = np.fft.irfft(np.fft.rfft(noise) * gain, n_samples)
    noise = (noise / np.sqrt(np.mean(noise**2))).astype(np.float32)
    # Whoever asks again gets the same array.
    noise.setflags(write=False)
    return noise


class BackgroundNoiseAdder(_NoiseAdder):
    """Adds a random stretch of a random file; a file shorter than a clip is repeated."""

    def __init__(self, settings: BackgroundNoise, sample_rate_hz: int, device: torch.device) -> None:
        super().__init__(settings.snr_db)
        self._pools = _Pools(read_noises(Path(settings.folder), sample_rate_hz), device)

    def _noise(self, n_samples: int, picks: Tensor) -> Tensor:
        return self._pools.windows(n_samples, picks[:, 0], picks[:, 1])


def read_noises(folder: Path, sample_rate_hz: int) -> list[NDArray[np.float32]]:
    """Return the audio files of a folder and those below it, in the order of their names, at one rate.

    Channels are averaged.

    Raises:
        ConfigError: The folder is missing or holds no audio file.
        DataError: A file cannot be decoded, or is silent throughout.
    """
    where = f"{folder} (background_noise: folder, seen from {Path.cwd()})"
    if not folder.is_dir():
        raise ConfigError(f"{where}: no such folder; give one that holds audio files")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not files:
        raise ConfigError(f"{where}: holds no audio file; expected one or more of {', '.join(SUFFIXES)}")
    return [_read_noise(path, sample_rate_hz) for path in files]


def _read_noise(path: Path, sample_rate_hz: int) -> NDArray[np.float32]:
    try:
        facts = probe(path)
    except DataError as error:
        raise DataError(f"{path}: {error}; mend the file or take it out of the folder of background_noise") from error
    blocks = decode(path, "mean", sample_rate_hz=facts.sample_rate_hz, n_samples=facts.n_samples)
    noise = resample(blocks, facts.sample_rate_hz, sample_rate_hz)
    if not noise.any():
        raise DataError(f"{path}: is silent from end to end; take it out of the folder of background_noise")
    return np.ascontiguousarray(noise, np.float32)
