"""A head without weights to train: the nearest clips of the training subset vote."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_LEAST_DISTANCE = 1e-6
_LEAST_PROBABILITY = 1e-6


class NeighbourHead(nn.Module):
    """k nearest neighbours among stored clips, each vote weighed by 1 / distance.

    Distances are Euclidean, between features that are standardised by the training subset. A target asks the nearest
    clips whose label for it is known; the others are no votes against it. Equal votes would give k + 1 probabilities
    in all, with few ranks, and no gradient to draw evidence from.

    Args:
        n_features: Width of the pooled features.
        n_targets: Number of logits.
        k: Neighbours; where fewer are known, all of them.
        n_clips: Clips that are stored.
        is_exclusive: The logits are for a softmax; else for a sigmoid each.
        dense_size: Width of the encoder's dense layer, whose outputs are compared; None: the pooled features are.
    """

    def __init__(
        self,
        n_features: int,
        n_targets: int,
        *,
        k: int,
        n_clips: int,
        is_exclusive: bool,
        dense_size: int | None = None,
    ) -> None:
        super().__init__()
        self.k = k
        self.is_exclusive = is_exclusive
        self.dense = nn.Identity() if dense_size is None else nn.Linear(n_features, dense_size)
        width = n_features if dense_size is None else dense_size
        self.mean: Tensor
        self.scale: Tensor
        self.clips: Tensor
        self.targets: Tensor
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.register_buffer("clips", torch.zeros(n_clips, width))
        self.register_buffer("targets", torch.full((n_clips, n_targets), torch.nan))

    def embed(self, features: Tensor) -> Tensor:
        """Turn features [batch, feature] into what the encoder's dense layer gives; without one, into the logits."""
        return self(features) if isinstance(self.dense, nn.Identity) else self.dense(features)

    def forward(self, features: Tensor) -> Tensor:
        """Turn features [batch, feature] into logits [batch, target]; those of steps of time are averaged first."""
        features = features if features.ndim == 2 else features.mean(dim=1)
        distances = torch.cdist((self.dense(features) - self.mean) / self.scale, self.clips)
        votes = torch.stack([self._vote(distances, labels) for labels in self.targets.unbind(dim=1)], dim=1)
        shares = votes.clamp(_LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
        return shares.log() if self.is_exclusive else shares.logit()

    def _vote(self, distances: Tensor, labels: Tensor) -> Tensor:
        """Return the share of votes for a target, shape [batch]; one half where no stored clip knows it."""
        known = torch.nonzero(~labels.isnan()).flatten()
        if not len(known):
            return distances.new_full((len(distances),), 0.5)
        nearest = distances[:, known].topk(min(self.k, len(known)), dim=1, largest=False)
        weights = 1 / nearest.values.clamp(min=_LEAST_DISTANCE)
        return (weights * labels[known][nearest.indices]).sum(dim=1) / weights.sum(dim=1)
