"""The training loop: each epoch is a pass over the batches, a validation, a save and a line in the log.

It may be left after any batch and gone on with later, bit for bit: everything that must outlive an interruption is
listed in `Trainer._stateful`, or said in `_save` and `_resume`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray

from auscult.config.task import TaskSettings
from auscult.config.train import TrainSettings, monitors_for
from auscult.models.classifier import Classifier
from auscult.training.attempt import Attempt
from auscult.training.augmentation import TrainingAugmentation
from auscult.training.best import Best
from auscult.training.checkpoint import Checkpoint, Position
from auscult.training.early_stopping import EarlyStopping
from auscult.training.ema import Ema
from auscult.training.epoch_sums import EpochSums
from auscult.training.freezing import Freezing
from auscult.training.generators import generator_state, kept_generators, seed_generators, set_generator_state
from auscult.training.history import EpochRow, History, log_row
from auscult.training.kept_epochs import KeptEpochs
from auscult.training.live_logs import rates_of, start_live_logs
from auscult.training.losses import Loss
from auscult.training.optimizers import build_optimizer
from auscult.training.orders import Plan, answer_groups, epoch_plan
from auscult.training.profiling import profiled
from auscult.training.progress import Progress
from auscult.training.schedules import Schedules
from auscult.training.seeds import Purpose, derive_seed
from auscult.training.stepper import Stepper
from auscult.training.stop import Stop, StopReason, TrainingStopped
from auscult.training.team import Team
from auscult.training.validation import Part, require_finite, validate

_LOG = logging.getLogger(__name__)


class Trainer:
    """Trains one model.

    Args:
        fabric: Device and precision.
        module: The network; it is moved to the device.
        loss: Of logits against targets.
        train: The training part.
        validation: The validation part.
        task: Gives the metrics.
        settings: Of this training.
        augmentation: From what is read of a training batch to logits.
        window: Of the order in which examples are visited, where they are streamed.

    Attributes:
        sums: Loss and times of the epoch so far.
        kept_epochs: Takes the weights after each validation; keeps none unless it is replaced.
    """

    def __init__(
        self,
        fabric: Fabric,
        module: Classifier,
        loss: Loss,
        *,
        train: Part,
        validation: Part,
        task: TaskSettings,
        settings: TrainSettings,
        augmentation: TrainingAugmentation,
        window: int | None = None,
    ) -> None:
        self.fabric = fabric
        self.module = module
        self.loss = loss
        self.train = train
        self.validation = validation
        self.task = task
        self.settings = settings
        if settings.channels_last:
            # Weights and maps with channels innermost: twice as fast on a CPU, and what tensor cores want.
            module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self._freezing = Freezing(module, settings)
        self._freezing.apply(epoch=1)
        optimizer = build_optimizer(module, settings.optimizer)
        compiled: Any = _compiled(module) if settings.compile else module
        self._model, stepped = fabric.setup(compiled, optimizer)
        self.team = Team(fabric)
        self._augmentation = augmentation
        self._window = window
        self._balance = answer_groups(train.targets) if settings.sampler == "balanced" else None
        self._schedules = Schedules(
            settings.schedules,
            settings.schedules_apply,
            optimizer,
            steps_per_epoch=-(-len(self._plan(1)) // settings.accumulate_batches),
            epochs=settings.epochs,
            mode=settings.mode,
        )
        self._ema = None if settings.ema is None else Ema(module, settings.ema)
        self._optimizer = optimizer
        self._stepper = Stepper(
            fabric,
            self._model,
            stepped,
            loss,
            augmentation=augmentation,
            settings=settings,
            schedules=self._schedules,
            ema=self._ema,
        )
        self._early_stopping = EarlyStopping(settings.early_stopping, settings.mode)
        self.sums = EpochSums(fabric.device)
        self._best = Best(settings)
        self.kept_epochs = KeptEpochs(None)
        self._at = Position(1, 0)
        self._generators: dict[str, Any] | None = None
        self._rows: list[EpochRow] = []
        self._answers: NDArray[np.float64] | None = None
        self._after_batch: Callable[[], None] = lambda: None

    def fit(self, run_dir: Path, attempt: Attempt) -> Checkpoint:
        """Train what was not saved yet.

        Args:
            run_dir: Where `metrics.jsonl` is kept and `history.csv` is written at the end.
            attempt: Gives the last save and takes the next ones; asked between batches whether to leave.

        Returns:
            The last checkpoint, with the best weights.

        Raises:
            ConfigError: The loss left the finite numbers.
            TrainingStopped: It was asked to leave; the state is saved.
        """
        checkpoint = attempt.load()
        if checkpoint is not None:
            self._resume(checkpoint)
        history = History(run_dir if self.team.is_first else None, self._rows)
        self._rows, progress = history.rows, attempt.progress
        progress.say("training", epochs=self.settings.epochs, monitor=self.settings.monitor, epoch=self._at.epoch)
        device, n_profiled = self.fabric.device, self.settings.debug.profile_batches
        folder = run_dir if self.team.is_first else None
        logs = start_live_logs(folder, self._rows, self.module, self.validation, task=self.task, settings=self.settings)
        with (
            closing(logs),
            attempt.stop.deferred(),
            kept_generators(device),
            profiled(run_dir, n_profiled if self.team.is_first else 0, device) as self._after_batch,
        ):
            while self._at.epoch <= self.settings.epochs and not self._early_stopping.is_over:
                row = self._epoch(attempt)
                is_last = self._at.epoch > self.settings.epochs or self._early_stopping.is_over
                history.append(row)
                logs.write(row, rates_of(self._optimizer), self._answers)
                reason, is_save_due = attempt.asks(self._stepper.n_steps, epoch_done=row["epoch"])
                if is_last or reason or is_save_due:
                    checkpoint = self._save(attempt)
                log_row(row, self.settings, self._best.row)
                progress.say("training", **{key: row[key] for key in row if key.startswith(("train/", "val/"))})
                if reason and not is_last:
                    raise TrainingStopped(reason)
        if self._early_stopping.is_over:
            _LOG.info("%s brought no gain any more: stopped after epoch %d", self.settings.monitor, len(self._rows))
        self._freezing.end()
        history.write_csv()
        if checkpoint is None:
            raise ValueError("a training has at least one epoch")
        return checkpoint

    def _epoch(self, attempt: Attempt) -> EpochRow:
        """Train and validate from where the state stands to the epoch's end; the state then stands at the next."""
        epoch = self._at.epoch
        try:
            if self._generators is None:
                seed = derive_seed(self.settings.seed, Purpose.DROPOUT, epoch) + self.team.rank
                seed_generators(seed, self.fabric.device)
            else:
                set_generator_state(self._generators, self.fabric.device)
                self._generators = None
            for _ in self._train_batches(attempt.progress):
                self._after_batch()
                if self.team.size > 1 and self._at.batch % self.settings.accumulate_batches:
                    continue  # each process holds gradients of its own: nothing to save now
                reason, is_save_due = attempt.asks(self._stepper.n_steps)
                if reason:
                    raise TrainingStopped(reason)
                if is_save_due:
                    self._save(attempt)
            sums = self.sums.together(self.team)
            train_loss = sums.mean_loss()
            require_finite(train_loss, f"training loss of epoch {epoch}", self.settings)
            attempt.progress.values["train/loss"] = train_loss
            attempt.progress.say("validating")
            start = time.perf_counter()
            metrics = self._evaluate(attempt.stop)
        except TrainingStopped as stopped:
            self._save(attempt)
            _LOG.warning("%s: saved in epoch %d after batch %d; run again to go on", stopped, epoch, self._at.batch)
            raise
        row: EpochRow = {
            "epoch": epoch,
            "train/loss": train_loss,
            **metrics,
            "lr": float(self._optimizer.param_groups[-1]["lr"]),
            "epoch_s": sums.train_s + time.perf_counter() - start,
            "data_wait_share": sums.wait_s / max(sums.train_s, 1e-9),
            "samples_per_s": sums.n_clips / max(sums.train_s, 1e-9),
        }
        self.sums = EpochSums(self.fabric.device)
        self._at = Position(epoch + 1, 0)
        return row

    def train_epoch(self, progress: Progress) -> None:
        """Train one epoch and nothing else: no validation, no save, no line in the log."""
        for _ in self._train_batches(progress):
            pass
        self._at = Position(self._at.epoch + 1, 0)

    def _train_batches(self, progress: Progress) -> Any:
        """Train on the rest of the epoch's batches, and yield after each one, the state being that after it."""
        self._model.train()
        self._freezing.apply(self._at.epoch)
        epoch, plan = self._at.epoch, self._plan(self._at.epoch)
        batches = self.train.batches
        start_s, start_wait_s = time.perf_counter(), batches.wait_s
        before_s, before_wait_s = self.sums.train_s, self.sums.wait_s
        items = self._augmentation.items(epoch)
        rows = [items.rows(share) for share in self.team.share(plan)[self._at.batch :]]
        for of_batch, batch in zip(rows, batches([each.clips for each in rows]), strict=True):
            loss = self._stepper.train_batch(batch, of_batch, epoch=epoch, number=self._at.batch, plan=plan)
            self.sums.add(loss, len(of_batch.items))
            self._at = Position(epoch, self._at.batch + 1)
            self.sums.train_s = before_s + time.perf_counter() - start_s
            self.sums.wait_s = before_wait_s + batches.wait_s - start_wait_s
            progress.batch_done(
                {
                    "epoch": epoch,
                    "batch": self._at.batch,
                    "n_batches": len(plan),
                    "step": self._stepper.n_steps,
                    "data_wait_share": self.sums.wait_s / max(self.sums.train_s, 1e-9),
                },
                n_clips=len(of_batch.items),
                n_batches_left=(self.settings.epochs - epoch + 1) * len(plan) - self._at.batch,
                loss=self.sums.mean_loss,
            )
            yield

    def _evaluate(self, stop: Stop) -> dict[str, float | None]:
        """Validate where it is due; tell what listens to the metric, and keep the weights when they are the best."""
        epoch, settings = self._at.epoch, self.settings
        self._answers = None
        if epoch % settings.eval_every and epoch != settings.epochs:
            return dict.fromkeys(monitors_for(self.task))
        metrics: dict[str, float | None] | StopReason = {}
        if self.team.is_first:
            with nullcontext() if self._ema is None else self._ema.applied(), self.fabric.autocast():
                # The bare model: the wrapper of a team would talk to the others.
                model = self._model if self.team.size == 1 else self.module
                try:
                    metrics, self._answers = validate(
                        model, self.loss, self.validation, task=self.task, settings=settings, stop=stop
                    )
                    self._best.take(epoch, metrics, self.module)
                    self.kept_epochs.take(epoch, self.module)
                except TrainingStopped as stopped:
                    metrics = stopped.reason
        metrics = self.team.agree(metrics)
        if isinstance(metrics, StopReason):
            raise TrainingStopped(metrics)
        self._schedules.take_metric(metrics[settings.monitor], self._stepper.n_steps)
        self._early_stopping.take(metrics[settings.monitor])
        return metrics

    def _plan(self, epoch: int) -> Plan:
        settings = self.settings
        return epoch_plan(
            len(self.train.batches),
            settings.batch_size,
            seed=settings.seed,
            epoch=epoch,
            balance=self._balance,
            window=self._window,
            limit=settings.debug.limit_batches,
            n_added=self._augmentation.n_added,
        )

    def _stateful(self) -> dict[str, Any]:
        """Everything with a state of its own."""
        parts = {
            "model": self.module,
            "optimizer": self._optimizer,
            "precision": self.fabric.strategy.precision,
            "schedules": self._schedules,
            "early_stopping": self._early_stopping,
            "ema": self._ema,
        }
        return {name: part for name, part in parts.items() if part is not None}

    def _save(self, attempt: Attempt) -> Checkpoint:
        attempt.progress.say("saving", epoch=self._at.epoch, batch=self._at.batch)
        is_between_steps = self._at.batch % self.settings.accumulate_batches == 0
        own = {"generators": generator_state(self.fabric.device), "sums": self.sums.state_dict()}
        state = {name: part.state_dict() for name, part in self._stateful().items()} | {
            "n_steps": self._stepper.n_steps,
            "history": self._rows,
            "best": self._best.row,
            "of_processes": self.team.gathered(own),
            "gradients": None
            if is_between_steps
            else {name: parameter.grad for name, parameter in self.module.named_parameters()},
        }
        checkpoint = Checkpoint(self._at, state, self._best.epoch, self._best.weights)
        attempt.save(checkpoint, self._stepper.n_steps)
        return checkpoint

    def _resume(self, checkpoint: Checkpoint) -> None:
        state = checkpoint.state
        for name, part in self._stateful().items():
            part.load_state_dict(state[name])
        self._at = checkpoint.at
        self._stepper.n_steps = state["n_steps"]
        self._rows = state["history"]
        self._best.row, self._best.weights = state["best"], checkpoint.best_weights
        own = state["of_processes"][self.team.rank]
        self.sums.load_state_dict(own["sums"])
        self._generators = own["generators"] if checkpoint.at.batch else None
        for name, parameter in self.module.named_parameters():
            gradient = None if state["gradients"] is None else state["gradients"][name]
            parameter.grad = None if gradient is None else gradient.to(parameter.device)
        for row in self._rows:
            log_row(row, self.settings, None)
        if checkpoint.at.epoch <= self.settings.epochs:
            _LOG.info(
                "going on in epoch %d of %d, after batch %d",
                checkpoint.at.epoch,
                self.settings.epochs,
                checkpoint.at.batch,
            )


def _compiled(module: Classifier) -> Any:
    """Compile a model; one that makes its spectrograms itself is augmented between its parts, so they are compiled."""
    if not module.takes_waveforms:
        return torch.compile(module)
    module.backbone.compile()
    return module
