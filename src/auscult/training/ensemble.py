"""Trained models averaged into one, its operating point chosen on the validation sets of its members.

Members that share a validation set are averaged on it. Where each part of the patients was validation in turn, every
patient is judged by the members that did not train on them: no operating point rests on what was learned by heart.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from auscult.config.experiment import JobSettings
from auscult.config.task import TaskSettings
from auscult.errors import DataError
from auscult.metrics.summary import validation_metrics
from auscult.models import SavedModel, average_models, load_model, save_model
from auscult.models.ensemble import mean_logits
from auscult.models.operating_point import choose_operating_point, with_operating_point
from auscult.models.saved import probabilities
from auscult.storage.tables import read_split
from auscult.training.dataset import ID_COLUMNS, ClipDataset, load_clip_dataset, training_subsets
from auscult.training.distributed import choose_accelerator
from auscult.training.export import logits_of, remove_epoch_weights
from auscult.training.history import EpochRow, History
from auscult.training.losses import build_loss

logger = logging.getLogger(__name__)


class _Member(NamedTuple):
    name: str
    model: SavedModel
    split: Path


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
    member_splits: Sequence[Path] = (),
    device: str = "auto",
) -> None:
    """Average trained models and write what a training writes; the history has one row, that of the ensemble.

    Args:
        folders: Of the trained members.
        features: Dataset -> its feature stores, in order.
        tables: Dataset -> folder of tables.
        split: The split table of the ensemble: that of all members, or one without validation whose patients were
            validation of one member after the other.
        clips: Dataset -> the clip stores behind its feature stores, for members that take waveforms.
        job: Gives the rules of the operating point.
        task: What is predicted.
        output_dir: The run folder.
        member_splits: The split table of each member, where they differ.
        device: `auto` (a GPU where there is one), `cpu` or `cuda`.

    Raises:
        ConfigError: The device is not there.
        DataError: A member is missing, differs from the others, or was trained by another split.
    """
    is_out_of_fold = job.split.val_fold is not None
    models = [load_model(folder, choose_accelerator(device)) for folder in folders]
    names = ["/".join(folder.parts[-2:]) for folder in folders]
    tables_of_members = list(member_splits) if is_out_of_fold else [split] * len(models)
    members = [_Member(*each) for each in zip(names, models, tables_of_members, strict=True)]
    for member in members:
        _require_split(member, job)
    dataset = load_clip_dataset(features, tables, split, task, training_subsets(job.split), clips=clips)
    ensemble = average_models(models, names, {"best_epoch": 1})
    if is_out_of_fold:
        val, logits = _out_of_fold(members, dataset, is_exclusive=task.type == "multi_class")
    else:
        val = dataset.subset("val")
        logits = logits_of(ensemble, dataset, val)
    ids, targets = dataset.clips.loc[val, ID_COLUMNS], dataset.targets[val]
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
    chosen_on = "out_of_fold" if is_out_of_fold else "val"
    if job.split.calibration_fraction > 0:
        chosen_on, rows = "calibration", dataset.subset("calibration")
        about["n_calibration"] = len(rows)
        logits, targets = logits_of(ensemble, dataset, rows), dataset.targets[rows]
        ids = dataset.clips.loc[rows, ID_COLUMNS]
    point = choose_operating_point(logits, targets, ids, task, job.evaluate, chosen_on=chosen_on)
    for note in point["threshold_notes"]:
        logger.warning("operating point: %s", note)
    history = History(output_dir, [row])
    history.write_csv()
    remove_epoch_weights(output_dir)
    save_model(
        output_dir,
        replace(ensemble, meta=with_operating_point({**ensemble.meta, "training": about, "epochs": []}, point)),
    )
    logger.info(
        "the mean of %d trainings (%s): %s %s on %d clips of validation%s",
        len(models),
        ", ".join(names),
        job.train.monitor,
        row[job.train.monitor],
        len(val),
        ", each judged by the trainings that did not learn from its patient" if is_out_of_fold else "",
    )


def _require_split(member: _Member, job: JobSettings) -> None:
    """Refuse a member of another split.

    Raises:
        DataError: It was trained by another one.
    """
    found, wanted = dict(member.model.meta["training"]["split"]), job.split.model_dump(mode="json")
    if job.split.val_fold is not None:
        found["val_fold"] = {**(found.get("val_fold") or {}), "fold": None}
    if found != wanted:
        raise DataError(f"{member.name} was trained by another split than its ensemble; train it again")


def _out_of_fold(
    members: Sequence[_Member], dataset: ClipDataset, *, is_exclusive: bool
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Judge every clip by the members of which it is validation.

    Args:
        members: Each with its split table; those of one part of the patients (seeds) are averaged.
        dataset: Of the patients outside the test set.
        is_exclusive: Of a multi-class task.

    Returns:
        The clips that are validation of some members, shape [clip] in ascending order, and their logits,
        [clip, target]. Clips of patients who also stand in test are validation of none.

    Raises:
        DataError: A member has no such clip, or one is validation in two parts.
    """
    recordings = dataset.clips["recording_id"].to_numpy(dtype=object)
    logits = np.zeros((len(dataset), dataset.targets.shape[1]), dtype=np.float32)
    judged = np.zeros(len(dataset), dtype=bool)
    by_fold: dict[int, list[_Member]] = {}
    for member in members:
        by_fold.setdefault(int(member.model.meta["training"]["split"]["val_fold"]["fold"]), []).append(member)
    for of_fold in by_fold.values():
        names = ", ".join(member.name for member in of_fold)
        path = of_fold[0].split
        table = read_split(path)
        rows = np.flatnonzero(np.isin(recordings, table.loc[table["split"] == "val", "recording_id"].tolist()))
        if not len(rows):
            raise DataError(f"{path}: no clip of its validation set takes part, so nothing judges {names}")
        if judged[rows].any():
            n_again = len(np.unique(recordings[rows[judged[rows]]]))
            raise DataError(
                f"{path}: {n_again} recordings of its validation set are validation of other members too; expected "
                f"parts that share none; make the splits of {names} again"
            )
        found = np.stack([logits_of(member.model, dataset, rows) for member in of_fold])
        logits[rows] = mean_logits(torch.from_numpy(found), is_exclusive=is_exclusive).numpy()
        judged[rows] = True
    chosen = np.flatnonzero(judged)
    return chosen, logits[chosen]
