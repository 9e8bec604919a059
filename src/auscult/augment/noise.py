"""Noise added to waveforms at a given signal-to-noise ratio: white, coloured, and from a folder of recordings.

Long stretches of noise are made or read once, and every clip gets other windows of them: noise at the price of a copy.
"""

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
from auscult.augment.random import ClipRandom
from auscult.augment.waveform import Drawn, Sounds, WaveformStep, between
from auscult.config.waveform_augment import BackgroundNoise, ColouredNoise, GaussianNoiseWaveform
from auscult.errors import ConfigError, DataError

MADE_SAMPLES = 1 << 21
"""Of noise that is made: over four minutes at 8 kHz."""
EXPONENTS = {"white": 0.0, "pink": 1.0, "brown": 2.0, "blue": -1.0, "violet": -2.0}
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
_LEVEL_BELOW_HZ = 20.0
_SEED = 20_200_414


class Pools:
    """Stretches of sound, of which windows are read.

    Each is a circle: its beginning stands behind its end once more, as far as a window may reach.

    Args:
        sounds: Float32 [sample] each.
        device: On which they are kept.
    """

    def __init__(self, sounds: Sequence[NDArray[np.float32]], device: torch.device) -> None:
        self._sounds = sounds
        self._lengths = torch.tensor([len(sound) for sound in sounds], device=device)
        self._starts = self._lengths.cumsum(0) - self._lengths
        self._samples = torch.zeros(0, device=device)
        self._n_samples = 0

    def draw(self, rng: ClipRandom, n_windows: int) -> Tensor:
        """Draw a sound for each clip, and windows of it; what `windows` takes, int64 [clip, 1 + n_windows]."""
        number = torch.floor(rng.uniform(1).double() * len(self._sounds)).long()
        places = torch.floor(rng.uniform(n_windows).double() * self._lengths[number]).long()
        return torch.cat([number, self._starts[number] + places], dim=1)

    def windows(self, drawn: Tensor, which: int, n_samples: int) -> Tensor:
        """Return windows, shape [clip, n_samples]; they may be views of the stretches: leave them unchanged.

        Args:
            drawn: By `draw`.
            which: Of the windows of each clip.
            n_samples: Of each.
        """
        if self._n_samples != n_samples:
            circles = [np.resize(sound, len(sound) + n_samples) for sound in self._sounds]
            self._samples = torch.from_numpy(np.concatenate(circles)).to(self._samples.device)
            self._n_samples = n_samples
        # Before each stretch, those before it are longer by a window each.
        starts = drawn[:, 0] * n_samples + drawn[:, 1 + which]
        if len(starts) == 1:
            start = int(starts)
            return self._samples[None, start : start + n_samples]
        # One row for each place: what is selected is copied row by row, without an index of every sample.
        rows = self._samples.as_strided((len(self._samples) - n_samples + 1, n_samples), (1, 1))
        return rows.index_select(0, starts)


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
    # The cache hands out the same array again.
    noise.setflags(write=False)
    return noise


@lru_cache(maxsize=2)
def white_noise(device: torch.device) -> Pools:
    """Return the stretch of white Gaussian noise of unit deviation."""
    return Pools([coloured_noise(MADE_SAMPLES, 0.0, 1)], device)


class _NoiseAdder(WaveformStep):
    """Adds noise so that the sound's power over the noise's, both over the true sound, is what was drawn."""

    N_DRAWN = 2

    def __init__(self, snr_db: tuple[float, float], pools: Pools, n_windows: int) -> None:
        self._snr_db = snr_db
        self._pools = pools
        self._n_windows = n_windows

    def draw(self, rng: ClipRandom) -> Drawn:
        """Draw the ratio of the noise's amplitude to the sound's, float64, and the windows of noise."""
        snr_db = between(rng, self._snr_db)
        return torch.pow(10.0, -snr_db / 20), self._pools.draw(rng, self._n_windows)

    def apply(self, sounds: Sounds, drawn: Drawn) -> Tensor:
        """Add the noise; a clip or a noise of nothing but zeros leaves the clip as it is."""
        ratio, windows = drawn
        noise = self._pools.windows(windows, 0, sounds.n_samples)
        for other in range(1, self._n_windows):
            noise = noise + self._pools.windows(windows, other, sounds.n_samples)
        if sounds.has_padding:
            noise = sounds.silence_padding(noise.clone())
        # In float64 and at least 1e-30: the norm of silence divides nothing by zero.
        noise_norm = torch.linalg.vector_norm(noise, dim=1).double().clamp_min_(1e-30)
        scale = torch.linalg.vector_norm(sounds.waveforms, dim=1).double().div_(noise_norm).mul_(ratio)
        return torch.addcmul(sounds.waveforms, noise, scale.float()[:, None])


class ColouredNoiseAdder(_NoiseAdder):
    """Adds Gaussian noise of one of several colours.

    Each clip's noise is the sum of two windows at random places of minutes of noise that is made once: of 10^12 such
    sums none comes twice in a training, and none costs a random number for each sample. A sum of Gaussian noise is
    Gaussian noise.
    """

    def __init__(
        self, settings: ColouredNoise | GaussianNoiseWaveform, sample_rate_hz: int, device: torch.device
    ) -> None:
        colours = settings.colours if isinstance(settings, ColouredNoise) else ("white",)
        exponents = [EXPONENTS[colour] if isinstance(colour, str) else colour for colour in colours]
        sounds = [coloured_noise(MADE_SAMPLES, exponent, sample_rate_hz) for exponent in exponents]
        super().__init__(settings.snr_db, Pools(sounds, device), 2)


class BackgroundNoiseAdder(_NoiseAdder):
    """Adds a random stretch of a random file; a file shorter than a clip is repeated."""

    def __init__(self, settings: BackgroundNoise, sample_rate_hz: int, device: torch.device) -> None:
        noises = read_noises(Path(settings.folder), sample_rate_hz)
        super().__init__(settings.snr_db, Pools(noises, device), 1)


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
        raise DataError(f"{path}: {error}; fix the file or take it out of the folder of background_noise") from error
    blocks = decode(path, "mean", sample_rate_hz=facts.sample_rate_hz, n_samples=facts.n_samples)
    noise = resample(blocks, facts.sample_rate_hz, sample_rate_hz)
    if not noise.any():
        raise DataError(f"{path}: is silent from end to end; take it out of the folder of background_noise")
    return np.ascontiguousarray(noise, np.float32)
