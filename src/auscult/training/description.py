"""The trained model as it is saved: in its best epoch, with thresholds chosen on validation."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from auscult.config.experiment import JobSettings
from auscult.config.task import TaskSettings
from auscult.errors import InfeasibleError
from auscult.models import FullScale, Normalisation, SavedModel, describe_model
from auscult.operating_point import choose_operating_point
from auscult.training.checkpoint import Checkpoint
from auscult.training.loop import Trainer
from auscult.training.validation import Part

_LOG = logging.getLogger(__name__)


def describe_trained(
    trainer: Trainer,
    normalisation: Normalisation | FullScale,
    checkpoint: Checkpoint,
    job: JobSettings,
    input_shape: tuple[int, int],
) -> SavedModel:
    """Return the model in its best epoch, with thresholds chosen on what it answers to the validation part."""
    task, val = trainer.task, trainer.validation
    rows = checkpoint.state["history"]
    training = {
        "best_epoch": checkpoint.best_epoch,
        "monitor": job.train.monitor,
        "at_best_epoch": next(row for row in rows if row["epoch"] == checkpoint.best_epoch),
        "n_train": len(trainer.train.batches),
        "n_val": len(val.batches),
        "settings": job.train.model_dump(mode="json"),
        "split": job.split.model_dump(mode="json"),
    }
    meta = describe_model(
        trainer.module,
        normalisation=normalisation,
        job=job,
        task=task,
        input_shape=input_shape,
        training=training,
    )
    model = SavedModel(trainer.module.eval(), normalisation, meta)
    logits = np.concatenate(list(_logits(model, val)))
    frozen = choose_operating_point(logits, val.targets, val.ids, task, job.evaluate)
    for note in frozen["threshold_notes"]:
        _LOG.warning("operating point: %s", note)
    return SavedModel(model.module, normalisation, {**meta, **frozen})


def _logits(model: SavedModel, part: Part) -> Iterator[NDArray[np.float32]]:
    for block in part.batches.stored():
        yield model.logits(block)


def require_best(checkpoint: Checkpoint, job: JobSettings, task: TaskSettings, val: Part) -> None:
    """Refuse a training in which no epoch was the best.

    Raises:
        InfeasibleError: With what the validation part holds.
    """
    if checkpoint.best_epoch is None:
        n_positive = (val.targets == 1).sum(axis=0).tolist()
        n_negative = (val.targets == 0).sum(axis=0).tolist()
        counts = {
            name: f"{positive} positive, {negative} negative clips"
            for name, positive, negative in zip(task.targets, n_positive, n_negative, strict=True)
        }
        raise InfeasibleError(
            f"train.monitor {job.train.monitor} was defined in none of {job.train.epochs} epochs, so none is the best: "
            f"the validation part holds {counts} of {val.ids['patient_id'].nunique()} patients; take another split or "
            "monitor val/loss (with mode: min)"
        )
