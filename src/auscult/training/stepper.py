"""From a batch to gradients, and from gradients to a step."""

from __future__ import annotations

from typing import Any

import numpy as np
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import nn

from auscult.augment import Draws, augment_spectrograms
from auscult.config.augment import AugmentSettings
from auscult.config.train import TrainSettings
from auscult.training.batches import Batch
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
        targets: Of the training part, shape [clip, target].
        settings: Of the training.
        augment: What is done to the clips.
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
        targets: NDArray[np.float32],
        settings: TrainSettings,
        augment: AugmentSettings,
        schedules: Schedules,
        ema: Ema | None,
    ) -> None:
        self.n_steps = 0
        self._fabric = fabric
        self._model: Any = model
        self._optimizer = optimizer
        self._loss = loss
        self._targets = targets
        self._settings = settings
        self._augment = augment
        self._schedules = schedules
        self._ema = ema

    def train_batch(self, batch: Batch, *, epoch: int, number: int, plan: Plan) -> LossSum:
        """Add the gradients of a batch, and step when they are complete.

        Args:
            batch: This process' share of it.
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
        # A clip's number, with seed and epoch, is all that its augmentation depends on: not its batch.
        draws = Draws(self._settings.seed, epoch, batch.clips)
        spectrograms = augment_spectrograms(batch.spectrograms, self._augment.spectrogram, draws)
        with self._fabric.no_backward_sync(self._model, enabled=not is_step):
            loss = self._loss(self._model(spectrograms), batch.targets)
            if n_together == self._fabric.world_size == 1:
                self._fabric.backward(loss.mean())
            else:
                # Over all that is known in the batches of one step, in all processes: as if they were one batch. The
                # gradients of the processes are averaged, hence the factor.
                first = number - number % n_together
                clips = np.concatenate(plan[first : first + n_together])
                n_known = self._loss.count_known(self._targets[clips])
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
