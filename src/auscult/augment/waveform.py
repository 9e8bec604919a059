"""Waveform augmentations: what a step is, how steps are applied to batches, and `augmix`, which chains them.

A step draws for a whole batch at once, then changes the clips that are picked.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from scipy import special
from torch import Tensor

from auscult.augment.maps import FollowingMaps
from auscult.augment.random import ClipRandom
from auscult.config.waveform_augment import WAVEFORM, Augmentation, Augmix, PluginWaveformSettings
from auscult.errors import ConfigError

_OWN = 3


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

    What a clip becomes is a function of its samples and of what was drawn. On a CPU the clips are taken one by one, so
    that what lies between the operations stays in the processor's cache, and so that not even the last bit depends on
    the clips beside it; on a GPU all at once.
    """

    ONE_BY_ONE: ClassVar[bool] = True
    """False for a single operation, which is faster on the whole batch and exact."""

    N_DRAWN: ClassVar[int] = 1
    """How many tensors `draw` returns."""

    CHANGES_TEMPO: ClassVar[bool] = False
    """Whether places that follow each other lay further apart, or nearer, before."""

    def sources(self, places: Tensor, n_sound: Tensor, drawn: Drawn) -> Tensor | None:
        """Return where what lies at some places lay before; None where the sound stays in its place.

        Args:
            places: In samples, float64 [place].
            n_sound: Samples before the silent padding, int64 [clip].
            drawn: Of the clips.

        Returns:
            In samples, float64 [clip, place]; NaN where silence came in.
        """
        return None

    @abstractmethod
    def draw(self, rng: ClipRandom) -> Drawn:
        """Draw for every clip of a batch."""

    @abstractmethod
    def apply(self, sounds: Sounds, drawn: Drawn) -> Tensor:
        """Return new waveforms of the same shape; `sounds` are unchanged, silent padding stays silent."""


def between(rng: ClipRandom, bounds: tuple[float, float], *shape: int) -> Tensor:
    """Draw evenly from a range, float64 [batch, *shape].

    In float64, so that functions of it, whose last bit may depend on the size of a batch, are equal in float32.
    """
    return bounds[0] + (bounds[1] - bounds[0]) * rng.uniform(*shape).double()


def between_octaves(rng: ClipRandom, bounds: tuple[float, float], *shape: int) -> Tensor:
    """Draw evenly on a logarithmic scale, float64 [batch, *shape]."""
    low, high = bounds
    return low * torch.exp(torch.log(torch.tensor(high / low, dtype=torch.float64)) * rng.uniform(*shape).double())


def amplitude(level_db: Tensor) -> Tensor:
    """Return the factor of an amplitude, float32; `level_db` float64 [batch]."""
    return torch.pow(10.0, level_db / 20).float()


class WaveformAugmenter:
    """Applies waveform steps to whole batches.

    Samples may exceed full scale afterwards; they are not clipped.

    Args:
        steps: In their order.
        sample_rate_hz: Of the clips.
        device: Of the batches.

    Raises:
        ConfigError: If a step does not fit the sample rate, or its folder of noise is missing or empty.
        DataError: If a file of noise cannot be decoded.
    """

    def __init__(self, steps: Sequence[Augmentation], sample_rate_hz: int, device: torch.device) -> None:
        self._settings = tuple(steps)
        self._steps = [build_step(step, sample_rate_hz, device) for step in steps]

    def __call__(
        self,
        waveforms: Tensor,
        rng: ClipRandom,
        *,
        n_valid: Tensor,
        eligible: Sequence[Tensor],
        maps: FollowingMaps | None = None,
    ) -> Tensor:
        """Apply the steps in order.

        Padding of nothing but zeros stays as it is; padding that repeats the sound is changed as sound is.

        Args:
            waveforms: Full scale 1, float32 [batch, sample]; left unchanged.
            rng: The only source of randomness. What is drawn does not depend on which clips are eligible.
            n_valid: Samples of true sound of each clip, int64 [batch].
            eligible: For each step, the clips that it may change, bool [batch]: all of them where it has a `quantity`,
                else those that its probability picks.
            maps: Of the clips' events, which are moved with the sound.

        Returns:
            A tensor of the same shape.

        Raises:
            ValueError: If `eligible` is not one for each step.
        """
        if len(eligible) != len(self._steps):
            raise ValueError(f"{len(self._steps)} waveform steps, but eligible clips for {len(eligible)}")
        n_sound = _n_sound(waveforms, n_valid)
        has_padding = bool((n_sound < waveforms.shape[1]).any())
        augmented = waveforms
        for settings, step, may_change in zip(self._settings, self._steps, eligible, strict=True):
            picked = rng.chance(1.0 if settings.quantity is not None else settings.probability) & may_change
            drawn = step.draw(rng)
            places = picked.nonzero()[:, 0]
            if not len(places):
                continue
            if maps is not None:
                maps.follow(step, n_sound, drawn, places)
            sounds = Sounds(augmented, n_sound, has_padding)
            if not step.ONE_BY_ONE or waveforms.device.type != "cpu":
                augmented = _change(step, sounds, drawn, places)
            else:
                # Into a tensor of our own, which the steps that follow may overwrite.
                is_own = augmented is not waveforms
                augmented = augmented if is_own else _copy_but(waveforms, picked)
                _change_one_by_one(step, sounds, drawn, places.tolist(), augmented)
        return augmented


def build_step(settings: Augmentation, sample_rate_hz: int, device: torch.device) -> WaveformStep:
    """Build the step that `settings` name.

    Raises:
        ConfigError: It does not fit the sample rate, or its folder of noise is missing or empty.
        DataError: A file of noise cannot be decoded.
    """
    if isinstance(settings, PluginWaveformSettings):
        return PluginStep(settings, sample_rate_hz)
    step: WaveformStep = WAVEFORM.implementation(settings.name)(settings, sample_rate_hz, device)
    return step


def _n_sound(waveforms: Tensor, n_valid: Tensor) -> Tensor:
    """Return the samples before silent padding: all of a clip where its padding is not silent, int64 [batch]."""
    n_samples = waveforms.shape[1]
    padded = (n_valid < n_samples).nonzero()[:, 0]
    if not len(padded):
        return n_valid
    behind = torch.arange(n_samples, device=waveforms.device) >= n_valid[padded, None]
    has_sound = ((waveforms[padded] != 0) & behind).any(dim=1)
    return n_valid.index_copy(0, padded, torch.where(has_sound, n_samples, n_valid[padded]))


def _copy_but(waveforms: Tensor, picked: Tensor) -> Tensor:
    """Return a tensor like `waveforms`, and equal where it is not picked."""
    copied = torch.empty_like(waveforms)
    for row in (~picked).nonzero()[:, 0].tolist():
        copied[row] = waveforms[row]
    return copied


def _change(step: WaveformStep, sounds: Sounds, drawn: Drawn, places: Tensor) -> Tensor:
    if len(places) == len(sounds.waveforms):
        return step.apply(sounds, drawn)
    changed = step.apply(sounds.rows(places), tuple(part[places] for part in drawn))
    return sounds.waveforms.index_copy(0, places, changed)


def _change_one_by_one(step: WaveformStep, sounds: Sounds, drawn: Drawn, places: list[int], target: Tensor) -> None:
    for place in places:
        row = slice(place, place + 1)
        target[row] = step.apply(sounds.rows(row), tuple(part[row] for part in drawn))


def same_shape(name: str, changed: Tensor, given: Tensor) -> Tensor:
    """Return what a plugin's step made of a batch.

    Raises:
        ConfigError: It has another shape.
    """
    if changed.shape != given.shape:
        raise ConfigError(
            f"augment: {name}: its plugin returned {list(changed.shape)}, expected the shape that it was handed, "
            f"{list(given.shape)}"
        )
    return changed.to(given.dtype)


class PluginStep(WaveformStep):
    """Does what a plugin does, with random numbers that belong to each clip.

    Args:
        settings: Of the plugin.
        sample_rate_hz: Of the clips.
    """

    def __init__(self, settings: PluginWaveformSettings, sample_rate_hz: int) -> None:
        self._name = settings.name
        self._change = settings.implementation()
        self._sample_rate_hz = sample_rate_hz

    def draw(self, rng: ClipRandom) -> Drawn:
        """Draw where the random numbers of each clip begin."""
        return (rng.seeds(),)

    def apply(self, sounds: Sounds, drawn: Drawn) -> Tensor:
        """Change the clips."""
        changed = self._change(sounds.waveforms.clone(), ClipRandom.of_seeds(drawn[0]), self._sample_rate_hz)
        return sounds.silence_padding(same_shape(self._name, changed, sounds.waveforms))


class AugmixMixer(WaveformStep):
    """Mixes chains of random functions with the original (Hendrycks et al. 2020, of images; here of waveforms).

    Args:
        settings: Chains, weights and the functions that a link may be.
        sample_rate_hz: Of the clips.
        device: Of the batches.
    """

    def __init__(self, settings: Augmix, sample_rate_hz: int, device: torch.device) -> None:
        self._settings = settings
        self._functions = [build_step(function, sample_rate_hz, device) for function in settings.functions]

    def draw(self, rng: ClipRandom) -> Drawn:
        """Draw weights, depths, the function of each link, and for each link what every function needs.

        For every function, though one is used: so what a clip draws does not depend on what it drew before.
        """
        settings = self._settings
        n_chains, depth = settings.n_chains, settings.chain_depth
        share = self._share(rng)
        weights = shares_of_one(rng.uniform(n_chains), settings.alpha)
        depths = torch.floor(rng.uniform(n_chains).double() * depth).long() + 1
        chosen = torch.floor(rng.uniform(n_chains, depth).double() * len(self._functions)).long()
        # A link behind the end of its chain is no function.
        chosen[torch.arange(depth, device=chosen.device) >= depths[:, :, None]] = -1
        drawn: list[Tensor] = [share, weights, chosen]
        for _ in range(n_chains * depth):
            for function in self._functions:
                drawn += function.draw(rng)
        return tuple(drawn)

    def apply(self, sounds: Sounds, drawn: Drawn) -> Tensor:
        """Mix."""
        share, weights, chosen = drawn[:_OWN]
        mixed = sounds.waveforms * (1 - share)[:, None].float()
        rest = drawn[_OWN:]
        for chain in range(self._settings.n_chains):
            end = sounds.waveforms
            for link in range(self._settings.chain_depth):
                end, rest = self._link(sounds.with_waveforms(end), chosen[:, chain, link], rest)
            mixed.addcmul_(end, (share * weights[:, chain])[:, None].float())
        return mixed

    def _link(self, sounds: Sounds, chosen: Tensor, drawn: Drawn) -> tuple[Tensor, Drawn]:
        """Apply to each clip the function that was chosen for it; return the waveforms and what is still unused."""
        waveforms = sounds.waveforms
        for number, function in enumerate(self._functions):
            n_used = function.N_DRAWN
            own, drawn = drawn[:n_used], drawn[n_used:]
            rows = (chosen == number).nonzero()[:, 0]
            if len(rows) == len(waveforms):
                waveforms = function.apply(sounds, own)
            elif len(rows):
                changed = function.apply(sounds.rows(rows), tuple(part[rows] for part in own))
                waveforms = waveforms.index_copy(0, rows, changed)
        return waveforms, drawn

    def _share(self, rng: ClipRandom) -> Tensor:
        """Draw the chains' share, float64 [batch]."""
        if self._settings.weight is not None:
            return between(rng, self._settings.weight)
        return shares_of_one(rng.uniform(2), self._settings.alpha)[:, 0]


def shares_of_one(uniform: Tensor, alpha: float) -> Tensor:
    """Turn uniform numbers into numbers from Dirichlet(alpha, ..., alpha): shares that add up to 1.

    Args:
        uniform: From [0, 1), shape [batch, share].
        alpha: 1 for all mixtures alike; the smaller, the more one share prevails.
    """
    # The middles of the steps of the numbers: neither 0, whose quantile is 0, nor 1, whose quantile is infinite.
    middles = uniform.double().cpu().numpy() + 2.0**-25
    sizes = np.maximum(special.gammaincinv(alpha, middles), 1e-300)
    return torch.from_numpy(sizes / sizes.sum(axis=1, keepdims=True)).to(uniform.device)
