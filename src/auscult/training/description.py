"""The trained model as it is saved: in its best epoch, with thresholds chosen on validation."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from auscult.config.experiment import JobSettings
from auscult.config.task import TaskSettings
from auscult.errors import InfeasibleError
from auscult.metrics.thresholds import thresholds_for_task
from auscult.models import Normalisation, SavedModel, describe_model
from auscult.training.checkpoint import Checkpoint
from auscult.training.loop import Trainer
from auscult.training.validation import Part

_LOG = logging.getLogger(__name__)


def describe_trained(
    trainer: Trainer, normalisation: Normalisation, checkpoint: Checkpoint, job: JobSettings
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
        input_shape=val.batches.shape,
        training=training,
    )
    model = SavedModel(trainer.module.eval(), normalisation, meta)
    answers = np.concatenate(list(_answers(model, val)))
    chosen = thresholds_for_task(val.targets, answers, val.ids, task, job.evaluate.threshold)
    for note in chosen.notes:
        _LOG.warning("threshold: %s", note)
    # A multi-class task has none: the most probable class is the answer.
    thresholds = dict(zip(task.targets, chosen.values, strict=True)) if chosen.values else {}
    extra = {"thresholds": thresholds, "threshold_rule": job.evaluate.threshold, "threshold_notes": list(chosen.notes)}
    return SavedModel(model.module, normalisation, {**meta, **extra})


def _answers(model: SavedModel, part: Part) -> Iterator[NDArray[np.float64]]:
    for block in part.batches.decibels():
        yield model.predict_proba(block)


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
