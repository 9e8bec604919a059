"""The maps of a few validation clips, drawn epoch by epoch into `live_maps/` of the run folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from auscult.config.experiment import JobSettings
from auscult.config.task import TaskSettings
from auscult.formatting.numbers import metric_text
from auscult.spectrograms.frames import BandGrid
from auscult.training.batches import Subset
from auscult.training.history import EpochRow, followed_numbers, maps_file

if TYPE_CHECKING:
    from auscult.plots.map_sheet import MapSheet

MAX_PICTURES = 40
"""Of a training: of longer ones not every epoch is drawn."""
MAX_CLIPS = 3


class FollowedMaps:
    """Draws what a model sees of the events in some of the followed clips (`train.live_examples`).

    Of these up to three are drawn, those with the most kinds of events and the longest ones first: the same throughout,
    and in every session of a training.

    Args:
        val: The validation subset, with events.
        task: Names the kinds.
        job: Says how many clips are followed, and how long is trained.
    """

    def __init__(self, val: Subset, task: TaskSettings, job: JobSettings) -> None:
        if val.events is None or val.maps is None:
            raise ValueError("only maps of events are followed")
        self._val = val
        self._kinds = task.targets
        self._grid = val.events.grid
        self._job = job
        self._clips = _chosen(val.maps, followed_numbers(len(val), job.train.live_examples))
        self._folder = Path()
        self._sheet: MapSheet | None = None

    def open(self, folder: Path, spectrograms: Callable[[Tensor], Tensor]) -> None:
        """Draw what is the same in all epochs.

        Args:
            folder: The run folder.
            spectrograms: What the model makes of a batch before its backbone, shape [clip, band, frame].
        """
        from auscult.plots.map_sheet import FollowedClip, MapSheet  # noqa: PLC0415 (matplotlib: half a second)

        self._folder = folder
        assert self._val.maps is not None
        with torch.no_grad():
            levels = spectrograms(next(iter(self._val.batches([self._clips])))).float().cpu().numpy()
        clips = [
            FollowedClip(int(number), of_clip, self._val.maps[number])
            for number, of_clip in zip(self._clips, levels, strict=True)
        ]
        frontend, settings = self._job.model.frontend, self._job.spectrogram
        has_mel_bands = frontend is None or frontend.name in {"mel", "learnable_mel"}
        centres_hz = np.array(BandGrid.of(settings, self._job.clips.sample_rate_hz).centres_hz)
        self._sheet = MapSheet(clips, self._kinds, self._grid, centres_hz if has_mel_bands else None)

    def draw(self, epoch: int, metrics: EpochRow, maps: NDArray[np.float32]) -> None:
        """Draw an epoch, where one is due.

        Args:
            epoch: From 1.
            metrics: Of its validation.
            maps: Probabilities of all validation clips, shape [clip, channel, ...].
        """
        settings = self._job.train
        each = -(-settings.epochs // MAX_PICTURES)
        if self._sheet is None or (epoch % each and epoch not in {1, settings.epochs}):
            return
        value = metrics[settings.monitor]
        shown = "undefined" if value is None else metric_text(value)
        title = f"epoch {epoch} of {settings.epochs}   {settings.monitor} {shown}"
        self._sheet.write(maps_file(self._folder, epoch), title, maps[self._clips])


def _chosen(maps: NDArray[np.int8], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the clips to draw, in their order: those with the most kinds of events, then with the most of them."""
    objects = (maps[numbers, : maps.shape[1] // 2] == 1).reshape(len(numbers), maps.shape[1] // 2, -1)
    order = np.lexsort((numbers, -objects.sum(axis=(1, 2)), -objects.any(axis=2).sum(axis=1)))
    return np.sort(numbers[order[:MAX_CLIPS]])
