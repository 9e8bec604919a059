"""Trainings of one kind averaged into one model: the mean of the probabilities that its members give."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from auscult.models.classifier import Classifier, EmbeddingLayer
from auscult.models.normalisation import FullScale, Normalisation


@dataclass(frozen=True)
class AsStored:
    """For ensembles: values as a store holds them, because each member normalises them in its own way."""

    def to(self, device: torch.device) -> Self:
        """Return the same: it holds nothing."""
        del device
        return self

    def apply(self, stored: Tensor) -> Tensor:
        """Return the same values."""
        return stored


class Ensemble(nn.Module):
    """Classifiers of one architecture, each with its own normalisation.

    Its logits are those whose sigmoid (softmax for exclusive classes) is the mean of the members' probabilities, in
    float64: members that are equal give the logits of one of them, bit for bit.

    Args:
        members: At least one.
        normalisations: One a member, in the same order.
        is_exclusive: Of a multi-class task.
    """

    def __init__(
        self, members: Sequence[Classifier], normalisations: Sequence[Normalisation | FullScale], *, is_exclusive: bool
    ) -> None:
        super().__init__()
        self.networks = list(members)
        self.members = nn.ModuleList(members)
        self.normalisations = list(normalisations)
        self.is_exclusive = is_exclusive
        self.takes_waveforms = self.networks[0].takes_waveforms
        self.input_note = self.networks[0].input_note
        self.n_features = sum(member.n_features for member in self.networks)

    def forward(self, stored: Tensor) -> Tensor:
        """Turn values of a store, [clip, mel, frame] or [clip, sample], into logits [clip, target]."""
        inputs = self._inputs(stored)
        logits = [member(values) for member, values in zip(self.networks, inputs, strict=True)]
        return mean_logits(torch.stack(logits), is_exclusive=self.is_exclusive)

    def embed(self, stored: Tensor, layer: EmbeddingLayer = "backbone") -> Tensor:
        """Return the features of all members side by side, as `Classifier.embed`."""
        inputs = self._inputs(stored)
        return torch.cat([member.embed(values, layer) for member, values in zip(self.networks, inputs, strict=True)], 1)

    def _inputs(self, stored: Tensor) -> list[Tensor]:
        return [normalisation.to(stored.device).apply(stored) for normalisation in self.normalisations]


def over_shifts(
    compute: Callable[[Tensor], Tensor], values: Tensor, shifts: Sequence[int], *, is_exclusive: bool
) -> Tensor:
    """Return the logits of the mean of the probabilities over rolled copies, shape [clip, target].

    Args:
        compute: Gives logits.
        values: Clips, time last.
        shifts: By how many values along time each copy is rolled; what leaves at one end comes in at the other.
        is_exclusive: Of a multi-class task.
    """
    logits = [compute(values.roll(shift, dims=-1)) for shift in shifts]
    return mean_logits(torch.stack(logits), is_exclusive=is_exclusive)


def mean_logits(logits: Tensor, *, is_exclusive: bool) -> Tensor:
    """Return the logits of the mean of probabilities.

    Args:
        logits: Of members, shape [member, row, target].
        is_exclusive: Probabilities are their softmax, else their sigmoid.

    Returns:
        Float32, shape [row, target].

    >>> logits = torch.logit(torch.tensor([[[0.2]], [[0.6]]]))
    >>> mean_logits(logits, is_exclusive=False).sigmoid().round(decimals=5).tolist()
    [[0.4000000059604645]]
    """
    exact = logits.double()
    log_n = math.log(len(logits))
    if is_exclusive:
        # The mean of the normalisers is put back: it moves all classes alike, and equal members keep their logits.
        normalisers = exact.logsumexp(dim=2, keepdim=True)
        mean = (exact - normalisers).logsumexp(dim=0) - log_n + normalisers.mean(dim=0)
    else:
        positive, negative = functional.logsigmoid(exact), functional.logsigmoid(-exact)
        mean = positive.logsumexp(dim=0) - negative.logsumexp(dim=0)
    return mean.float()
