"""What an epoch visits: the training clips, those that augmentation adds to them, and who is mixed with whom.

All is a function of (seed, epoch, clip), drawn before the epoch begins: so the targets of every clip are known in
advance, and a mixed clip may take its partner from the whole training part, not from its batch alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special

from auscult.augment.draws import Draws
from auscult.augment.mixing import mixed_targets, portions
from auscult.config.augment import AnyStep, AugmentSettings
from auscult.config.mixing import NONE, ClassName, Mixing
from auscult.config.task import TaskSettings
from auscult.errors import InfeasibleError

_NOBODY = -1
_ID_BITS = 40
"""Ids of clips and of those made from them lie below 2 to this power."""


@dataclass(frozen=True)
class Mix:
    """Who is mixed with whom by one step.

    Attributes:
        number: Of the step (`AugmentSettings.steps`).
        partners: The training clip that an item is mixed with, int64 [item]; -1 where it is not.
        sizes: As `mixing.portions` gives them, int64 [item, 2].
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
        ids: What the draws of a row are a function of, int64 [row].
        items: The batch's items; their rows come first.
        mixed: For each mixing step in turn, the places among the items that have a partner.
    """

    clips: NDArray[np.int64]
    ids: NDArray[np.int64]
    items: NDArray[np.int64]
    mixed: tuple[NDArray[np.int64], ...] = ()


@dataclass(frozen=True)
class EpochItems:
    """All items of an epoch: first the training clips in their order, then those that steps with a `quantity` add.

    Attributes:
        clips: The training clip that an item is made of, int64 [item].
        made_by: Number of the step that adds it, int64 [item]; -1 for a training clip itself.
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
        mixed = tuple(np.flatnonzero(mix.partners[items] != _NOBODY) for mix in self.mixes)
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
        shape: tuple[int, int],
        seed: int,
    ) -> None:
        self._targets = targets
        self._shape = shape
        self._seed = seed
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
        """Items of an epoch beside the training clips."""
        return sum(self._n_of(step) for _, step in self._adding)

    def epoch(self, epoch: int) -> EpochItems:
        """Return the items of an epoch, from 1."""
        clips, made_by = [np.arange(len(self._targets))], [np.full(len(self._targets), _NOBODY)]
        for number, step in self._adding:
            n_wanted = self._n_of(step)
            clips.append(self._drawn_sources(number, n_wanted, epoch))
            made_by.append(np.full(n_wanted, number))
        items_clips, items_made_by = np.concatenate(clips), np.concatenate(made_by)
        targets, mixes = self._targets[items_clips], []
        for number, step in self._mixings:
            mix = self._mix(number, step, items_clips, items_made_by, epoch)
            places = np.flatnonzero(mix.partners != _NOBODY)
            second = self._targets[mix.partners[places]]
            targets[places] = mixed_targets(step, targets[places], second, mix.shares[places].astype(np.float64))
            mixes.append(mix)
        return EpochItems(items_clips, items_made_by, targets, tuple(mixes))

    def _n_of(self, step: AnyStep) -> int:
        return max(1, round((step.quantity or 0) * len(self._targets)))

    def _drawn_sources(self, number: int, n_wanted: int, epoch: int) -> NDArray[np.int64]:
        """Return the clips that a step makes new ones of: none comes again before all came once."""
        sources = self._sources[number]
        n_rounds = -(-n_wanted // len(sources))
        drawn = self._draws(2 * number, n_rounds * len(sources), epoch).uniform().numpy().reshape(n_rounds, -1)
        return sources[np.argsort(drawn, axis=1, kind="stable")].reshape(-1)[:n_wanted]

    def _mix(self, number: int, step: Mixing, clips: NDArray[np.int64], made_by: NDArray[np.int64], epoch: int) -> Mix:
        drawn = self._draws(2 * number + 1, len(clips), epoch).uniform(3).numpy().astype(np.float64)
        if step.quantity is None:
            is_mixed = (drawn[:, 0] < step.probability) & np.isin(clips, self._sources[number])
        else:
            is_mixed = made_by == number
        candidates = self._partners[number]
        places = (drawn[:, 1] * len(candidates)).astype(np.int64)
        # Nobody is mixed with itself, unless there is no other.
        places = np.where(candidates[places] == clips, (places + 1) % len(candidates), places)
        if step.weight is not None:
            weights = step.weight[0] + drawn[:, 2] * (step.weight[1] - step.weight[0])
        else:
            weights = special.betaincinv(step.alpha, step.alpha, drawn[:, 2])
        sizes, shares = portions(step, weights, self._shape)
        return Mix(number, np.where(is_mixed, candidates[places], _NOBODY), sizes, shares.astype(np.float32))

    def _draws(self, stream: int, n: int, epoch: int) -> Draws:
        """Return draws that no clip of a batch shares: theirs have ids from 0 up."""
        return Draws(self._seed, epoch, -1 - (torch.arange(n) + (stream << _ID_BITS)))


def _chosen(
    step: AnyStep,
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
