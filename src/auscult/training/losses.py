"""Losses: an unknown target counts for nothing, and class weights come from the training part's known targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from auscult.config.task import TaskSettings
from auscult.config.train import LossSettings
from auscult.errors import InfeasibleError


def class_weights(targets: NDArray[np.float32], task: TaskSettings, settings: LossSettings) -> NDArray[np.float32]:
    """Return the weight of each answer: number of known cells / (number of answers x cells with that answer).

    So every answer has the same total weight, and the mean weight is one (scikit-learn's `balanced`).

    Args:
        targets: Of the training part, shape [clip, target]: 1, 0 or NaN.
        task: Its type tells what the answers are.
        settings: `class_weights: none` gives ones.

    Returns:
        Binary and multi-label: shape [2, target], the weights of 0 and of 1. Multi-class: shape [class].

    Raises:
        InfeasibleError: An answer never occurs in training, with the counts.
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
            f"the training part lacks an answer to weigh ({'; '.join(found)}); "
            "take another split, more data, or train.loss.class_weights: none"
        )
    total = counts.sum(axis=0)
    return (total / (len(counts) * counts)).astype(np.float32)


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
    """Weighted cross-entropy of logits against targets with unknowns.

    Attributes:
        kind: `bce` (each target by itself) or `cross_entropy` (one class a clip).
        weights: As `class_weights` returns them.
    """

    kind: Literal["bce", "cross_entropy"]
    weights: Tensor

    def __call__(self, logits: Tensor, targets: Tensor) -> LossSum:
        """Return the weighted loss over the known cells; unknown ones add nothing, neither value nor gradient.

        Args:
            logits: Shape [clip, target].
            targets: Shape [clip, target]: 1, 0 or NaN; for `cross_entropy` one-hot rows or rows of NaN.
        """
        logits = logits.float()
        known = ~targets.isnan()
        # NaN must be replaced before it is multiplied: 0 x NaN is NaN, in the gradient too.
        filled = torch.where(known, targets, 0.0)
        if self.kind == "bce":
            weights = torch.where(filled > 0.5, self.weights[1], self.weights[0]) * known
            cells = functional.binary_cross_entropy_with_logits(logits, filled, reduction="none")
            return LossSum((cells * weights).sum(), known.sum())
        rows = known.all(dim=1)
        log_probabilities = functional.log_softmax(logits, dim=1)
        return LossSum(-(log_probabilities * filled * self.weights).sum(), rows.sum())

    def count_known(self, targets: NDArray[np.float32]) -> int:
        """Return what `n_known` of these targets, shape [clip, target], would be."""
        known = ~np.isnan(targets)
        return int(known.sum() if self.kind == "bce" else known.all(axis=1).sum())


def build_loss(targets: NDArray[np.float32], task: TaskSettings, settings: LossSettings, device: torch.device) -> Loss:
    """Build the loss of a task, its class weights from `targets` (the training part's)."""
    kind = settings.name
    if kind == "auto":
        kind = "cross_entropy" if task.type == "multi_class" else "bce"
    return Loss(kind, torch.from_numpy(class_weights(targets, task, settings)).to(device))
