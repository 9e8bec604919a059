"""The validation part, and what a model is worth on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from auscult.config.task import TaskSettings
from auscult.config.train import TrainSettings
from auscult.errors import ConfigError
from auscult.metrics.summary import validation_metrics
from auscult.models.saved import probabilities
from auscult.training.batches import Batches
from auscult.training.losses import Loss, LossSum
from auscult.training.orders import plan_in_order
from auscult.training.stop import Stop, TrainingStopped


@dataclass(frozen=True)
class Part:
    """Examples of one side.

    Attributes:
        batches: What the model takes of each clip.
        targets: Shape [clip, target]: 1, 0 or NaN.
        ids: Columns `clip_id`, `recording_id`, `patient_id`, one row a clip.
    """

    batches: Batches
    targets: NDArray[np.float32]
    ids: pd.DataFrame


@torch.no_grad()
def validate(
    model: nn.Module, loss: Loss, part: Part, *, task: TaskSettings, settings: TrainSettings, stop: Stop
) -> tuple[dict[str, float | None], NDArray[np.float64]]:
    """Return `val/loss` and the metrics of `validation_metrics`, None where one is undefined; and the answers.

    With `metric_over: batch` each is the mean over the batches in which it is defined. The answers are probabilities,
    shape [clip, target].

    Raises:
        TrainingStopped: A signal asked for it, between two batches.
        ConfigError: The answers left the finite numbers.
    """
    model.eval()
    plan = plan_in_order(len(part.batches), settings.batch_size)
    logits: list[Tensor] = []
    for batch in part.batches(plan):
        if stop.urgent_reason:
            raise TrainingStopped(stop.urgent_reason)
        logits.append(model(batch).float())
    together = torch.cat(logits)
    targets = torch.from_numpy(part.targets).to(together.device)
    answers = probabilities(together, task.type)
    require_finite(float(answers.sum()), "answers to the validation part", settings)
    parts = plan if settings.metric_over == "batch" else [np.arange(len(answers))]
    values = [
        {
            "val/loss": _mean_loss(loss(together[rows], targets[rows])),
            **validation_metrics(part.targets[rows], answers[rows], part.ids.iloc[rows], task),
        }
        for rows in parts
    ]
    return _mean_of_defined(values), answers


def _mean_loss(loss: LossSum) -> float | None:
    return float(loss.mean()) if loss.n_known else None


def _mean_of_defined(parts: Sequence[dict[str, float | None]]) -> dict[str, float | None]:
    """Return the mean of each value over the parts where it is defined; None where it is so in none.

    >>> _mean_of_defined([{"val/loss": 0.25, "val/auroc": None}, {"val/loss": 0.75, "val/auroc": 1.0}])
    {'val/loss': 0.5, 'val/auroc': 1.0}
    """
    known = {name: [value for part in parts if (value := part[name]) is not None] for name in parts[0]}
    return {name: math.fsum(values) / len(values) if values else None for name, values in known.items()}


def require_finite(value: float, what: str, settings: TrainSettings) -> None:
    """Refuse to go on with numbers that are none.

    Raises:
        ConfigError: Naming what to lower.
    """
    if not math.isfinite(value):
        raise ConfigError(
            f"the {what} became {value}: lower train.optimizer.lr (found {settings.optimizer.lr:g}), clip the gradient "
            f"(train.clip_gradient.norm), or train with precision 32 (found {settings.precision})"
        )
