"""Noise added to waveforms at a given signal-to-noise ratio: white, coloured, and from a folder of recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from auscult.audio.decode import decode
from auscult.audio.probe import probe
from auscult.audio.resample import resample
from auscult.augment.draws import Draws
from auscult.augment.pools import MADE_SAMPLES, Pools, coloured_noise
from auscult.augment.step import Drawn, Sounds, WaveformStep, between
from auscult.config.waveform_augment import BackgroundNoise, ColouredNoise, GaussianNoiseWaveform
from auscult.errors import ConfigError, DataError

EXPONENTS = {"white": 0.0, "pink": 1.0, "brown": 2.0, "blue": -1.0, "violet": -2.0}
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")


class _NoiseAdder(WaveformStep):
    """Adds noise so that the sound's power over the noise's, both over the true sound, is what was drawn."""

    N_DRAWN = 2

    def __init__(self, snr_db: tuple[float, float], pools: Pools, n_windows: int) -> None:
        self._snr_db = snr_db
        self._pools = pools
        self._n_windows = n_windows

    def draw(self, draws: Draws) -> Drawn:
        """Draw the ratio of the noise's amplitude to the sound's, float64, and the windows of noise."""
        snr_db = between(draws, self._snr_db)
        return torch.pow(10.0, -snr_db / 20), self._pools.draw(draws, self._n_windows)

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
        raise DataError(f"{path}: {error}; mend the file or take it out of the folder of background_noise") from error
    blocks = decode(path, "mean", sample_rate_hz=facts.sample_rate_hz, n_samples=facts.n_samples)
    noise = resample(blocks, facts.sample_rate_hz, sample_rate_hz)
    if not noise.any():
        raise DataError(f"{path}: is silent from end to end; take it out of the folder of background_noise")
    return np.ascontiguousarray(noise, np.float32)
