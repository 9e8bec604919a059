"""Long stretches of noise, made or read once, of which every clip gets other windows: noise at the price of a copy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from auscult.augment.draws import Draws

MADE_SAMPLES = 1 << 21
"""Of noise that is made: over four minutes at 8 kHz."""
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

    def draw(self, draws: Draws, n_windows: int) -> Tensor:
        """Draw a sound for each clip, and windows of it; what `windows` takes, int64 [clip, 1 + n_windows]."""
        number = torch.floor(draws.uniform(1).double() * len(self._sounds)).long()
        places = torch.floor(draws.uniform(n_windows).double() * self._lengths[number]).long()
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
    # Whoever asks again gets the same array.
    noise.setflags(write=False)
    return noise


@lru_cache(maxsize=2)
def white_noise(device: torch.device) -> Pools:
    """Return the stretch of white Gaussian noise of unit deviation."""
    return Pools([coloured_noise(MADE_SAMPLES, 0.0, 1)], device)
