"""The augmentation of one batch after the other: which row is changed by which step, and the mixing at its place."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from auscult.augment.draws import Draws
from auscult.augment.items import BatchRows, EpochItems
from auscult.augment.mixing import Taken, mix
from auscult.augment.registry import augment_spectrograms
from auscult.augment.waveform_registry import WaveformAugmenter
from auscult.config.augment import AugmentSettings
from auscult.config.augmentation import Augmentation
from auscult.config.mixing import Mixing


class Augmenter:
    """Augments the batches of a training.

    Args:
        settings: The steps.
        n_valid: Samples of true sound of each training clip, int64 [clip].
        n_samples: Of a clip.
        sample_rate_hz: Of the clips.
        seed: Of the training.
        device: Of the batches.

    Raises:
        ConfigError: A step does not fit the sample rate, or its folder of noise is missing or empty.
        DataError: A file of noise cannot be decoded.
    """

    def __init__(
        self,
        settings: AugmentSettings,
        *,
        n_valid: NDArray[np.int64],
        n_samples: int,
        sample_rate_hz: int,
        seed: int,
        device: torch.device,
    ) -> None:
        self.settings = settings
        self.seed = seed
        self.device = device
        self.n_valid = torch.from_numpy(np.ascontiguousarray(n_valid)).to(device)
        self.is_unpadded = self.n_valid >= n_samples
        self.change_waveforms = WaveformAugmenter(settings.waveform, sample_rate_hz, device)

    def batch(self, items: EpochItems, rows: BatchRows, epoch: int) -> AugmentedBatch:
        """Return what augments one batch."""
        return AugmentedBatch(self, items, rows, epoch)


class AugmentedBatch:
    """Augments one batch; its steps take the rows of `BatchRows` and give one for each item.

    A row's draws are a function of seed, epoch and clip alone: not of its batch.
    """

    def __init__(self, augmenter: Augmenter, items: EpochItems, rows: BatchRows, epoch: int) -> None:
        self._augmenter = augmenter
        self._items = items
        self._rows = rows
        self._clips = torch.from_numpy(rows.clips).to(augmenter.device)
        self._draws = Draws(augmenter.seed, epoch, torch.from_numpy(rows.ids).to(augmenter.device))
        settings = augmenter.settings
        self._made_by = None
        if any(step.quantity is not None for step in settings.steps):
            made_by = np.full(len(rows.clips), -1)
            made_by[: len(rows.items)] = items.made_by[rows.items]
            self._made_by = torch.from_numpy(made_by).to(augmenter.device)

    def waveforms(self, waveforms: Tensor) -> Tensor:
        """Apply the waveform steps in their order.

        Args:
            waveforms: Of full scale 1, shape [row, sample]; left unchanged.

        Returns:
            The same shape.
        """
        steps = self._augmenter.settings.waveform
        if not steps:
            return waveforms
        eligible = [self._eligible(number, step, len(waveforms)) for number, step in enumerate(steps)]
        n_valid = self._augmenter.n_valid[self._clips]
        return self._augmenter.change_waveforms(waveforms, self._draws, n_valid=n_valid, eligible=eligible)

    def spectrograms(self, spectrograms: Tensor) -> Tensor:
        """Apply the spectrogram steps in their order.

        Args:
            spectrograms: Normalised, shape [row, mel, frame]; left unchanged.

        Returns:
            Shape [item, mel, frame].
        """
        settings = self._augmenter.settings
        n_mixed = 0
        for number, step in enumerate(settings.spectrogram, start=len(settings.waveform)):
            if not isinstance(step, Mixing):
                spectrograms = augment_spectrograms(
                    spectrograms, [step], self._draws, eligible=[self._eligible(number, step, len(spectrograms))]
                )
                continue
            spectrograms = self._mix(step, n_mixed, spectrograms)
            n_mixed += 1
        return spectrograms

    def _mix(self, step: Mixing, place: int, spectrograms: Tensor) -> Tensor:
        """Mix the rows at the end into their items; they are then gone."""
        places = self._rows.mixed[place]
        n_left = len(spectrograms) - len(places)
        first, second = spectrograms[:n_left], spectrograms[n_left:]
        on_device = torch.from_numpy(places).to(self._augmenter.device)
        draws, self._draws = self._draws.apart(on_device), self._draws.first(n_left)
        if not len(places):
            return first
        plan, items = self._items.mixes[place], self._rows.items[places]
        taken = Taken(*(torch.from_numpy(part[items]).to(on_device.device) for part in (plan.shares, plan.sizes)))
        mixed = mix(step, first.index_select(0, on_device), second, taken, draws)
        return first.index_copy(0, on_device, mixed)

    def _eligible(self, number: int, step: Augmentation, n_rows: int) -> Tensor:
        """Return which rows a step may change, bool [row]."""
        if step.quantity is not None and self._made_by is not None:
            # Which clips new ones are made of was settled with them.
            return self._made_by[:n_rows] == number
        if step.unpadded_only:
            return self._augmenter.is_unpadded[self._clips[:n_rows]]
        return torch.ones(n_rows, dtype=torch.bool, device=self._augmenter.device)
