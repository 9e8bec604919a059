"""What lies between the store and the backbone in training: augmentation, and spectrograms where none are stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from auscult.augment import Augmenter, BatchRows, EpochItems, ItemMaker
from auscult.config.experiment import JobSettings
from auscult.models import Normalisation
from auscult.models.frontends import log_mel


class TrainingAugmentation:
    """Turns what was read for a batch into logits.

    Args:
        maker: Says what an epoch visits.
        augmenter: Changes batches.
        to_spectrograms: From waveforms to normalised spectrograms; None where spectrograms are read, or the model has a
            front end.
    """

    def __init__(
        self, maker: ItemMaker, augmenter: Augmenter, to_spectrograms: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        self._maker = maker
        self._augmenter = augmenter
        self._to_spectrograms = to_spectrograms
        self._epoch = 0
        self._items: EpochItems | None = None

    @property
    def n_added(self) -> int:
        """Items of an epoch beside the training clips."""
        return self._maker.n_added

    def items(self, epoch: int) -> EpochItems:
        """Return what an epoch visits; a function of it alone."""
        if self._items is None or epoch != self._epoch:
            self._epoch, self._items = epoch, self._maker.epoch(epoch)
        return self._items

    def logits(self, model: Any, batch: Tensor, rows: BatchRows, epoch: int) -> Tensor:
        """Augment a batch and let the model answer.

        Args:
            model: In training mode, as the fabric set it up.
            batch: Of the clips of `rows`: prepared spectrograms [row, mel, frame] or waveforms [row, sample].
            rows: What was read.
            epoch: From 1.

        Returns:
            Shape [item, target].
        """
        if not self._augmenter.settings.steps and self._to_spectrograms is None:
            return model(batch)
        batch_of = self._augmenter.batch(self.items(epoch), rows, epoch)
        if batch.ndim == 2:
            batch = batch_of.waveforms(batch)
            if self._to_spectrograms is None:
                return model(batch, batch_of.spectrograms)
            batch = self._to_spectrograms(batch)
        return model(batch_of.spectrograms(batch))


def online_spectrograms(
    job: JobSettings, normalisation: Normalisation, device: torch.device
) -> Callable[[Tensor], Tensor]:
    """Return what computes the job's normalised spectrograms [clip, mel, frame] of waveforms [clip, sample]."""
    spectrogram = log_mel(job.spectrogram, job.clips).to(device)
    normalised = normalisation.to(device)
    return lambda waveforms: normalised.apply(spectrogram(waveforms))
