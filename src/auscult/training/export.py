"""The trained model as it is saved: in its best epoch, with thresholds chosen on validation; weights of every epoch."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import nn

from auscult.config.experiment import JobSettings
from auscult.config.task import TaskSettings
from auscult.errors import DataError, InfeasibleError
from auscult.metrics.event_decoding import choose_decoding, over_bands
from auscult.metrics.objects import choose_object_decoding
from auscult.models import FullScale, Normalisation, SavedModel, describe_model
from auscult.models.operating_point import choose_operating_point, with_operating_point
from auscult.storage.files import atomic_path, sha256_file
from auscult.training.batches import Subset
from auscult.training.checkpoint import Checkpoint
from auscult.training.dataset import ID_COLUMNS, ClipDataset
from auscult.training.history import EpochRow
from auscult.training.validation import definable_metrics

if TYPE_CHECKING:
    from auscult.training.loop import Trainer

logger = logging.getLogger(__name__)

EPOCHS_FOLDER = "epochs"


def export_model(
    trainer: Trainer,
    normalisation: Normalisation | FullScale,
    checkpoint: Checkpoint,
    job: JobSettings,
    input_shape: tuple[int, ...],
    *,
    calibration: ClipDataset | None = None,
) -> SavedModel:
    """Return the model in its best epoch, with thresholds chosen on its predictions for the validation subset.

    Args:
        trainer: Of the finished training.
        normalisation: Of the model's inputs.
        checkpoint: The last one.
        job: What was trained.
        input_shape: Mel bands and frames; of pictures channels, height and width.
        calibration: The calibration subset, whose clips take the place of those of validation where a split has one.
    """
    task, val = trainer.task, trainer.data.val
    rows = checkpoint.state["history"]
    training = {
        "best_epoch": checkpoint.best_epoch,
        "monitor": job.train.monitor,
        "at_best_epoch": next(row for row in rows if row["epoch"] == checkpoint.best_epoch),
        "n_train": len(trainer.data.train),
        "n_val": len(val),
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
    if calibration is None:
        logits = np.concatenate(list(_logits(model, val)))
        operating_point = choose_operating_point(logits, val.targets, val.ids, task, job.evaluate)
    else:
        training["n_calibration"] = len(calibration)
        operating_point = choose_operating_point(
            logits_of(model, calibration, np.arange(len(calibration))),
            calibration.targets,
            calibration.clips.loc[:, ID_COLUMNS],
            task,
            job.evaluate,
            chosen_on="calibration",
        )
    for note in operating_point["threshold_notes"]:
        logger.warning("operating point: %s", note)
    described = {**with_operating_point(meta, operating_point), **_decoding(model, val, task)}
    return SavedModel(trainer.module, normalisation, described)


def _decoding(model: SavedModel, val: Subset, task: TaskSettings) -> dict[str, Any]:
    """Return how events or objects are read from the maps of a model that finds them, chosen on validation.

    Returns:
        `event_decoding` (kind -> `config.events.KindDecoding`), `event_decoding_f1` (kind -> what it reaches on
        validation; None where that holds no event of the kind) and `event_decoding_notes`; or of objects
        `object_decoding` (`config.objects.ObjectDecoding`), `object_decoding_f1` and `object_decoding_notes`; nothing
        for other tasks.
    """
    if val.maps is None:
        return {}
    if val.objects is not None:
        maps = np.concatenate([model.maps(block) for block in val.batches.stored()])
        best = choose_object_decoding(maps, val.maps, val.objects.labels, task.object_settings.match_iou)
        if best.note:
            logger.warning("decoding of objects: %s", best.note)
        return {
            "object_decoding": best.decoding.model_dump(mode="json"),
            "object_decoding_f1": best.f1,
            "object_decoding_notes": [best.note] if best.note else [],
        }
    if val.events is None:
        raise ValueError("there are maps, and neither events nor objects")
    along_time = np.concatenate([over_bands(model.maps(block)) for block in val.batches.stored()])
    chosen = choose_decoding(val.events.lay_out(along_time), val.events.truth, task.event_settings.collars)
    notes = [one.note for one in chosen.values() if one.note]
    for note in notes:
        logger.warning("decoding of events: %s", note)
    return {
        "event_decoding": {name: one.decoding.model_dump(mode="json") for name, one in chosen.items()},
        "event_decoding_f1": {name: one.f1 for name, one in chosen.items()},
        "event_decoding_notes": notes,
    }


def _logits(model: SavedModel, subset: Subset) -> Iterator[NDArray[np.float32]]:
    for block in subset.batches.stored():
        yield model.logits(block)


def logits_of(model: SavedModel, dataset: ClipDataset, rows: NDArray[np.integer]) -> NDArray[np.float32]:
    """Return the logits of some clips of a dataset, shape [clip, target], read in blocks."""
    return np.concatenate([model.logits(block) for block in dataset.blocks(model.takes, rows)])


def require_best_epoch(checkpoint: Checkpoint, job: JobSettings, task: TaskSettings, val: Subset) -> None:
    """Refuse a training in which the monitored metric was never defined.

    Raises:
        InfeasibleError: The error says what the validation subset holds.
    """
    if checkpoint.best_epoch is None:
        when = f"was defined in none of {job.train.epochs} epochs, so none is the best"
        raise InfeasibleError(_undefined(when, job, task, val))


def require_defined_monitor(job: JobSettings, task: TaskSettings, val: Subset) -> None:
    """Refuse, before the first epoch, a validation subset on which the monitored metric is undefined in any case.

    Scores of events and objects are seen after an epoch only.

    Raises:
        InfeasibleError: The error says what the validation subset holds.
    """
    if job.train.monitor not in definable_metrics(val, task, job.train):
        raise InfeasibleError(_undefined("is undefined there, whatever is predicted", job, task, val))


def _undefined(when: str, job: JobSettings, task: TaskSettings, val: Subset) -> str:
    n_positive = (val.targets == 1).sum(axis=0).tolist()
    n_negative = (val.targets == 0).sum(axis=0).tolist()
    counts = {
        name: f"{positive} positive, {negative} negative clips"
        for name, positive, negative in zip(task.targets, n_positive, n_negative, strict=True)
    }
    return (
        f"train.monitor {job.train.monitor} {when}: the validation subset holds {counts} of "
        f"{val.ids['patient_id'].nunique()} patients; take another split or monitor val/loss (with mode: min)"
    )


class EpochWeights:
    """The weights after each validated epoch, for `evaluate.best_on_test`: `epoch-012.safetensors`.

    They lie beside the state of the training and survive an interruption like it. An epoch that is trained again is
    written again, with equal bytes.

    Args:
        folder: Where to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, epoch: int, module: nn.Module) -> None:
        """Save the weights after `epoch`."""
        weights = {
            name: tensor.detach().cpu().contiguous(memory_format=torch.contiguous_format)
            for name, tensor in module.state_dict().items()
        }
        with atomic_path(self._folder / _file_name(epoch)) as temporary:
            safetensors.torch.save_file(weights, temporary)

    def publish(self, run_dir: Path, rows: list[EpochRow], monitor: str) -> list[dict[str, Any]]:
        """Put the weights of the epochs that were validated into `epochs/` of the run.

        Args:
            run_dir: The run folder, without `epochs/`.
            rows: The history.
            monitor: The metric whose presence says that an epoch was validated.

        Returns:
            `epoch`, `file` (below the run folder), `sha256` and `val` (the monitored metric) of each, for `model.json`.

        Raises:
            DataError: The weights of an epoch are missing.
        """
        target = run_dir / EPOCHS_FOLDER
        target.mkdir(parents=True)
        entries: list[dict[str, Any]] = []
        for row in rows:
            if row[monitor] is None:
                continue
            name = _file_name(int(row["epoch"]))
            digest = _link(self._folder / name, target / name)
            entries.append(
                {"epoch": row["epoch"], "file": f"{EPOCHS_FOLDER}/{name}", "sha256": digest, "val": row[monitor]}
            )
        return entries


def remove_epoch_weights(run_dir: Path) -> None:
    """Remove what an earlier training put into `epochs/` of the run."""
    shutil.rmtree(run_dir / EPOCHS_FOLDER, ignore_errors=True)


def _link(source: Path, target: Path) -> str:
    """Link a file, or copy it, and return its SHA-256."""
    if not source.is_file():
        raise DataError(f"{source}: no such file; start over with the same command and `--config fresh=true`")
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copyfile(source, target)
    return sha256_file(source)


def _file_name(epoch: int) -> str:
    return f"epoch-{epoch:03d}.safetensors"
