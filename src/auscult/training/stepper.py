"""From a batch to gradients, and from gradients to a step."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from auscult.augment import BatchRows
from auscult.config.train import TrainSettings
from auscult.training.augmentation import TrainingAugmentation
from auscult.training.ema import Ema
from auscult.training.losses import Loss, LossSum
from auscult.training.orders import Plan
from auscult.training.schedules import Schedules


class Stepper:
    """Trains a model batch by batch; the gradients of `accumulate_batches` batches make one step.

    Args:
        fabric: Device, precision and processes.
        model: As the fabric set it up.
        optimizer: As the fabric set it up.
        loss: Of logits against targets.
        augmentation: From what is read to logits.
        settings: Of the training.
        schedules: Set the rates before each step.
        ema: Is told after each step.

    Attributes:
        n_steps: Done so far.
    """

    def __init__(
        self,
        fabric: Fabric,
        model: nn.Module,
        optimizer: Any,
        loss: Loss,
        *,
        augmentation: TrainingAugmentation,
        settings: TrainSettings,
        schedules: Schedules,
        ema: Ema | None,
    ) -> None:
        self.n_steps = 0
        self._fabric = fabric
        self._model: Any = model
        self._optimizer = optimizer
        self._loss = loss
        self._augmentation = augmentation
        self._settings = settings
        self._schedules = schedules
        self._ema = ema

    def train_batch(self, batch: Tensor, rows: BatchRows, *, epoch: int, number: int, plan: Plan) -> LossSum:
        """Add the gradients of a batch, and step when they are complete.

        Args:
            batch: What was read for this process' share of it.
            rows: What that is.
            epoch: From 1.
            number: Of the batch in the epoch, from 0.
            plan: All batches of the epoch, whole.

        Returns:
            Its loss.
        """
        n_together = self._settings.accumulate_batches
        is_step = (number + 1) % n_together == 0 or number + 1 == len(plan)
        if number % n_together == 0:
            self._optimizer.zero_grad()
        targets = self._augmentation.items(epoch).targets
        with self._fabric.no_backward_sync(self._model, enabled=not is_step):
            logits = self._augmentation.logits(self._model, batch, rows, epoch)
            loss = self._loss(logits, torch.from_numpy(targets[rows.items]).to(logits.device, non_blocking=True))
            if n_together == self._fabric.world_size == 1:
                self._fabric.backward(loss.mean())
            else:
                # Over all that is known in the batches of one step, in all processes: as if they were one batch. The
                # gradients of the processes are averaged, hence the factor.
                first = number - number % n_together
                n_known = self._loss.count_known(targets[np.concatenate(plan[first : first + n_together])])
                self._fabric.backward(loss.total * self._fabric.world_size / max(n_known, 1))
        if is_step:
            self._step()
        return loss

    def _step(self) -> None:
        clip = self._settings.clip_gradient
        if clip.value is not None:
            self._fabric.clip_gradients(self._model, self._optimizer, clip_val=clip.value)
        if clip.norm is not None:
            self._fabric.clip_gradients(self._model, self._optimizer, max_norm=clip.norm, error_if_nonfinite=False)
        self._schedules.set_rates(self.n_steps)
        self._optimizer.step()
        self.n_steps += 1
        if self._ema is not None:
            self._ema.update()
