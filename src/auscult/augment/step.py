"""What a waveform augmentation is: it draws for a whole batch at once, then changes the clips that are picked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from auscult.augment.draws import Draws

Drawn = tuple[Tensor, ...]
"""What was drawn for each clip, each of shape [clip, ...]."""


class Sounds(NamedTuple):
    """Clips that a step changes.

    Attributes:
        waveforms: Full scale 1, float32 [clip, sample].
        n_sound: Samples before the silent padding, int64 [clip]; all of them where there is none.
        has_padding: Whether one of these clips, or of those beside which they stand, has silent padding.
    """

    waveforms: Tensor
    n_sound: Tensor
    has_padding: bool

    @property
    def n_samples(self) -> int:
        """Samples of a clip, padding included."""
        return self.waveforms.shape[1]

    def rows(self, rows: Tensor | slice) -> Sounds:
        """Return some of the clips."""
        return Sounds(self.waveforms[rows], self.n_sound[rows], self.has_padding)

    def with_waveforms(self, waveforms: Tensor) -> Sounds:
        """Return these clips with other samples."""
        return Sounds(waveforms, self.n_sound, self.has_padding)

    def silence_padding(self, waveforms: Tensor) -> Tensor:
        """Return `waveforms`, which are changed, with zeros in the padding."""
        if not self.has_padding:
            return waveforms
        if len(waveforms) == 1:
            waveforms[:, int(self.n_sound) :] = 0.0
            return waveforms
        places = torch.arange(self.n_samples, device=waveforms.device)
        return waveforms.masked_fill_(places >= self.n_sound[:, None], 0.0)


class WaveformStep(ABC):
    """One augmentation of waveforms.

    What a clip becomes is a function of its samples and of its draws. On a CPU the clips are taken one by one, so that
    what lies between the operations stays in the processor's cache, and so that not even the last bit depends on the
    clips beside it; on a GPU all at once.
    """

    ONE_BY_ONE: ClassVar[bool] = True
    """False for a single operation, which is faster on the whole batch and exact."""

    N_DRAWN: ClassVar[int] = 1
    """How many tensors `draw` returns."""

    @abstractmethod
    def draw(self, draws: Draws) -> Drawn:
        """Draw for every clip of a batch."""

    @abstractmethod
    def apply(self, sounds: Sounds, drawn: Drawn) -> Tensor:
        """Return new waveforms of the same shape; `sounds` are unchanged, silent padding stays silent."""


def between(draws: Draws, bounds: tuple[float, float], *shape: int) -> Tensor:
    """Draw evenly from a range, float64 [batch, *shape].

    In float64, so that functions of it, whose last bit may depend on the size of a batch, are equal in float32.
    """
    return bounds[0] + (bounds[1] - bounds[0]) * draws.uniform(*shape).double()


def between_octaves(draws: Draws, bounds: tuple[float, float], *shape: int) -> Tensor:
    """Draw evenly on a logarithmic scale, float64 [batch, *shape]."""
    low, high = bounds
    return low * torch.exp(torch.log(torch.tensor(high / low, dtype=torch.float64)) * draws.uniform(*shape).double())


def amplitude(level_db: Tensor) -> Tensor:
    """Return the factor of an amplitude, float32; `level_db` float64 [batch]."""
    return torch.pow(10.0, level_db / 20).float()
