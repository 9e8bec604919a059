"""From the settings of a job to a trainer: model, batches, augmentation and loss."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import nn

from auscult.augment import Augmenter, ItemMaker
from auscult.config.experiment import JobSettings
from auscult.config.spectrogram import frontend_bands
from auscult.config.task import TaskSettings
from auscult.errors import DataError
from auscult.examples import Examples, StoredKind
from auscult.models import FullScale, Normalisation, build_model_of, count_parameters
from auscult.training.augmentation import TrainingAugmentation, online_spectrograms
from auscult.training.loop import Trainer
from auscult.training.losses import build_loss
from auscult.training.orders import epoch_plan
from auscult.training.placement import Selection, Source, count_values, is_streamed, place_batches
from auscult.training.seeds import Purpose, derive_seed
from auscult.training.start import load_start
from auscult.training.validation import Part

_LOG = logging.getLogger(__name__)

_ID_COLUMNS = ["clip_id", "recording_id", "patient_id"]
_FRONTENDS = {
    "stored": "spectrograms as stored",
    "online": "spectrograms computed in training",
    "model": "spectrograms made by the model",
}


def build_trainer(
    fabric: Fabric, examples: Examples, normalisation: Normalisation, job: JobSettings, task: TaskSettings
) -> Trainer:
    """Build the model, its batches, its loss and what trains it.

    Args:
        fabric: After its launch.
        examples: Of the training and the validation part.
        normalisation: Of the training part.
        job: What to train.
        task: What is predicted.

    Raises:
        ConfigError: A model that cannot take the spectrograms, or a device that is not there.
        DataError: The stores hold other spectrograms than the job asks for.
        InfeasibleError: An answer to weigh or a class to mix is absent in training.
    """
    _require_shape(examples, job)
    module = build_model_of(job, len(task.targets), seed=derive_seed(job.train.seed, Purpose.WEIGHTS))
    if job.train.start is not None:
        load_start(module, job.train.start, job.model.name)
    sources = {
        side: Source(part.indices, part.kind, normalisation if part.kind == "spectrogram" else FullScale())
        for side, part in _parts(examples, job).items()
    }
    batches = place_batches(examples, sources, job.train.batches, fabric.device)
    train, validation = (
        Part(batches[side], examples.targets[source.indices], examples.clips.loc[source.indices, _ID_COLUMNS])
        for side, source in sources.items()
    )
    augmentation = _augmentation(examples, normalisation, train, job=job, task=task, device=fabric.device)
    _LOG.info(
        "%s with %d parameters%s; %d clips to train on%s, %d to validate on, %s, %s; on %s",
        job.model.name,
        count_parameters(module),
        f", input {module.input_note}" if module.input_note else "",
        len(train.batches),
        f" and {augmentation.n_added} made of them in each epoch" if augmentation.n_added else "",
        len(validation.batches),
        train.batches.place,
        _FRONTENDS[job.frontend],
        fabric.device,
    )
    if job.train.devices > 1 and fabric.device.type == "cuda":
        converted: Any = nn.SyncBatchNorm.convert_sync_batchnorm(module)
        module = converted
    loss = build_loss(train.targets, task, job.train.loss, fabric.device)
    return Trainer(
        fabric,
        module,
        loss,
        train=train,
        validation=validation,
        task=task,
        settings=job.train,
        augmentation=augmentation,
        window=order_window(examples, job),
    )


def _augmentation(
    examples: Examples,
    normalisation: Normalisation,
    train: Part,
    *,
    job: JobSettings,
    task: TaskSettings,
    device: torch.device,
) -> TrainingAugmentation:
    n_valid = examples.clips.loc[train.ids.index, "n_valid"].to_numpy().astype(np.int64)
    n_samples = job.clips.n_samples
    maker = ItemMaker(
        job.augment,
        train.targets,
        task=task,
        is_unpadded=n_valid >= n_samples,
        shape=backbone_shape(job),
        seed=job.train.seed,
    )
    augmenter = Augmenter(
        job.augment,
        n_valid=n_valid,
        n_samples=n_samples,
        sample_rate_hz=job.clips.sample_rate_hz,
        seed=job.train.seed,
        device=device,
    )
    online = online_spectrograms(job, normalisation, device) if job.frontend == "online" else None
    return TrainingAugmentation(maker, augmenter, online)


def _require_shape(examples: Examples, job: JobSettings) -> None:
    asked = (job.spectrogram.n_mels, job.spectrogram.n_frames(job.clips.n_samples))
    if examples.shape != asked:
        found, wanted = (f"[{shape[0]} mel, {shape[1]} frames]" for shape in (examples.shape, asked))
        raise DataError(
            f"the stores hold spectrograms of {found}, the job asks for {wanted}; make them by its settings"
        )


def backbone_shape(job: JobSettings) -> tuple[int, int]:
    """Return the bands and frames of the spectrograms that the backbone sees."""
    n_bands = frontend_bands(job.model.frontend, job.spectrogram, job.clips)
    return n_bands, job.spectrogram.n_frames(job.clips.n_samples)


def _parts(examples: Examples, job: JobSettings) -> dict[str, Selection]:
    """Return what is read of each side; at validation stored spectrograms do, for a model that takes spectrograms."""
    kinds: dict[str, StoredKind] = {
        "train": "spectrogram" if job.frontend == "stored" else "waveform",
        "val": "waveform" if job.frontend == "model" else "spectrogram",
    }
    return {side: Selection(_examples_of(examples, side, job), kind) for side, kind in kinds.items()}


def order_window(examples: Examples, job: JobSettings) -> int | None:
    """Return the window of the order of streamed examples; None where they are in memory."""
    settings = job.train.batches
    n_values = count_values(examples, _parts(examples, job))
    return settings.window_clips if is_streamed(n_values, settings) else None


def _examples_of(examples: Examples, side: str, job: JobSettings) -> NDArray[np.int64]:
    debug, settings = job.train.debug, job.train
    if debug.overfit_one_batch:
        indices = examples.side("train")
        return np.sort(indices[epoch_plan(len(indices), settings.batch_size, seed=settings.seed, epoch=1)[0]])
    indices = examples.side(side)
    if debug.limit_batches is not None and side == "val":
        return indices[: debug.limit_batches * settings.batch_size]
    return indices
