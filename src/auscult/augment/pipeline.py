"""From settings to augmented batches: what an epoch visits, who is mixed with whom, and the steps on each batch.

All is a function of (seed, epoch, clip). What is visited and mixed is drawn before the epoch begins: so the targets of
every clip are known in advance, and a mixed clip may take its partner from the whole training part, not from its batch
alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special
from torch import Tensor

from auscult.augment.maps import FollowingMaps, gathered, laid_over
from auscult.augment.mixing import Taken, mixed_targets, mixer_of
from auscult.augment.pictures import Standard, augment_pictures
from auscult.augment.random import ClipRandom
from auscult.augment.spectrogram import augment_spectrograms, cropped_places
from auscult.augment.waveform import WaveformAugmenter
from auscult.config.augment import NONE, Augmentation, AugmentSettings, ClassName, Mixing, ResizeCrop
from auscult.config.task import TaskSettings
from auscult.errors import InfeasibleError
from auscult.spectrograms.frames import FrameGrid

_ABSENT = -1
_ID_BITS = 40
"""Ids of clips and of those made from them lie below 2 to this power."""


@dataclass(frozen=True)
class Mix:
    """Who is mixed with whom by one step.

    Attributes:
        number: Of the step (`AugmentSettings.steps`).
        partners: The training clip that an item is mixed with, int64 [item]; -1 where it is not.
        sizes: As `mixing.Mixer.portions` gives them, int64 [item, 2].
        shares: Of the partner, float32 [item].
    """

    number: int
    partners: NDArray[np.int64]
    sizes: NDArray[np.int64]
    shares: NDArray[np.float32]


@dataclass(frozen=True)
class BatchRows:
    """What is read for one batch: its items, and behind them the partners that they are mixed with.

    The partners of the last step come first: as each step takes its own, they are always at the end.

    Attributes:
        clips: The training clip of each row, int64 [row].
        ids: What the random numbers of a row are a function of, int64 [row].
        items: The batch's items; their rows come first.
        mixed: For each mixing step in turn, the places among the items that have a partner.
    """

    clips: NDArray[np.int64]
    ids: NDArray[np.int64]
    items: NDArray[np.int64]
    mixed: tuple[NDArray[np.int64], ...] = ()


@dataclass(frozen=True)
class EpochItems:
    """All items of an epoch: the training clips in their order, as often as each is visited, then those that are added.

    Attributes:
        clips: The training clip that an item is made of, int64 [item].
        made_by: Number of the step whose `quantity` adds it, int64 [item]; -1 for a training clip itself.
        targets: With what is mixed into them, float32 [item, target].
        mixes: In the order of the steps.
    """

    clips: NDArray[np.int64]
    made_by: NDArray[np.int64]
    targets: NDArray[np.float32]
    mixes: tuple[Mix, ...] = ()

    def rows(self, items: NDArray[np.int64]) -> BatchRows:
        """Return what is to be read for a batch of these items."""
        clips, ids = [self.clips[items]], [items]
        mixed = tuple(np.flatnonzero(mix.partners[items] != _ABSENT) for mix in self.mixes)
        for order, (mix, places) in reversed(list(enumerate(zip(self.mixes, mixed, strict=True), start=1))):
            clips.append(mix.partners[items[places]])
            ids.append(items[places] + (order << _ID_BITS))
        return BatchRows(np.concatenate(clips), np.concatenate(ids), items, mixed)


class ItemMaker:
    """Makes the items of each epoch.

    Args:
        augment: The steps.
        targets: Of the training clips, float32 [clip, target]: 1, 0 or NaN.
        task: Gives the targets' names.
        is_unpadded: Whether a clip holds sound from end to end, bool [clip].
        shape: Mel bands and frames of a spectrogram.
        seed: Of the training.

    Raises:
        InfeasibleError: No clip is of a class that a step asks for, or none is unpadded.
    """

    def __init__(
        self,
        augment: AugmentSettings,
        targets: NDArray[np.float32],
        *,
        task: TaskSettings,
        is_unpadded: NDArray[np.bool_],
        shape: tuple[int, ...],
        seed: int,
    ) -> None:
        self._targets = targets
        self._shape = shape
        self._seed = seed
        self._n_copies = augment.augments
        self._steps = augment.steps
        self._mixings = augment.mixings
        self._adding = [(number, step) for number, step in enumerate(self._steps) if step.quantity is not None]
        self._sources: dict[int, NDArray[np.int64]] = {}
        self._partners: dict[int, NDArray[np.int64]] = {}
        for number, step in enumerate(self._steps):
            allowed = is_unpadded if step.unpadded_only else np.ones(len(targets), dtype=np.bool_)
            first, second = (step.classes if isinstance(step, Mixing) else None) or (None, None)
            self._sources[number] = _chosen(step, allowed, first, targets, task)
            self._partners[number] = _chosen(step, allowed, second, targets, task)

    @property
    def n_added(self) -> int:
        """Items of an epoch that steps with a `quantity` add, beside the training clips and their copies."""
        return sum(self._n_of(step) for _, step in self._adding)

    def epoch(self, epoch: int) -> EpochItems:
        """Return the items of an epoch, from 1."""
        visited = np.tile(np.arange(len(self._targets)), self._n_copies)
        clips, made_by = [visited], [np.full(len(visited), _ABSENT)]
        for number, step in self._adding:
            n_wanted = self._n_of(step)
            clips.append(self._drawn_sources(number, n_wanted, epoch))
            made_by.append(np.full(n_wanted, number))
        items_clips, items_made_by = np.concatenate(clips), np.concatenate(made_by)
        targets, mixes = self._targets[items_clips], []
        for number, step in self._mixings:
            mix = self._mix(number, step, items_clips, items_made_by, epoch)
            places = np.flatnonzero(mix.partners != _ABSENT)
            second = self._targets[mix.partners[places]]
            targets[places] = mixed_targets(step, targets[places], second, mix.shares[places].astype(np.float64))
            mixes.append(mix)
        return EpochItems(items_clips, items_made_by, targets, tuple(mixes))

    def _n_of(self, step: Augmentation) -> int:
        return max(1, round((step.quantity or 0) * len(self._targets)))

    def _drawn_sources(self, number: int, n_wanted: int, epoch: int) -> NDArray[np.int64]:
        """Return the clips that a step makes new ones of: none comes again before all came once."""
        sources = self._sources[number]
        n_rounds = -(-n_wanted // len(sources))
        drawn = self._rng(2 * number, n_rounds * len(sources), epoch).uniform().numpy().reshape(n_rounds, -1)
        return sources[np.argsort(drawn, axis=1, kind="stable")].reshape(-1)[:n_wanted]

    def _mix(self, number: int, step: Mixing, clips: NDArray[np.int64], made_by: NDArray[np.int64], epoch: int) -> Mix:
        drawn = self._rng(2 * number + 1, len(clips), epoch).uniform(3).numpy().astype(np.float64)
        if step.quantity is None:
            is_mixed = (drawn[:, 0] < step.probability) & np.isin(clips, self._sources[number])
        else:
            is_mixed = made_by == number
        candidates = self._partners[number]
        places = (drawn[:, 1] * len(candidates)).astype(np.int64)
        # No clip is mixed with itself, unless there is no other.
        places = np.where(candidates[places] == clips, (places + 1) % len(candidates), places)
        if step.weight is not None:
            weights = step.weight[0] + drawn[:, 2] * (step.weight[1] - step.weight[0])
        else:
            weights = special.betaincinv(step.alpha, step.alpha, drawn[:, 2])
        sizes, shares = mixer_of(step).portions(weights, self._shape)
        return Mix(number, np.where(is_mixed, candidates[places], _ABSENT), sizes, shares.astype(np.float32))

    def _rng(self, stream: int, n: int, epoch: int) -> ClipRandom:
        """Return random numbers that no clip of a batch shares: theirs have ids from 0 up."""
        return ClipRandom(self._seed, epoch, -1 - (torch.arange(n) + (stream << _ID_BITS)))


def _chosen(
    step: Augmentation,
    allowed: NDArray[np.bool_],
    name: ClassName | None,
    targets: NDArray[np.float32],
    task: TaskSettings,
) -> NDArray[np.int64]:
    is_member = np.ones(len(targets), dtype=np.bool_)
    if name == NONE:
        is_member = (targets == 0).all(axis=1)
    elif isinstance(name, str):
        is_member = targets[:, task.targets.index(name)] == 1
    elif name is not None:
        is_member = targets[:, 0] == name
    found = np.flatnonzero(allowed & is_member)
    if not len(found):
        what = [*([f"of class {name!r}"] if name is not None else []), *(["unpadded"] if step.unpadded_only else [])]
        raise InfeasibleError(
            f"augment: {step.name}: no clip of the training part is {' and '.join(what)}; take the step out, or "
            "change its classes or unpadded_only"
        )
    return found.astype(np.int64)


class Augmenter:
    """Augments the batches of a training.

    Args:
        settings: The steps.
        n_valid: Samples of true sound of each training clip, int64 [clip].
        n_samples: Of a clip.
        sample_rate_hz: Of the clips.
        seed: Of the training.
        device: Of the batches.
        grid: Where the frames of a clip lie; needed where waveform steps move maps of events.
        standard: What pictures were standardised by, on the device of the batches; needed by steps on colours.

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
        grid: FrameGrid | None = None,
        standard: Standard | None = None,
    ) -> None:
        self.settings = settings
        self.standard = standard
        self.grid = grid
        self.sample_rate_hz = sample_rate_hz
        self.seed = seed
        self.device = device
        self.n_valid = torch.from_numpy(np.ascontiguousarray(n_valid)).to(device)
        self.is_unpadded = self.n_valid >= n_samples
        self.change_waveforms = WaveformAugmenter(settings.waveform, sample_rate_hz, device)

    def batch(self, items: EpochItems, rows: BatchRows, epoch: int, maps: Tensor | None = None) -> AugmentedBatch:
        """Return what augments one batch, and the maps of its rows with it."""
        return AugmentedBatch(self, items, rows, epoch, maps)


class AugmentedBatch:
    """Augments one batch; its steps take the rows of `BatchRows` and give one for each item.

    A row's random numbers are a function of seed, epoch and clip alone: not of its batch.

    Attributes:
        maps: Of the rows' events, shape [row, channel, frame], as the steps so far moved them; of the items alone once
            all partners are mixed in; None without events.
    """

    def __init__(
        self, augmenter: Augmenter, items: EpochItems, rows: BatchRows, epoch: int, maps: Tensor | None = None
    ) -> None:
        self.maps = maps
        self._augmenter = augmenter
        self._items = items
        self._rows = rows
        self._clips = torch.from_numpy(rows.clips).to(augmenter.device)
        self._rng = ClipRandom(augmenter.seed, epoch, torch.from_numpy(rows.ids).to(augmenter.device))
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
        following = None
        if self.maps is not None and any(step.moves_events for step in steps):
            if self._augmenter.grid is None:
                raise ValueError("maps follow waveforms only where the grid of their frames is given")
            following = FollowingMaps(self.maps, self._augmenter.grid, self._augmenter.sample_rate_hz)
        changed = self._augmenter.change_waveforms(
            waveforms, self._rng, n_valid=n_valid, eligible=eligible, maps=following
        )
        self.maps = self.maps if following is None else following.maps
        return changed

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
                eligible = [self._eligible(number, step, len(spectrograms))]
                if self.maps is not None and step.moves_events:
                    self.maps = self._moved(self.maps, step, eligible[0])
                spectrograms = augment_spectrograms(spectrograms, [step], self._rng, eligible)
                continue
            spectrograms = self._mix(step, n_mixed, spectrograms)
            n_mixed += 1
        return spectrograms

    def pictures(self, pictures: Tensor) -> Tensor:
        """Apply the steps on pictures in their order, to `maps` as well.

        Args:
            pictures: Standardised, shape [item, channel, height, width]; left unchanged.

        Returns:
            The same shape.
        """
        settings = self._augmenter.settings
        for number, step in enumerate(settings.picture, start=len(settings.waveform) + len(settings.spectrogram)):
            eligible = self._eligible(number, step, len(pictures))
            pictures, self.maps = augment_pictures(
                pictures, self.maps, step, self._rng, eligible, standard=self._augmenter.standard
            )
        return pictures

    def _moved(self, maps: Tensor, step: Augmentation, eligible: Tensor) -> Tensor:
        """Move maps as a step is about to move their spectrograms: by the same numbers."""
        rng = self._rng.first(len(maps))
        if not isinstance(step, ResizeCrop):
            return augment_spectrograms(maps, [step], rng, [eligible])
        picked = rng.chance(1.0 if step.quantity is not None else step.probability) & eligible
        return gathered(maps, cropped_places(maps.shape[2], step, rng, picked))

    def _mix(self, step: Mixing, place: int, spectrograms: Tensor) -> Tensor:
        """Mix the rows at the end into their items; they are then gone."""
        places = self._rows.mixed[place]
        n_left = len(spectrograms) - len(places)
        first, second = spectrograms[:n_left], spectrograms[n_left:]
        on_device = torch.from_numpy(places).to(self._augmenter.device)
        rng, self._rng = self._rng.apart(on_device), self._rng.first(n_left)
        if self.maps is not None:
            self.maps = self._mixed_maps(self.maps, place, on_device)
        if not len(places):
            return first
        plan, items = self._items.mixes[place], self._rows.items[places]
        taken = Taken(*(torch.from_numpy(part[items]).to(on_device.device) for part in (plan.shares, plan.sizes)))
        mixed = mixer_of(step).mix(first.index_select(0, on_device), second, taken, rng)
        return first.index_copy(0, on_device, mixed)

    def _mixed_maps(self, maps: Tensor, place: int, on_device: Tensor) -> Tensor:
        """Lay the maps at the end over those of their items; of a part that was not taken nothing is laid."""
        first, second = maps[: len(maps) - len(on_device)], maps[len(maps) - len(on_device) :]
        items = self._rows.items[self._rows.mixed[place]]
        shares = torch.from_numpy(self._items.mixes[place].shares[items]).to(maps.device)[:, None, None]
        own = first.index_select(0, on_device)
        both = torch.where(shares == 0, own, torch.where(shares == 1, second, laid_over(own, second)))
        return first.index_copy(0, on_device, both)

    def _eligible(self, number: int, step: Augmentation, n_rows: int) -> Tensor:
        """Return which rows a step may change, bool [row]."""
        if step.quantity is not None and self._made_by is not None:
            # Which clips new ones are made of was settled with them.
            return self._made_by[:n_rows] == number
        if step.unpadded_only:
            return self._augmenter.is_unpadded[self._clips[:n_rows]]
        return torch.ones(n_rows, dtype=torch.bool, device=self._augmenter.device)
