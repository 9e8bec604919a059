"""Maps of events that follow the sound of their clips: int8 [clip, channel, frame]; 1, 0 or -1 for unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from auscult.augment.waveform import Drawn, WaveformStep
    from auscult.spectrograms.frames import FrameGrid

_MOST_SKIPPED = 3
"""Frames between two that follow each other at the highest rate of a stretch, 4."""


def laid_over(first: Tensor, second: Tensor) -> Tensor:
    """Return what is known where two maps sound at once: 1 wins, then unknown.

    >>> laid_over(torch.tensor([0, 0, 1, -1]), torch.tensor([0, 1, -1, 0])).tolist()
    [0, 1, 1, -1]
    """
    greater = torch.maximum(first, second)
    return torch.where((greater < 1) & (torch.minimum(first, second) < 0), -1, greater)


def gathered(maps: Tensor, places: Tensor, *, is_stretched: bool = False) -> Tensor:
    """Return maps whose frames are those that lay at other places.

    Args:
        maps: Shape [clip, channel, frame]; left unchanged.
        places: Of each frame before, float64 [clip, frame]; NaN where silence comes in, which holds no event.
        is_stretched: Frames that are passed over count with the one before them: no event is too short to stay.
    """
    silent, last = places.isnan(), maps.shape[2] - 1
    # A half goes up, whatever the number before it. Silence lies behind the end.
    read = torch.floor(places.nan_to_num(nan=last + 1) + 0.5).long()
    at = read.clamp(0, last)
    found = maps.gather(2, at[:, None].expand_as(maps))
    if is_stretched:
        # The next one may also be of the padding, far behind: between lies what was cut.
        gaps = torch.diff(read, append=read[:, -1:])
        gaps = gaps.masked_fill((gaps > _MOST_SKIPPED + 1) & ~silent.roll(-1, 1), 0)
        for skipped in range(1, _MOST_SKIPPED + 1):
            beside = maps.gather(2, (at + skipped).clamp_max(last)[:, None].expand_as(maps))
            found = torch.where((gaps > skipped)[:, None], laid_over(found, beside), found)
    return found.masked_fill(silent[:, None], 0)


class FollowingMaps:
    """The maps of a batch's rows, moved by steps on their waveforms.

    Args:
        maps: Shape [row, channel, frame].
        grid: Where their frames lie.
        sample_rate_hz: Of the waveforms.

    Attributes:
        maps: As the steps so far moved them.
    """

    def __init__(self, maps: Tensor, grid: FrameGrid, sample_rate_hz: int) -> None:
        self.maps = maps
        self._first = grid.first_s * sample_rate_hz
        self._step = grid.step_s * sample_rate_hz

    def follow(self, step: WaveformStep, n_sound: Tensor, drawn: Drawn, rows: Tensor) -> None:
        """Move the maps of the rows that a step changes.

        Args:
            step: What changes them.
            n_sound: Samples before the silent padding, of all rows.
            drawn: For all rows.
            rows: Those that are changed.
        """
        frames = torch.arange(self.maps.shape[2], device=rows.device, dtype=torch.float64)
        samples = step.sources(self._first + self._step * frames, n_sound[rows], tuple(part[rows] for part in drawn))
        if samples is None:
            return
        places = (samples - self._first) / self._step
        moved = gathered(self.maps[rows], places, is_stretched=step.CHANGES_TEMPO)
        self.maps = self.maps.index_copy(0, rows, moved)
