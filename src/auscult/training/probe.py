"""Probes: a classifier on the embeddings of a frozen encoder, its penalty or neighbours chosen on validation.

What is fitted becomes the head of the encoder, so that a probe is saved, evaluated, compared and used like any trained
model. A linear probe is a linear head: the standardisation of its features folds into weights and bias. A vote of
neighbours keeps the training clips' features (`models.neighbours`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from auscult.config.experiment import JobSettings
from auscult.config.flatten import differences
from auscult.config.model import HeadSettings
from auscult.config.probe import ProbeSettings
from auscult.config.task import TaskSettings
from auscult.config.train import TrainSettings
from auscult.errors import DataError, InfeasibleError
from auscult.metrics.summary import validation_metrics
from auscult.models import SavedModel, build_model_of, describe_model, load_model, save_model
from auscult.models.classifier import Classifier, Head
from auscult.models.ensemble import AsStored
from auscult.models.neighbours import NeighbourHead
from auscult.models.operating_point import ChosenOn, choose_operating_point, with_operating_point
from auscult.models.saved import datasets_seen, probabilities
from auscult.training.dataset import ID_COLUMNS, ClipDataset, load_clip_dataset, training_subsets
from auscult.training.export import remove_epoch_weights
from auscult.training.history import EpochRow, History
from auscult.training.losses import Loss, build_loss
from auscult.training.probe_heads import Candidate, Embedded, candidates
from auscult.training.sampler import Purpose, derive_seed
from auscult.training.validation import is_better

logger = logging.getLogger(__name__)

_MAX_DRAWS = 100
_OF_THE_CLASSIFIER = {"head", "dropout"}
"""Settings of a model that a probe replaces."""


class Choice(NamedTuple):
    """What validation chose.

    Attributes:
        best: The probe.
        row: Its metrics.
        rows: The metrics of all, in the order in which they were tried.
    """

    best: Candidate
    row: EpochRow
    rows: list[EpochRow]


def fit_probe(
    features: Mapping[str, Sequence[Path]],
    tables: Mapping[str, Path],
    split: Path,
    embeddings: Mapping[str, Sequence[Path]],
    *,
    job: JobSettings,
    task: TaskSettings,
    output_dir: Path,
) -> None:
    """Fit a probe and write what a training writes: the model, `history.csv` and `metrics.jsonl`, of one row each.

    Args:
        features: Dataset -> its feature stores, in order.
        tables: Dataset -> folder of tables.
        split: The split table.
        embeddings: Dataset -> the stores of its embeddings, in the same order.
        job: With a `probe`; its model, clips and spectrogram must be the encoder's.
        task: What is predicted.
        output_dir: The run folder.

    Raises:
        DataError: There is no such encoder, it differs from the job's settings, or the embeddings are not its own.
        InfeasibleError: A class is absent in training, or the monitored metric is undefined on validation.
    """
    if job.probe is None:
        raise ValueError("a job without a probe is trained")
    begin = time.perf_counter()
    folder = Path(job.probe.encoder)
    encoder = load_model(folder)
    _require_same_encoder(encoder, job, folder)
    chosen_on = "calibration" if job.split.calibration_fraction else "val"
    dataset = load_clip_dataset(features, tables, split, task, training_subsets(job.split), embeddings=embeddings)
    subsets = {name: _embedded(dataset, name, encoder, folder) for name in training_subsets(job.split)}
    drawn = draw_clips(subsets["train"], task, job.probe, job.train.seed)
    choice = choose(drawn, subsets["val"], encoder.classifier, job.probe, train=job.train, task=task)
    row: EpochRow = {"epoch": 1, **choice.row}
    model = _with_head(encoder, choice.best.head, job, task)
    model = _with_operating_point(model, subsets[chosen_on], job, task, chosen_on)
    about = {
        "best_epoch": 1,
        "monitor": job.train.monitor,
        "at_best_epoch": row,
        "n_train": len(drawn.targets),
        "n_val": len(subsets["val"].targets),
        **({"n_calibration": len(subsets["calibration"].targets)} if "calibration" in subsets else {}),
        "settings": job.train.model_dump(mode="json"),
        "split": job.split.model_dump(mode="json"),
        "probe": _describe_probe(job, job.probe, encoder.meta, choice),
    }
    model = replace(model, meta={**model.meta, "training": about})
    history = History(output_dir, [row])
    history.write_csv()
    remove_epoch_weights(output_dir)
    save_model(output_dir, model)
    logger.info(
        "%s probe on %d features of %s: %d clips to fit on, %d to choose on; %s of %s has the best %s, %.4f; %.1f s",
        job.probe.method,
        subsets["train"].embeddings.shape[1],
        folder,
        len(drawn.targets),
        len(subsets["val"].targets),
        f"{_named(job.probe)} {choice.best.value:g}",
        [each[_named(job.probe)] for each in choice.rows],
        job.train.monitor,
        choice.row[job.train.monitor],
        time.perf_counter() - begin,
    )


def _named(probe: ProbeSettings) -> str:
    return "penalty" if probe.method == "linear" else "neighbours"


def _require_same_encoder(encoder: SavedModel, job: JobSettings, folder: Path) -> None:
    asked = job.model_dump(mode="json", include={"model", "clips", "spectrogram"})
    stored = {"model": encoder.meta["architecture"], **{key: encoder.meta[key] for key in ("clips", "spectrogram")}}
    for settings in (asked, stored):
        settings["model"] = {key: value for key, value in settings["model"].items() if key not in _OF_THE_CLASSIFIER}
    changes = [str(found) for found in differences(stored, asked)]
    if changes:
        raise DataError(
            f"probe.encoder: the model in {folder} and this job differ (model -> job): {'; '.join(changes)}; "
            "give the job the model's settings, as they stand in its model.json (its head and dropout may differ)"
        )
    seen = sorted(_trained_on(encoder.meta) & set(job.datasets))
    if seen and not _has_same_split(encoder.meta, job):
        logger.warning(
            "the encoder in %s was trained on %s as well, by another split: patients of the test subset may be among "
            "its training patients",
            folder,
            ", ".join(seen),
        )


def _trained_on(meta: Mapping[str, Any]) -> set[str]:
    """Return the datasets that shaped an encoder's weights: none where published ones stayed frozen throughout."""
    settings = meta["training"].get("settings", {})
    pretrained = settings.get("pretrained") or {}
    frontend = meta["architecture"].get("frontend") or {"name": "published"}
    is_untouched = (
        settings.get("freeze") == "backbone"
        and settings.get("thaw_epoch") is None
        and frontend["name"] == "published"
        and any(pretrained.get(source) for source in ("published", "timm"))
    )
    return set() if is_untouched else datasets_seen(meta)


def _has_same_split(meta: Mapping[str, Any], job: JobSettings) -> bool:
    """Tell whether an encoder was trained with the job's split: then its test patients are the job's."""
    return (
        meta["task_name"] == job.task
        and datasets_seen(meta) == set(job.datasets)
        and meta["training"].get("split") == job.split.model_dump(mode="json")
    )


def _embedded(dataset: ClipDataset, subset: str, encoder: SavedModel, folder: Path) -> Embedded:
    indices = dataset.subset(subset)
    embeddings = dataset.embeddings(indices, encoder.meta["weights_sha256"])
    finite = np.isfinite(embeddings).all(axis=1)
    if not finite.all():
        clips = dataset.clips["clip_id"].iloc[indices[~finite]].tolist()
        raise DataError(
            f"{folder}: its embeddings of {len(clips)} clips are NaN or infinite, such as {clips[:3]}; "
            "this encoder cannot be probed on them"
        )
    return Embedded(embeddings, dataset.targets[indices], dataset.clips.loc[indices, ID_COLUMNS])


def draw_clips(train: Embedded, task: TaskSettings, probe: ProbeSettings, seed: int) -> Embedded:
    """Return the clips that a probe is fitted on.

    All training clips, or those of a bootstrap sample of patients, in which a patient may stand twice; a sample
    without a class is drawn again. A vote of neighbours keeps `max_clips` of them at most.

    Raises:
        InfeasibleError: A class is absent.
    """
    _require_classes(train.targets, task)
    generator = np.random.default_rng(derive_seed(seed, Purpose.PROBE))
    chosen = train
    if probe.resample == "patients":
        of_patients = list(train.ids.reset_index(drop=True).groupby("patient_id", sort=True).indices.values())
        for _ in range(_MAX_DRAWS):
            patients = generator.integers(len(of_patients), size=len(of_patients))
            chosen = train.take(np.concatenate([of_patients[patient] for patient in patients]))
            if not _lacking(chosen.targets, task):
                break
        _require_classes(chosen.targets, task)
    if probe.method == "knn" and len(chosen.targets) > probe.max_clips:
        logger.info("of %d training clips %d are kept as neighbours", len(chosen.targets), probe.max_clips)
        chosen = chosen.take(np.sort(generator.choice(len(chosen.targets), probe.max_clips, replace=False)))
    return chosen


def _lacking(targets: NDArray[np.float32], task: TaskSettings) -> list[str]:
    """Return the targets (classes) without positives, and those without negatives."""
    values = (1,) if task.type == "multi_class" else (0, 1)
    return [
        f"{name} is {'positive' if value else 'negative'} in no clip"
        for column, name in enumerate(task.targets)
        for value in values
        if not (targets[:, column] == value).any()
    ]


def _require_classes(targets: NDArray[np.float32], task: TaskSettings) -> None:
    lacking = _lacking(targets, task)
    if lacking:
        raise InfeasibleError(
            f"the training subset lacks a class ({'; '.join(lacking)}); take another split or more data"
        )


def choose(
    drawn: Embedded,
    val: Embedded,
    encoder: Classifier,
    probe: ProbeSettings,
    *,
    train: TrainSettings,
    task: TaskSettings,
) -> Choice:
    """Fit all candidates and return the one with the best monitored metric on validation, at the task's level.

    Of equal values the lower validation loss wins, then the stronger penalty or the larger number of neighbours.

    Args:
        drawn: The clips to fit on.
        val: The clips to choose on.
        encoder: Whose features they are.
        probe: What is tried.
        train: Gives monitor and class weights.
        task: What is predicted.

    Raises:
        InfeasibleError: The metric is undefined for all candidates.
    """
    loss = build_loss(drawn.targets, task, train.loss, torch.device("cpu"))
    best: Candidate | None = None
    best_row: EpochRow | None = None
    rows: list[EpochRow] = []
    for candidate in candidates(drawn, encoder, probe, task, loss.weights.numpy()):
        train_logits, val_logits = (_logits(candidate.head, subset) for subset in (drawn, val))
        row = {
            "train/loss": _mean_loss(loss, train_logits, drawn),
            "val/loss": _mean_loss(loss, val_logits, val),
            **validation_metrics(val.targets, probabilities(val_logits, task.type), val.ids, task),
        }
        rows.append({_named(probe): candidate.value, **row})
        if is_better(row, best_row, train.monitor, train.mode):
            best, best_row = candidate, row
    if best is None or best_row is None:
        raise InfeasibleError(
            f"train.monitor {train.monitor} is undefined on the validation subset, {len(val.targets)} clips of "
            f"{val.ids['patient_id'].nunique()} patients; take another split, or monitor val/loss (with mode: min)"
        )
    return Choice(best, best_row, rows)


@torch.inference_mode()
def _logits(head: nn.Module, subset: Embedded) -> Tensor:
    return torch.cat([head(block) for block in torch.from_numpy(subset.embeddings).split(1024)])


def _mean_loss(loss: Loss, logits: Tensor, subset: Embedded) -> float | None:
    found = loss(logits, torch.from_numpy(subset.targets))
    return float(found.mean()) if found.n_known else None


def _with_head(encoder: SavedModel, head: Head | NeighbourHead, job: JobSettings, task: TaskSettings) -> SavedModel:
    """Return the encoder with another head, as yet without an operating point."""
    normalisation = encoder.normalisation
    if isinstance(normalisation, AsStored):
        raise DataError("probe.encoder is an ensemble; name one of its members")
    plain = job.model_copy(update={"model": job.model.model_copy(update={"head": HeadSettings()})})
    module = build_model_of(plain, len(task.targets))
    weights = {name: tensor for name, tensor in encoder.classifier.state_dict().items() if not name.startswith("head.")}
    module.load_state_dict(weights, strict=False)
    module.head = head
    meta = describe_model(
        module.eval(),
        normalisation=normalisation,
        job=plain,
        task=task,
        input_shape=encoder.input_shape,
        training={"best_epoch": 1},
    )
    return SavedModel(module, normalisation, meta)


def _with_operating_point(
    model: SavedModel, subset: Embedded, job: JobSettings, task: TaskSettings, chosen_on: ChosenOn
) -> SavedModel:
    """Return the model with the operating point that a subset gives it."""
    logits = model.logits_of_embeddings(subset.embeddings).numpy()
    operating_point = choose_operating_point(
        logits, subset.targets, subset.ids, task, job.evaluate, chosen_on=chosen_on
    )
    for note in operating_point["threshold_notes"]:
        logger.warning("operating point: %s", note)
    return replace(model, meta=with_operating_point(model.meta, operating_point))


def _describe_probe(
    job: JobSettings, probe: ProbeSettings, encoder: Mapping[str, Any], choice: Choice
) -> dict[str, Any]:
    return {
        "settings": probe.model_dump(mode="json"),
        _named(probe): choice.best.value,
        "candidates": choice.rows,
        "encoder": {
            "folder": probe.encoder,
            "weights_sha256": encoder["weights_sha256"],
            "task_name": encoder["task_name"],
            "datasets": sorted(_trained_on(encoder)),
            "has_same_split": _has_same_split(encoder, job),
        },
    }
