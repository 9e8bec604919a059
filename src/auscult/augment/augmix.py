"""AugMix: chains of other augmentations, mixed with each other and with the original."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy import special
from torch import Tensor

from auscult.augment.draws import Draws
from auscult.augment.step import Drawn, Sounds, WaveformStep, between
from auscult.config.waveform_augment import Augmix

_OWN = 3


class AugmixMixer(WaveformStep):
    """Mixes chains of random functions with the original (Hendrycks et al. 2020, of images; here of waveforms).

    Args:
        settings: Chains and weights.
        functions: The steps that a link may be, in the order of the settings.
    """

    def __init__(self, settings: Augmix, functions: Sequence[WaveformStep]) -> None:
        self._settings = settings
        self._functions = functions

    def draw(self, draws: Draws) -> Drawn:
        """Draw weights, depths, the function of each link, and for each link what every function needs.

        For every function, though one is used: so what a clip draws does not depend on what it drew before.
        """
        settings = self._settings
        n_chains, depth = settings.n_chains, settings.chain_depth
        share = self._share(draws)
        weights = shares_of_one(draws.uniform(n_chains), settings.alpha)
        depths = torch.floor(draws.uniform(n_chains).double() * depth).long() + 1
        chosen = torch.floor(draws.uniform(n_chains, depth).double() * len(self._functions)).long()
        # A link behind the end of its chain is no function.
        chosen[torch.arange(depth, device=chosen.device) >= depths[:, :, None]] = -1
        drawn: list[Tensor] = [share, weights, chosen]
        for _ in range(n_chains * depth):
            for function in self._functions:
                drawn += function.draw(draws)
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

    def _share(self, draws: Draws) -> Tensor:
        """Draw the chains' share, float64 [batch]."""
        if self._settings.weight is not None:
            return between(draws, self._settings.weight)
        return shares_of_one(draws.uniform(2), self._settings.alpha)[:, 0]


def shares_of_one(uniform: Tensor, alpha: float) -> Tensor:
    """Turn even draws into draws from Dirichlet(alpha, ..., alpha): shares that add up to 1, float64 of the same shape.

    Args:
        uniform: From [0, 1), shape [batch, share].
        alpha: 1 for all mixtures alike; the smaller, the more one share prevails.
    """
    # The middles of the steps of the draws: neither 0, whose quantile is 0, nor 1, whose quantile is infinite.
    middles = uniform.double().cpu().numpy() + 2.0**-25
    sizes = np.maximum(special.gammaincinv(alpha, middles), 1e-300)
    return torch.from_numpy(sizes / sizes.sum(axis=1, keepdims=True)).to(uniform.device)
