"""Validation: what a model is worth on the validation subset, and which epoch is the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from auscult.config.task import TaskSettings
from auscult.config.train import TrainSettings, monitors_for
from auscult.errors import DivergedError
from auscult.metrics import objects
from auscult.metrics.event_decoding import validation_scores
from auscult.metrics.summary import validation_metrics
from auscult.models.saved import probabilities
from auscult.training.batches import Subset
from auscult.training.history import EpochRow
from auscult.training.losses import Loss, LossSum, MapLoss
from auscult.training.sampler import sequential_plan
from auscult.training.session import Stop, TrainingStopped


class Validated(NamedTuple):
    """What a validation finds.

    Attributes:
        metrics: `val/loss` and the others; None where one is undefined.
        probabilities: Shape [clip, target].
        maps: Of a task that learns maps, their probabilities, shape [clip, channel, ...].
    """

    metrics: dict[str, float | None]
    probabilities: NDArray[np.float64]
    maps: NDArray[np.float32] | None


@torch.no_grad()
def validate(
    model: nn.Module,
    loss: Loss | MapLoss,
    subset: Subset,
    *,
    task: TaskSettings,
    settings: TrainSettings,
    stop: Stop,
) -> Validated:
    """Validate: `val/loss` and the metrics of `validation_metrics`, and what they are computed from.

    With `metric_over: batch` each metric is the mean over the batches in which it is defined; scores of events are of
    whole recordings all the same.

    Raises:
        TrainingStopped: A signal came; checked between two batches.
        DivergedError: A probability is NaN or infinite.
    """
    model.eval()
    plan = sequential_plan(len(subset.batches), settings.n_at_once)
    found: list[Tensor] = []
    for batch in subset.batches(plan):
        if stop.urgent_reason:
            raise TrainingStopped(stop.urgent_reason)
        found.append((model(batch) if subset.maps is None else model(batch, as_maps=True)).float())
    # Of a task that learns maps these are maps; the logits of clips follow from them.
    learned = torch.cat(found)
    together = learned if subset.maps is None else _over_clip(model, learned)
    targets = torch.from_numpy(subset.targets if subset.maps is None else subset.maps).to(together.device)
    predicted = probabilities(together, task.type)
    require_finite(float(predicted.sum()), "sum of the validation probabilities", settings)
    row_sets = _row_sets(subset, settings)
    values = [
        {
            "val/loss": _mean_loss(loss(learned[rows], targets[rows])),
            **validation_metrics(subset.targets[rows], predicted[rows], subset.ids.iloc[rows], task),
        }
        for rows in row_sets
    ]
    maps = None if subset.maps is None else learned.sigmoid().cpu().numpy()
    scores = {} if maps is None else _map_scores(maps, subset, task)
    return Validated(_mean_of_defined(values) | scores, predicted, maps)


def definable_metrics(subset: Subset, task: TaskSettings, settings: TrainSettings) -> set[str]:
    """Return the metrics of a validation that some predictions would define: right ones, or equal ones.

    The loss and scores of events and objects are not looked at, and taken to be definable.
    """
    equal = np.full(subset.targets.shape, 1 / max(2, subset.targets.shape[1]))
    right = np.where(np.isnan(subset.targets), equal, subset.targets)
    undefined: list[set[str]] = []
    for predicted in (right, equal):
        values = _mean_of_defined(
            [
                validation_metrics(subset.targets[rows], predicted[rows], subset.ids.iloc[rows], task)
                for rows in _row_sets(subset, settings)
            ]
        )
        undefined.append({name for name, value in values.items() if value is None})
    return set(monitors_for(task)) - set.intersection(*undefined)


def _row_sets(subset: Subset, settings: TrainSettings) -> list[NDArray[np.int64]]:
    """Return the rows that each metric is computed over."""
    if settings.metric_over == "batch":
        return list(sequential_plan(len(subset.batches), settings.n_at_once))
    return [np.arange(len(subset.targets))]


def _over_clip(model: nn.Module, maps: Tensor) -> Tensor:
    head: Any = model.head
    return head.over_clip(maps)


def _map_scores(probable: NDArray[np.float32], subset: Subset, task: TaskSettings) -> dict[str, float | None]:
    """Return the scores of events or objects, from the probabilities of maps."""
    if subset.events is not None:
        scores = validation_scores(subset.events.lay_out(probable), subset.events.truth, task.event_settings)
    elif subset.objects is not None and subset.maps is not None:
        found = subset.objects
        scores = objects.validation_scores(probable, subset.maps, found.labels, task.object_settings.match_iou)
    else:
        raise ValueError("there are maps to be learned, and neither events nor objects")
    return {f"val/{name}": value for name, value in scores.items()}


def _mean_loss(loss: LossSum) -> float | None:
    return float(loss.mean()) if loss.n_known else None


def _mean_of_defined(rows: Sequence[dict[str, float | None]]) -> dict[str, float | None]:
    """Return the mean of each value over the rows that define it; None where none does.

    >>> _mean_of_defined([{"val/loss": 0.25, "val/auroc": None}, {"val/loss": 0.75, "val/auroc": 1.0}])
    {'val/loss': 0.5, 'val/auroc': 1.0}
    """
    known = {name: [value for row in rows if (value := row[name]) is not None] for name in rows[0]}
    return {name: math.fsum(values) / len(values) if values else None for name, values in known.items()}


def require_finite(value: float, what: str, settings: TrainSettings) -> None:
    """Raise on NaN or infinity.

    Raises:
        DivergedError: It says which setting to lower.
    """
    if not math.isfinite(value):
        raise DivergedError(
            f"the {what} became {value}: lower train.optimizer.lr (found {settings.optimizer.lr:g}), clip the gradient "
            f"(train.clip_gradient.norm), or train with precision 32 (found {settings.precision})"
        )


class BestEpoch:
    """The best epoch on validation so far, with the weights after it.

    Args:
        settings: What is monitored.

    Attributes:
        row: The best epoch's metrics; None while the monitored one was never defined.
        weights: The weights after it.
    """

    def __init__(self, settings: TrainSettings) -> None:
        self._settings = settings
        self.row: EpochRow | None = None
        self.weights: dict[str, Tensor] = {}

    @property
    def epoch(self) -> int | None:
        """The best epoch."""
        return None if self.row is None else int(self.row["epoch"])

    def take(self, epoch: int, metrics: dict[str, float | None], module: nn.Module) -> None:
        """Keep an epoch when it is better than all before."""
        row: EpochRow = {"epoch": epoch, **metrics}
        if not is_better(row, self.row, self._settings.monitor, self._settings.mode):
            return
        self.row = row
        # Row by row in memory, whatever the layout in training: safetensors takes nothing else.
        self.weights = {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, tensor in module.state_dict().items()
        }


def is_better(row: EpochRow, best: EpochRow | None, monitor: str, mode: Literal["max", "min"]) -> bool:
    """Return whether an epoch beats the best one so far.

    Of equal values the lower validation loss wins: with few patients a rank metric such as AUROC takes few values, and
    its first maximum may come before the predictions are worth anything. An undefined value never wins.

    >>> early, late = {"val/auroc": 1.0, "val/loss": 0.7}, {"val/auroc": 1.0, "val/loss": 0.3}
    >>> is_better(early, None, "val/auroc", "max"), is_better(late, early, "val/auroc", "max")
    (True, True)
    >>> is_better(early, late, "val/auroc", "max"), is_better({"val/auroc": None}, None, "val/auroc", "max")
    (False, False)
    """
    value = row[monitor]
    if value is None or not math.isfinite(value):
        return False
    if best is None:
        return True
    if value == best[monitor]:
        return bool(row["val/loss"] < best["val/loss"])
    return bool(value > best[monitor]) if mode == "max" else bool(value < best[monitor])
