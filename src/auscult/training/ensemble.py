"""Trained models averaged into one, its operating point chosen on the validation set that all of them share."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from auscult.config.experiment import JobSettings
from auscult.config.task import TaskSettings
from auscult.errors import DataError
from auscult.metrics.summary import validation_metrics
from auscult.models import SavedModel, average_models, load_model, save_model
from auscult.models.operating_point import choose_operating_point
from auscult.models.saved import probabilities
from auscult.training.dataset import ID_COLUMNS, ClipDataset, load_clip_dataset
from auscult.training.distributed import choose_accelerator
from auscult.training.export import remove_epoch_weights
from auscult.training.history import EpochRow, History
from auscult.training.losses import build_loss

logger = logging.getLogger(__name__)

_CLIPS_AT_ONCE = 1024


def average(
    folders: Sequence[Path],
    features: Mapping[str, Sequence[Path]],
    tables: Mapping[str, Path],
    split: Path,
    clips: Mapping[str, Sequence[Path]] | None,
    *,
    job: JobSettings,
    task: TaskSettings,
    output_dir: Path,
    device: str = "auto",
) -> None:
    """Average trained models and write what a training writes; the history has one row, that of the ensemble.

    Args:
        folders: Of the trained members.
        features: Dataset -> its feature stores, in order.
        tables: Dataset -> folder of tables.
        split: The split table that all members were trained by.
        clips: Dataset -> the clip stores behind its feature stores, for members that take waveforms.
        job: Gives the rules of the operating point.
        task: What is predicted.
        output_dir: The run folder.
        device: `auto` (a GPU where there is one), `cpu` or `cuda`.

    Raises:
        ConfigError: The device is not there.
        DataError: A member is missing, differs from the others, or was trained by another split.
    """
    models = [load_model(folder, choose_accelerator(device)) for folder in folders]
    names = ["/".join(folder.parts[-2:]) for folder in folders]
    for name, model in zip(names, models, strict=True):
        if model.meta["training"]["split"] != job.split.model_dump(mode="json"):
            raise DataError(f"{name} was trained by another split than its ensemble; train it again")
    dataset = load_clip_dataset(features, tables, split, task, ("train", "val"), clips=clips)
    val = dataset.subset("val")
    ids, targets = dataset.clips.loc[val, ID_COLUMNS], dataset.targets[val]
    ensemble = average_models(models, names, {"best_epoch": 1})
    logits = _logits(ensemble, dataset, val)
    loss = build_loss(dataset.targets[dataset.subset("train")], task, job.train.loss, torch.device("cpu"))
    found = loss(torch.from_numpy(logits), torch.from_numpy(targets))
    row: EpochRow = {
        "epoch": 1,
        "val/loss": float(found.mean()) if found.n_known else None,
        **validation_metrics(targets, probabilities(torch.from_numpy(logits), task.type), ids, task),
    }
    about = {
        "best_epoch": 1,
        "monitor": job.train.monitor,
        "at_best_epoch": row,
        "n_train": len(dataset.subset("train")),
        "n_val": len(val),
        "settings": job.train.model_dump(mode="json"),
        "split": job.split.model_dump(mode="json"),
    }
    point = choose_operating_point(logits, targets, ids, task, job.evaluate)
    for note in point["threshold_notes"]:
        logger.warning("operating point: %s", note)
    history = History(output_dir, [row])
    history.write_csv()
    remove_epoch_weights(output_dir)
    save_model(output_dir, replace(ensemble, meta={**ensemble.meta, "training": about, **point, "epochs": []}))
    logger.info(
        "the mean of %d trainings (%s): %s %s on %d clips of validation",
        len(models),
        ", ".join(names),
        job.train.monitor,
        row[job.train.monitor],
        len(val),
    )


def _logits(model: SavedModel, dataset: ClipDataset, rows: NDArray[np.integer]) -> NDArray[np.float32]:
    blocks = [rows[start : start + _CLIPS_AT_ONCE] for start in range(0, len(rows), _CLIPS_AT_ONCE)]
    return np.concatenate([model.logits(dataset.stored(model.takes, block)) for block in blocks])
