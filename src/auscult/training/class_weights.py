"""How much each answer counts, from the training part's known targets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from auscult.config.task import TaskSettings
from auscult.config.train import LossSettings
from auscult.errors import InfeasibleError


def class_weights(targets: NDArray[np.float32], task: TaskSettings, settings: LossSettings) -> NDArray[np.float32]:
    """Return the weight of each answer.

    - `balanced`: number of known cells / (number of answers x cells with that answer). So every answer has the same
      total weight, and the mean weight is one (scikit-learn's).
    - `effective_number`: (1 - beta) / (1 - beta^cells), scaled so that the mean over the answers is one (Cui et al.
      2019).
    - `none`: ones.

    Args:
        targets: Of the training part, shape [clip, target]: 1, 0 or NaN.
        task: Its type tells what the answers are.
        settings: Which of these.

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
    if settings.class_weights == "effective_number":
        weights = (1 - settings.beta) / (1 - settings.beta**counts)
        return (weights / weights.mean(axis=0)).astype(np.float32)
    total = counts.sum(axis=0)
    return (total / (len(counts) * counts)).astype(np.float32)
