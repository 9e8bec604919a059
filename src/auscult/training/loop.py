"""The training loop: each epoch is a pass over the batches, a validation, a save and a line in the log.

A session may end after any batch, and the next one resumes bit for bit: `_save` and `_resume` hold all that matters.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from auscult.augment import BatchRows
from auscult.config.task import TaskSettings
from auscult.config.train import TrainSettings, monitors_for
from auscult.errors import ConfigError
from auscult.models.classifier import Classifier
from auscult.training.batches import TrainingData
from auscult.training.checkpoint import Checkpoint, Position
from auscult.training.distributed import ProcessGroup
from auscult.training.export import EpochWeights
from auscult.training.followed_maps import FollowedMaps
from auscult.training.history import EpochRow, EpochSums, History, followed_predictions, log_row, profiled
from auscult.training.losses import Loss, LossSum, MapLoss
from auscult.training.optim import Optimization
from auscult.training.progress import Progress
from auscult.training.sampler import (
    BatchPlan,
    Purpose,
    derive_seed,
    generator_state,
    kept_generators,
    seed_generators,
    sequential_plan,
    set_generator_state,
)
from auscult.training.schedules import EarlyStopping
from auscult.training.session import Session, Stop, StopReason, TrainingStopped
from auscult.training.validation import BestEpoch, require_finite, validate

logger = logging.getLogger(__name__)


class Trainer:
    """Trains one model.

    Args:
        fabric: Device, precision and processes.
        module: The network; it is moved to the device.
        loss: Of logits against targets.
        data: What it learns from and is validated on.
        task: Gives the metrics.
        settings: Of this training.
        epoch_weights: Keeps the weights after each validation; None: nothing is kept.
        followed_maps: Draws the maps of some validation clips; None: nothing is drawn.

    Attributes:
        at: The next batch to train.
        sums: Loss and times of the epoch so far.
    """

    def __init__(
        self,
        fabric: Fabric,
        module: Classifier,
        loss: Loss | MapLoss,
        data: TrainingData,
        *,
        task: TaskSettings,
        settings: TrainSettings,
        epoch_weights: EpochWeights | None = None,
        followed_maps: FollowedMaps | None = None,
    ) -> None:
        self.fabric = fabric
        self.module = module
        self.loss = loss
        self.data = data
        self.task = task
        self.settings = settings
        self.epoch_weights = epoch_weights
        self.followed_maps = followed_maps
        self.processes = ProcessGroup(fabric)
        n_batches = len(data.sampler.plan(1))
        self.optimization = Optimization(fabric, module, settings, -(-n_batches // settings.accumulate_batches))
        self.early_stopping = EarlyStopping(settings.early_stopping, settings.mode)
        self.best = BestEpoch(settings)
        self.at = Position(1, 0)
        self.sums = EpochSums(fabric.device)
        self._train_step = settings.train_step.implementation() if settings.train_step else None
        self._rows: list[EpochRow] = []
        self._layer_generators: dict[str, Any] | None = None

    def fit(
        self, run_dir: Path, session: Session, until_epoch: int | None = None, earlier: Checkpoint | None = None
    ) -> Checkpoint:
        """Train what was not saved yet.

        Args:
            run_dir: Where `metrics.jsonl` is kept and `history.csv` is written at the end.
            session: Gives the last checkpoint, takes the next ones, and says when to stop.
            until_epoch: Save and return after this epoch, before the training's end; None: train to the end.
            earlier: The end of another training, whose last weights the model has, to go on from.

        Returns:
            The last checkpoint, with the best weights; `is_finished` says whether it is that of the end.

        Raises:
            ConfigError: The loss became NaN or infinite.
            TrainingStopped: The session had to end; the state is saved.
        """
        checkpoint = session.load()
        if checkpoint is not None:
            self._resume(checkpoint)
        elif earlier is not None:
            self._continue_from(earlier)
        progress, device = session.progress, self.fabric.device
        progress.report("training", epochs=self.settings.epochs, monitor=self.settings.monitor, epoch=self.at.epoch)
        progress.tell(
            "started",
            epochs=self.settings.epochs,
            epoch=self.at.epoch,
            batch=self.at.batch,
            resumed=checkpoint is not None,
        )
        if checkpoint is not None:
            # A session that was killed may have saved this and told nobody; who has heard it hears nothing new.
            for row in self._rows:
                self._tell_epoch(progress, row)
            progress.tell("saved", epoch=self.at.epoch, batch=self.at.batch)
        n_profiled = self.settings.debug.profile_batches if self.processes.is_rank_zero else 0
        with (
            closing(self._open_history(run_dir)) as history,
            session.stop.deferred(),
            kept_generators(device),
            profiled(run_dir, n_profiled, device) as after_batch,
        ):
            while not self._is_paused(until_epoch):
                row = self._epoch(session, after_batch)
                history.append(row)
                self._tell_epoch(progress, row)
                stop, is_save_due = session.due(self.optimization.n_steps, epoch_done=row["epoch"])
                if self._is_paused(until_epoch) or stop or is_save_due:
                    checkpoint = self._save(session)
                log_row(row, self.settings, self.best.row)
                progress.report("training", **{key: row[key] for key in row if key.startswith(("train/", "val/"))})
                if stop and not self._is_paused(until_epoch):
                    raise TrainingStopped(stop)
            if self.is_finished:
                history.write_csv()
        if self.early_stopping.is_exhausted:
            logger.info("%s no longer improved: stopped after epoch %d", self.settings.monitor, self.at.epoch - 1)
        if self.is_finished:
            self.optimization.finish()
            progress.ending["best_epoch"] = self.best.epoch
        else:
            progress.ending = {"status": "paused", "reason": f"epoch {until_epoch} was asked for"}
        if checkpoint is None:
            raise ValueError("a training has at least one epoch")
        return checkpoint

    @property
    def is_finished(self) -> bool:
        """Whether the training's end is reached."""
        return self.at.epoch > self.settings.epochs or self.early_stopping.is_exhausted

    def _is_paused(self, until_epoch: int | None) -> bool:
        return self.is_finished or (until_epoch is not None and self.at.epoch > until_epoch)

    def _tell_epoch(self, progress: Progress, row: EpochRow) -> None:
        metrics = {key: value for key, value in row.items() if key.startswith(("train/", "val/", "lr"))}
        progress.tell("epoch", epoch=row["epoch"], epochs=self.settings.epochs, metrics=metrics)

    def _open_history(self, run_dir: Path) -> History:
        folder = run_dir if self.processes.is_rank_zero else None
        if folder is not None and self.followed_maps is not None:
            self.followed_maps.open(folder, self.module.eval().spectrograms)
        history = History(folder, self._rows, tensorboard="tensorboard" in self.settings.live_logs)
        self._rows = history.rows
        history.draw_graph(self.module, lambda: next(iter(self.data.val.batches(sequential_plan(1, 1)))))
        return history

    def _epoch(self, session: Session, after_batch: Callable[[], None]) -> EpochRow:
        """Finish the epoch that the state stands in, validate, and move to the next one."""
        epoch, progress = self.at.epoch, session.progress
        try:
            self.train_epoch(session, after_batch)
            sums = self.sums.of_all_processes(self.processes)
            train_loss = sums.mean_loss()
            require_finite(train_loss, f"training loss of epoch {epoch}", self.settings)
            progress.values["train/loss"] = train_loss
            progress.report("validating")
            start = time.perf_counter()
            metrics = self._validate(session.stop)
        except TrainingStopped as stopped:
            self._save(session)
            logger.warning("%s: saved in epoch %d after batch %d; run again to resume", stopped, epoch, self.at.batch)
            raise
        row: EpochRow = {
            "epoch": epoch,
            "train/loss": train_loss,
            **metrics,
            **self.optimization.lrs(),
            "epoch_s": sums.train_s + time.perf_counter() - start,
            "data_wait_share": sums.wait_s / max(sums.train_s, 1e-9),
            "samples_per_s": sums.n_clips / max(sums.train_s, 1e-9),
        }
        self.next_epoch()
        return row

    def _continue_from(self, end: Checkpoint) -> None:
        """Go on after the end of another training; the best epoch and the count of early stopping begin anew."""
        self.optimization.continue_from(end.state["optimization"], end.at.epoch - 1)
        self.at = end.at
        logger.info("going on in epoch %d of %d, with the optimizer's state", self.at.epoch, self.settings.epochs)

    def next_epoch(self) -> None:
        """Move to the first batch of the next epoch."""
        self.at = Position(self.at.epoch + 1, 0)
        self.sums = EpochSums(self.fabric.device)

    def train_epoch(self, session: Session, after_batch: Callable[[], None] = lambda: None) -> None:
        """Train on the rest of the epoch's batches.

        Raises:
            TrainingStopped: The session has to end; the state is that after the last batch, and not saved.
        """
        epoch, batches = self.at.epoch, self.data.train.batches
        self._seed_layers(epoch)
        self.optimization.start_epoch(epoch)
        plan, items = self.data.sampler.plan(epoch), self.data.augmentation.items(epoch)
        rows = [items.rows(share) for share in self.processes.shard(plan)[self.at.batch :]]
        start_s, start_wait_s = time.perf_counter() - self.sums.train_s, batches.wait_s - self.sums.wait_s
        for of_batch, batch in zip(rows, batches([each.clips for each in rows]), strict=True):
            loss = self._step(batch, of_batch, plan)
            self.sums.add(loss, len(of_batch.items))
            self.at = Position(epoch, self.at.batch + 1)
            self.sums.train_s, self.sums.wait_s = time.perf_counter() - start_s, batches.wait_s - start_wait_s
            self._report_batch(session.progress, len(plan), len(of_batch.items))
            after_batch()
            if self.processes.world_size > 1 and self.at.batch % self.settings.accumulate_batches:
                continue  # each process holds its own gradients, which a checkpoint does not
            stop, is_save_due = session.due(self.optimization.n_steps)
            if stop:
                raise TrainingStopped(stop)
            if is_save_due:
                self._save(session)

    def _seed_layers(self, epoch: int) -> None:
        """Seed the generators that layers use (dropout, drop path), or resume them within an epoch."""
        if self._layer_generators is None:
            seed = derive_seed(self.settings.seed, Purpose.DROPOUT, epoch) + self.processes.rank
            seed_generators(seed, self.fabric.device)
        else:
            set_generator_state(self._layer_generators, self.fabric.device)
            self._layer_generators = None

    def _step(self, batch: Tensor, rows: BatchRows, plan: BatchPlan) -> LossSum:
        """Add the gradients of a batch; those of `accumulate_batches` batches make one optimizer step.

        Args:
            batch: This process' share of it, prepared.
            rows: Which items it holds.
            plan: All batches of the epoch, whole.

        Returns:
            Its loss.
        """
        epoch, number, n_together = self.at.epoch, self.at.batch, self.settings.accumulate_batches
        is_last = (number + 1) % n_together == 0 or number + 1 == len(plan)
        if number % n_together == 0:
            self.optimization.zero_grad()
        model = self.optimization.model
        with self.fabric.no_backward_sync(model, enabled=not is_last):
            loss = self._loss_of(model, batch, rows)
            if n_together == self.processes.world_size == 1:
                self.fabric.backward(loss.mean())
            else:
                # Over all that is known in the batches of one step, in all processes: as if they were one batch. The
                # gradients of the processes are averaged, hence the factor.
                first = number - number % n_together
                together = np.concatenate(plan[first : first + n_together])
                n_known = self.loss.count_known(self.data.augmentation.targets_of(together, epoch))
                self.fabric.backward(loss.total * self.processes.world_size / max(n_known, 1))
        if is_last:
            self.optimization.step()
        return loss

    def _loss_of(self, model: Any, batch: Tensor, rows: BatchRows) -> LossSum:
        """Run the model on a batch, augmented, and return its loss, or what a plugin's train step makes of both."""
        augmentation, epoch = self.data.augmentation, self.at.epoch
        if self._train_step is None:
            return self.loss(*augmentation.run(model, batch, rows, epoch))
        forward, inputs, targets = augmentation.prepare(model, batch, rows, epoch)
        value = self._train_step(forward, inputs, targets, lambda logits, wanted: self.loss(logits, wanted).mean())
        if value.ndim:
            raise ConfigError(f"train.train_step: its plugin returned shape {list(value.shape)}, expected one number")
        n_known = self.loss.count_known(augmentation.targets_of(rows.items, epoch))
        return LossSum(value * n_known, torch.tensor(n_known, device=value.device))

    def _report_batch(self, progress: Progress, n_batches: int, n_clips: int) -> None:
        progress.report_batch(
            {
                "epoch": self.at.epoch,
                "batch": self.at.batch,
                "n_batches": n_batches,
                "step": self.optimization.n_steps,
                "data_wait_share": self.sums.wait_s / max(self.sums.train_s, 1e-9),
            },
            n_clips=n_clips,
            n_batches_left=(self.settings.epochs - self.at.epoch + 1) * n_batches - self.at.batch,
            loss=self.sums.mean_loss,
        )

    def _validate(self, stop: Stop) -> dict[str, float | None]:
        """Validate where it is due; rank zero does it, and all processes get the metrics."""
        epoch, settings = self.at.epoch, self.settings
        if epoch % settings.eval_every and epoch != settings.epochs:
            return dict.fromkeys(monitors_for(self.task)) | self._followed(None)
        metrics: dict[str, float | None] | StopReason = {}
        if self.processes.is_rank_zero:
            try:
                metrics = self._validate_here(stop)
            except TrainingStopped as stopped:
                metrics = stopped.reason
        metrics = self.processes.broadcast(metrics)
        if isinstance(metrics, StopReason):
            raise TrainingStopped(metrics)
        self.optimization.take_metric(metrics[settings.monitor])
        self.early_stopping.take(metrics[settings.monitor])
        return metrics

    def _validate_here(self, stop: Stop) -> dict[str, float | None]:
        """Validate with the averaged weights where there are such, and keep the weights of the best epoch."""
        # With several processes the bare model: DDP's wrapper would wait for the others.
        model = self.optimization.model if self.processes.world_size == 1 else self.module
        with self.optimization.averaged(), self.fabric.autocast():
            metrics, predicted, maps = validate(
                model, self.loss, self.data.val, task=self.task, settings=self.settings, stop=stop
            )
            self.best.take(self.at.epoch, metrics, self.module)
            if self.epoch_weights is not None:
                self.epoch_weights.save(self.at.epoch, self.module)
        if self.followed_maps is not None and maps is not None:
            self.followed_maps.draw(self.at.epoch, metrics, maps)
        return metrics | self._followed(predicted)

    def _followed(self, predicted: Any) -> EpochRow:
        n_clips = self.settings.live_examples
        return followed_predictions(self.data.val.targets, predicted, self.task.targets, n_clips) if n_clips else {}

    def _save(self, session: Session) -> Checkpoint:
        session.progress.report("saving", epoch=self.at.epoch, batch=self.at.batch)
        is_between_steps = self.at.batch % self.settings.accumulate_batches == 0
        of_process = {"generators": generator_state(self.fabric.device), "sums": self.sums.state_dict()}
        state = {
            "model": self.module.state_dict(),
            "optimization": self.optimization.state_dict(),
            "early_stopping": self.early_stopping.state_dict(),
            "history": self._rows,
            "best": self.best.row,
            "of_processes": self.processes.all_gather(of_process),
            "gradients": None
            if is_between_steps
            else {name: parameter.grad for name, parameter in self.module.named_parameters()},
        }
        checkpoint = Checkpoint(self.at, state, self.best.epoch, self.best.weights)
        session.save(checkpoint, self.optimization.n_steps)
        session.progress.tell("saved", epoch=self.at.epoch, batch=self.at.batch)
        return checkpoint

    def _resume(self, checkpoint: Checkpoint) -> None:
        state = checkpoint.state
        self.module.load_state_dict(state["model"])
        self.optimization.load_state_dict(state["optimization"])
        self.early_stopping.load_state_dict(state["early_stopping"])
        self.at = checkpoint.at
        self._rows = state["history"]
        self.best.row, self.best.weights = state["best"], checkpoint.best_weights
        of_process = state["of_processes"][self.processes.rank]
        self.sums.load_state_dict(of_process["sums"])
        self._layer_generators = of_process["generators"] if self.at.batch else None
        for name, parameter in self.module.named_parameters():
            gradient = None if state["gradients"] is None else state["gradients"][name]
            parameter.grad = None if gradient is None else gradient.to(parameter.device)
        for row in self._rows:
            log_row(row, self.settings, None)
        if self.at.epoch <= self.settings.epochs:
            logger.info(
                "resuming in epoch %d of %d, after batch %d", self.at.epoch, self.settings.epochs, self.at.batch
            )
