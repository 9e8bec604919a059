"""Losses: an unknown target counts for nothing, neither in the value nor in the gradient."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from auscult.config.task import TaskSettings
from auscult.config.train import LossSettings
from auscult.errors import InfeasibleError

Kind = Literal["bce", "cross_entropy", "mse", "focal", "asymmetric"]


@dataclass(frozen=True)
class LossSum:
    """A loss summed over what is known, and the number of known cells: sums of batches add up to the whole's."""

    total: Tensor
    n_known: Tensor

    def mean(self) -> Tensor:
        """Return the mean over the known cells; 0 where nothing is known."""
        return self.total / self.n_known.clamp(min=1)


@dataclass(frozen=True)
class Loss:
    """A weighted loss of logits against targets with unknowns.

    Attributes:
        kind: Which loss.
        weights: As `class_weights` returns them.
        is_exclusive: One class a clip, the logits' softmax; else each target by itself, the logits' sigmoid.
        settings: Of the kind.
    """

    kind: Kind
    weights: Tensor
    is_exclusive: bool = False
    settings: LossSettings = field(default_factory=LossSettings)

    def __call__(self, logits: Tensor, targets: Tensor) -> LossSum:
        """Return the weighted loss over the known cells; unknown ones add nothing, neither value nor gradient.

        Args:
            logits: Shape [clip, target].
            targets: Shape [clip, target]: from 0 to 1, or NaN; where `is_exclusive`, rows that add up to 1 or rows of
                NaN, and a known row counts as one cell.
        """
        logits = logits.float()
        known = ~targets.isnan()
        # NaN must be replaced before it is multiplied: 0 x NaN is NaN, in the gradient too.
        filled = torch.where(known, targets, 0.0)
        if self.is_exclusive:
            rows = known.all(dim=1)
            return LossSum((self._of_rows(logits, filled) * rows).sum(), rows.sum())
        weights = torch.lerp(self.weights[0], self.weights[1], filled) * known
        return LossSum((self._of_cells(logits, filled) * weights).sum(), known.sum())

    def count_known(self, targets: NDArray[np.float32]) -> int:
        """Return what `n_known` of these targets, shape [clip, target], would be."""
        known = ~np.isnan(targets)
        return int(known.all(axis=1).sum() if self.is_exclusive else known.sum())

    def _of_cells(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the unweighted loss of each target, shape [clip, target]."""
        if self.kind == "bce":
            smoothing = self.settings.label_smoothing
            if smoothing:
                targets = targets * (1 - smoothing) + smoothing / 2
            return functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        probability = logits.sigmoid()
        if self.kind == "mse":
            return (probability - targets) ** 2
        if self.kind == "focal":
            positive = (1 - probability) ** self.settings.gamma * functional.softplus(-logits)
            negative = probability**self.settings.gamma * functional.softplus(logits)
        else:
            shifted = (probability - self.settings.margin).clamp(min=0)
            positive = (1 - probability) ** self.settings.gamma_positive * functional.softplus(-logits)
            negative = -(shifted**self.settings.gamma_negative) * torch.log1p(-shifted.clamp(max=_NEARLY_ONE))
        return targets * positive + (1 - targets) * negative

    def _of_rows(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the weighted loss of each clip, shape [clip]."""
        if self.kind == "mse":
            weights = (targets * self.weights).sum(dim=1)
            return weights * ((logits.softmax(dim=1) - targets) ** 2).sum(dim=1)
        log_probabilities = functional.log_softmax(logits, dim=1)
        if self.kind == "focal":
            log_probabilities = (1 - log_probabilities.exp()) ** self.settings.gamma * log_probabilities
        elif self.settings.label_smoothing:
            smoothing = self.settings.label_smoothing
            targets = targets * (1 - smoothing) + smoothing / targets.shape[1]
        return -(log_probabilities * targets * self.weights).sum(dim=1)


_NEARLY_ONE = 1 - 2.0**-24
"""The logarithm of 1 - probability stays finite in float32."""


def build_loss(targets: NDArray[np.float32], task: TaskSettings, settings: LossSettings, device: torch.device) -> Loss:
    """Build the loss of a task, its class weights from `targets` (the training subset's).

    - `bce`, `cross_entropy`: with label smoothing as in Szegedy et al. 2016.
    - `mse`: squared error of the probabilities; over all classes of a clip it is Brier's score (1950).
    - `focal`: cross-entropy x (1 - probability of the truth)^gamma (Lin et al. 2017).
    - `asymmetric`: the same with other gammas for positives and negatives, and a margin below which a negative counts
      for nothing (Ridnik et al. 2021).
    """
    is_exclusive = task.type == "multi_class"
    kind: Kind = settings.name if settings.name != "auto" else "cross_entropy" if is_exclusive else "bce"
    return Loss(kind, torch.from_numpy(class_weights(targets, task, settings)).to(device), is_exclusive, settings)


def class_weights(targets: NDArray[np.float32], task: TaskSettings, settings: LossSettings) -> NDArray[np.float32]:
    """Return the weight of each class: positive and negative of each target, or each class of a task.

    - `balanced`: number of known cells / (number of classes x cells of that class). So every class has the same total
      weight, and the mean weight is one (scikit-learn's).
    - `effective_number`: (1 - beta) / (1 - beta^cells), scaled so that the mean over the classes is one (Cui et al.
      2019).
    - `none`: ones.

    Args:
        targets: Of the training subset, shape [clip, target]: 1, 0 or NaN.
        task: Its type says what the classes are.
        settings: Which of these.

    Returns:
        Binary and multi-label: shape [2, target], the weights of 0 and of 1. Multi-class: shape [class].

    Raises:
        InfeasibleError: A class never occurs in training; the error gives the counts.
    """
    known = ~np.isnan(targets)
    n_positive = np.where(known, targets, 0).sum(axis=0, dtype=np.float64)
    is_exclusive = task.type == "multi_class"
    counts = n_positive if is_exclusive else np.stack([known.sum(axis=0) - n_positive, n_positive])
    if settings.class_weights == "none":
        return np.ones_like(counts, dtype=np.float32)
    if (counts == 0).any():
        found = [
            f"{name}: {positive:.0f} of {n_known} known clips are positive"
            for name, positive, n_known in zip(task.targets, n_positive, known.sum(axis=0), strict=True)
        ]
        raise InfeasibleError(
            f"the training subset lacks a class to weight ({'; '.join(found)}); "
            "take another split, more data, or train.loss.class_weights: none"
        )
    if settings.class_weights == "effective_number":
        weights = (1 - settings.beta) / (1 - settings.beta**counts)
        return (weights / weights.mean(axis=0)).astype(np.float32)
    total = counts.sum(axis=0)
    return (total / (len(counts) * counts)).astype(np.float32)
