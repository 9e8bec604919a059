"""The training loop: each epoch is a pass over the batches, a validation, a checkpoint and a line in the log."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from auscult.augment import Draws, augment_spectrograms
from auscult.config.augment import AugmentSettings
from auscult.config.task import TaskSettings
from auscult.config.train import TrainSettings
from auscult.errors import ConfigError
from auscult.metrics.summary import validation_metrics
from auscult.models.classifier import Classifier
from auscult.models.saved import probabilities
from auscult.training.batches import ResidentBatches
from auscult.training.checkpoint import Checkpoint, CheckpointStore
from auscult.training.history import EpochRow, History, is_better
from auscult.training.losses import Loss
from auscult.training.optimizers import build_optimizer
from auscult.training.seeds import Purpose, derive_seed, sample_order

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """Examples of one side, in memory.

    Attributes:
        batches: Spectrograms and targets.
        targets: Shape [clip, target]: 1, 0 or NaN.
        ids: Columns `clip_id`, `recording_id`, `patient_id`, one row a clip.
    """

    batches: ResidentBatches
    targets: NDArray[np.float32]
    ids: pd.DataFrame


@dataclass
class _Best:
    row: EpochRow | None = None
    weights: dict[str, Tensor] = field(default_factory=dict)


class Trainer:
    """Trains one model. All that must outlive an interruption is in `_save` and `_resume`.

    Args:
        fabric: Device and precision.
        module: The network; it is moved to the device.
        loss: Of logits against targets.
        train: The training part.
        validation: The validation part.
        task: Gives the metrics.
        settings: Of this training.
        augment: What is done to training clips.
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
        augment: AugmentSettings,
    ) -> None:
        self.fabric = fabric
        self.module = module
        self.loss = loss
        self.train = train
        self.validation = validation
        self.task = task
        self.settings = settings
        self.augment = augment
        self._best = _Best()
        # Weights and maps with channels innermost: twice as fast on a CPU, and what tensor cores want.
        module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self._optimizer = build_optimizer(module.parameters(), settings.optimizer)
        self._model, self._stepper = fabric.setup(module, self._optimizer)

    def fit(self, store: CheckpointStore, run_dir: Path) -> Checkpoint:
        """Train the epochs that `store` does not hold yet.

        Args:
            store: Gives the last finished epoch and takes the next ones.
            run_dir: Where `metrics.jsonl` is kept and `history.csv` is written at the end.

        Returns:
            The last epoch's checkpoint, with the best weights.

        Raises:
            ConfigError: The loss left the finite numbers.
        """
        checkpoint = store.load()
        history = History(run_dir, [] if checkpoint is None else checkpoint.state["history"])
        if checkpoint is not None:
            self._resume(checkpoint)
            _LOG.info("going on after epoch %d of %d", checkpoint.epoch, self.settings.epochs)
        for epoch in range(len(history.rows) + 1, self.settings.epochs + 1):
            row = self._epoch(epoch)
            self._keep_if_best(row)
            checkpoint = self._save(store, [*history.rows, row])
            history.append(row)
            self._log(row)
        history.write_csv()
        if checkpoint is None:
            raise ValueError("a training has at least one epoch")
        return checkpoint

    def _epoch(self, epoch: int) -> EpochRow:
        start = time.perf_counter()
        self.train.batches.wait_s = 0.0
        # The generators of this epoch depend on (seed, epoch) alone, and the caller's stay as they were.
        with torch.random.fork_rng(devices=[self.fabric.device] if self.fabric.device.type == "cuda" else []):
            torch.manual_seed(derive_seed(self.settings.seed, Purpose.DROPOUT, epoch))
            train_loss = self._train_epoch(epoch)
        train_s = time.perf_counter() - start
        self._require_finite(train_loss, f"training loss of epoch {epoch}")
        metrics = self._validate()
        return {
            "epoch": epoch,
            "train/loss": train_loss,
            **metrics,
            "lr": self.settings.optimizer.lr,
            "epoch_s": time.perf_counter() - start,
            "data_wait_share": self.train.batches.wait_s / train_s,
            "samples_per_s": len(self.train.batches) / train_s,
        }

    def _train_epoch(self, epoch: int) -> float:
        self._model.train()
        order = sample_order(len(self.train.batches), self.settings.seed, epoch)
        # Summed on the device: asking for each batch's loss would make the device wait for the host.
        total = torch.zeros((), dtype=torch.float64, device=self.fabric.device)
        n_known = torch.zeros((), dtype=torch.int64, device=self.fabric.device)
        for batch in self.train.batches(order):
            self._stepper.zero_grad()
            # A clip's number, with seed and epoch, is all that its augmentation depends on: not its batch.
            draws = Draws(self.settings.seed, epoch, batch.clips)
            spectrograms = augment_spectrograms(batch.spectrograms, self.augment.spectrogram, draws)
            batch_loss = self.loss(self._model(spectrograms), batch.targets)
            self.fabric.backward(batch_loss.mean())
            self._stepper.step()
            total += batch_loss.total.detach()
            n_known += batch_loss.n_known
        return float(total / n_known)

    @torch.no_grad()
    def _validate(self) -> dict[str, float | None]:
        self._model.eval()
        part = self.validation
        in_order = np.arange(len(part.batches))
        logits = torch.cat([self._model(batch.spectrograms).float() for batch in part.batches(in_order)])
        loss = float(self.loss(logits, torch.from_numpy(part.targets).to(logits.device)).mean())
        answers = probabilities(logits, self.task.type)
        self._require_finite(answers.sum(), "answers to the validation part")
        return {"val/loss": loss, **validation_metrics(part.targets, answers, part.ids, self.task)}

    def _require_finite(self, value: float, what: str) -> None:
        if not math.isfinite(value):
            raise ConfigError(
                f"the {what} became {value}: lower train.optimizer.lr (found {self.settings.optimizer.lr:g}), "
                f"or train with precision 32 (found {self.settings.precision})"
            )

    def _keep_if_best(self, row: EpochRow) -> None:
        if is_better(row, self._best.row, self.settings.monitor, self.settings.mode):
            weights = {name: tensor.detach().cpu().clone() for name, tensor in self.module.state_dict().items()}
            self._best = _Best(row, weights)

    def _save(self, store: CheckpointStore, rows: list[EpochRow]) -> Checkpoint:
        state = {
            "history": rows,
            "model": self.module.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
        }
        best_epoch = None if self._best.row is None else self._best.row["epoch"]
        checkpoint = Checkpoint(rows[-1]["epoch"], state, best_epoch, self._best.weights)
        store.save(checkpoint)
        return checkpoint

    def _resume(self, checkpoint: Checkpoint) -> None:
        self.module.load_state_dict(checkpoint.state["model"])
        self._optimizer.load_state_dict(checkpoint.state["optimizer"])
        self.fabric.strategy.precision.load_state_dict(checkpoint.state["precision"])
        if checkpoint.best_epoch is not None:
            self._best = _Best(checkpoint.state["history"][checkpoint.best_epoch - 1], checkpoint.best_weights)

    def _log(self, row: EpochRow) -> None:
        values = {key: value for key, value in row.items() if key.startswith(("train/", "val/"))}
        shown = ", ".join(f"{key} {'undefined' if value is None else f'{value:.4f}'}" for key, value in values.items())
        best_row = self._best.row
        best = "none yet" if best_row is None else f"{best_row['epoch']} ({best_row[self.settings.monitor]:.4f})"
        _LOG.info(
            "epoch %d/%d: %s; best epoch %s; %.1f s, %.0f samples/s, %.1f%% waiting for data",
            row["epoch"],
            self.settings.epochs,
            shown,
            best,
            row["epoch_s"],
            row["samples_per_s"],
            100 * row["data_wait_share"],
        )
