"""Train one job: validation chooses the best epoch and the operating point; the test subset is never read."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn

from auscult.augment import Augmenter, ItemMaker, Standard
from auscult.config.experiment import JobSettings
from auscult.config.spectrogram import frontend_bands, frontend_frames
from auscult.config.task import TaskSettings
from auscult.config.train import PictureStandard
from auscult.errors import ConfigError, DataError, DivergedError, InfeasibleError
from auscult.models import FullScale, Normalisation, build_model_of, count_parameters, save_model
from auscult.models.classifier import Classifier
from auscult.models.frontends import log_mel
from auscult.models.registry import shape_text, stored_shape
from auscult.storage.files import sha256_folder
from auscult.storage.staging import relocated, staged
from auscult.training.batches import (
    Batches,
    Source,
    Subset,
    TrainingAugmentation,
    TrainingData,
    is_streamed,
    open_batches,
)
from auscult.training.checkpoint import STATE_FOLDER, VERSION_KEY, CheckpointStore
from auscult.training.dataset import ID_COLUMNS, ClipDataset, StoredKind, load_clip_dataset
from auscult.training.distributed import build_fabric, cpu_threads, determinism, is_launched_as_rank_zero
from auscult.training.ensemble import average
from auscult.training.export import (
    EpochWeights,
    export_model,
    remove_epoch_weights,
    require_best_epoch,
    require_defined_monitor,
)
from auscult.training.followed_maps import FollowedMaps
from auscult.training.lock import RunLock
from auscult.training.loop import Trainer
from auscult.training.losses import build_loss, build_map_loss
from auscult.training.pretrained import earlier_training, load_pretrained, pretrained_digest, reuse_model
from auscult.training.probe import fit_probe
from auscult.training.progress import Progress, Tell
from auscult.training.sampler import Purpose, Sampler, derive_seed, label_groups
from auscult.training.session import SaveTimer, Session, Stop, TrainingStopped, ignoring_signals

logger = logging.getLogger(__name__)

STATE_VERSION = 3
"""Raised when the code trains other weights from equal settings, or saves another state: older state is not used."""

Stores = Mapping[str, Sequence[Path]]
"""Dataset -> its stores, in order."""

BUDGET_VARIABLE = "AUSCULT_BUDGET_S"
_RUNTIME_MARGIN_S = 120.0
_FRONTENDS = {
    "stored": "spectrograms as stored",
    "online": "spectrograms computed in training",
    "model": "spectrograms computed by the model",
}


def train(
    features: Mapping[str, Sequence[Path]],
    tables: Mapping[str, Path],
    split: Path,
    *,
    clips: Mapping[str, Sequence[Path]] | None = None,
    embeddings: Mapping[str, Sequence[Path]] | None = None,
    member_splits: Sequence[Path] = (),
    job: JobSettings,
    task: TaskSettings,
    output_dir: Path,
    device: str = "auto",
    threads: int | None = None,
    fresh: bool = False,
    budget_s: float | None = None,
    until_epoch: int | None = None,
    stage_dir: Path | None = None,
    tell: Tell = lambda kind, known: None,
) -> None:
    """Train and write `model.safetensors`, `model.json`, `history.csv` and `metrics.jsonl`.

    An interrupted training resumes from the last save in `output_dir/state`, within an epoch too, bit for bit as if it
    had not been interrupted (on a CPU, with the same number of threads); a finished one only writes its outputs again.
    State of other settings or other data is never used. SIGTERM, SIGINT and the end of the budget save and end the
    process. A job that is `evaluate_only` copies its model, a `probe` is fitted on embeddings within seconds, and an
    ensemble averages the trainings that its job names.

    Args:
        features: Dataset -> its feature stores, in order.
        tables: Dataset -> folder of tables.
        split: The split table.
        clips: Dataset -> the clip stores behind its feature stores, where spectrograms are computed in training.
        embeddings: Dataset -> the embeddings of its clips by the encoder of a probe, in the same order.
        member_splits: The split table of each member of an ensemble, where they differ.
        job: What to train.
        task: What is predicted.
        output_dir: The run folder.
        device: `auto` (a GPU where there is one), `cpu` or `cuda`.
        threads: Of torch on the CPU; default: unchanged.
        fresh: Start over, whatever state there is.
        budget_s: Seconds after which to save and stop; None: no limit.
        until_epoch: Pause after this epoch, its state saved and no model written: the next call goes on from there, bit
            for bit as if there had been no pause. None: train to the end.
        stage_dir: On this node's own disk: the stores are copied there, read from the copies, and these removed at the
            end. None: they are read where they lie.
        tell: Takes the events of this session, while it holds the run folder.

    Raises:
        ConfigError: No such device, a model that cannot take the spectrograms, a diverging loss, or an unfinished
            training under other settings.
        DataError: A damaged or mismatching input, or another process trains this run.
        InfeasibleError: A class to weight is absent in training, or the monitored metric is never defined.
        TrainingStopped: A signal came (exit status 128 + its number), or the budget is over (75).
    """
    if job.evaluate_only is not None:
        reuse_model(Path(job.evaluate_only), output_dir, job=job, task=task)
        return
    if isinstance(job.ensemble, tuple):
        average(
            [Path(folder) for folder in job.ensemble],
            features,
            tables,
            split,
            clips,
            job=job,
            task=task,
            output_dir=output_dir,
            member_splits=member_splits,
            device=device,
        )
        return
    if job.probe is not None:
        fit_probe(features, tables, split, embeddings or {}, job=job, task=task, output_dir=output_dir)
        return
    stop = Stop(budget_s)
    state_dir = output_dir / STATE_FOLDER
    is_rank_zero = is_launched_as_rank_zero(job.train.devices)
    lock = RunLock(state_dir)
    with ExitStack() as stack:
        stack.enter_context(stop.listening() if is_rank_zero else ignoring_signals())
        if is_rank_zero:
            stack.enter_context(lock.held())
        progress = stack.enter_context(
            Progress(state_dir, str(lock.owner), is_silent=not is_rank_zero, tell=tell).reporting()
        )
        stack.enter_context(cpu_threads(threads, job.train.devices))
        stack.enter_context(determinism(is_wanted=job.train.deterministic))
        # Before any data: a file that does not fit is told at once.
        module = build_initial_model(job, task)
        earlier = earlier_training(job.train)
        features, clips = stack.enter_context(_stores_read(features, clips, job, stage_dir, is_rank_zero=is_rank_zero))
        dataset = load_clip_dataset(features, tables, split, task, ("train", "val"), clips=clips)
        # Apart from what shapes the weights: another label in it rewrites the operating point and trains nothing again.
        calibration = (
            load_clip_dataset(features, tables, split, task, ("calibration",), clips=clips)
            if job.split.calibration_fraction
            else None
        )
        normalisation = normalisation_of(dataset, job)
        sources = read_sources(dataset, normalisation, job)
        store = None
        if is_rank_zero:
            store = CheckpointStore(
                state_dir, _binding(job, task, dataset, sources), fresh=fresh, before_save=lock.require_mine
            )
            stack.enter_context(store.set_aside_after(DivergedError, InfeasibleError))
        fabric = build_fabric(job.train, device)
        fabric.launch()
        epoch_weights = EpochWeights(store.folder / "epochs") if store and job.evaluate.best_on_test else None
        trainer = build_trainer(
            fabric, module, dataset, sources, normalisation, job=job, task=task, epoch_weights=epoch_weights
        )
        stack.callback(trainer.processes.destroy)
        require_defined_monitor(job, task, trainer.data.val)
        session = Session(stop, SaveTimer(job.train.save), progress, trainer.processes, store)
        try:
            checkpoint = trainer.fit(output_dir, session, until_epoch, earlier)
            if store is None or not trainer.is_finished:
                return
            require_best_epoch(checkpoint, job, task, trainer.data.val)
        except TrainingStopped:
            if is_rank_zero:
                raise
            return  # rank zero's exit status counts
        trainer.module.load_state_dict(checkpoint.best_weights)
        remove_epoch_weights(output_dir)
        epochs = (
            []
            if epoch_weights is None
            else epoch_weights.publish(output_dir, checkpoint.state["history"], job.train.monitor)
        )
        prepared = FullScale() if trainer.module.takes_waveforms else normalisation.to(fabric.device)
        model = export_model(trainer, prepared, checkpoint, job, backbone_shape(job), calibration=calibration)
        save_model(output_dir, replace(model, meta={**model.meta, "epochs": epochs}))
        store.finish()


@contextmanager
def _stores_read(
    features: Stores, clips: Stores | None, job: JobSettings, stage_dir: Path | None, *, is_rank_zero: bool
) -> Generator[tuple[Stores, Stores | None]]:
    """Yield the stores to read: of the clips none where spectrograms are stored, and copies where they are staged."""
    clips = clips if job.frontend != "stored" else None
    # A model that takes waveforms reads the tables of its spectrograms' stores, and no spectrogram.
    kinds = [clips or {}] if job.frontend == "model" else [clips or {}, features]
    with staged(
        [path for kind in kinds for paths in kind.values() for path in paths], stage_dir, is_owner=is_rank_zero
    ) as copies:
        yield relocated(features, copies), None if clips is None else relocated(clips, copies)


def normalisation_of(dataset: ClipDataset, job: JobSettings) -> Normalisation:
    """Return what is done to spectrograms or pictures before a model takes them.

    Of the training subset alone, or of pictures as `train.normalise` says.
    """
    if not job.clips.is_image:
        return Normalisation.from_bands(*dataset.normalisation())
    wanted = job.train.normalise
    if isinstance(wanted, PictureStandard):
        return Normalisation.from_brightness(wanted.mean, wanted.std)
    if wanted == "pretrained":
        from auscult.models.timm_model import pretrained_standard  # noqa: PLC0415 (timm: seconds)

        return Normalisation.from_brightness(*pretrained_standard(job.model.name))
    return Normalisation.from_channels(*dataset.normalisation())


def choose_budget_s(environment: Mapping[str, str], setting_s: float | None, runtime_min: float | None) -> float | None:
    """Return the time budget: of the environment, else of the setting, else of the cluster.

    Args:
        environment: May hold `AUSCULT_BUDGET_S`.
        setting_s: `budget_s` of the project.
        runtime_min: The job's `runtime` resource, of which two minutes are left for the start and the save.

    Raises:
        ConfigError: The variable is no positive number.

    >>> choose_budget_s({"AUSCULT_BUDGET_S": "60"}, 90.0, 10), choose_budget_s({}, 90.0, 10)
    (60.0, 90.0)
    >>> choose_budget_s({}, None, 10)
    480.0
    """
    text = environment.get(BUDGET_VARIABLE)
    if text is not None:
        try:
            budget_s = float(text)
        except ValueError:
            budget_s = 0.0
        if not 0 < budget_s < float("inf"):
            raise ConfigError(f"{BUDGET_VARIABLE}: found {text!r}, expected a number of seconds above 0")
        return budget_s
    if setting_s is not None:
        return setting_s
    return None if runtime_min is None else max(60.0 * runtime_min - _RUNTIME_MARGIN_S, 60.0)


def _binding(
    job: JobSettings, task: TaskSettings, dataset: ClipDataset, sources: Mapping[str, Source]
) -> dict[str, Any]:
    """Return everything that shapes the weights, and nothing else: the threshold's rule and the note may change."""
    shaping = job.model_dump(mode="json", include={"datasets", "clips", "spectrogram", "split", "model", "augment"})
    return {
        VERSION_KEY: STATE_VERSION,
        **shaping,
        "train": {**job.train.shaping(), "window_clips": _window(dataset, sources, job)},
        "frontend": job.frontend,
        "task": task.model_dump(mode="json"),
        "data": dataset.digest(),
        "pretrained": pretrained_digest(job.train.pretrained),
        "noise": [sha256_folder(Path(folder)) for folder in job.augment.noise_folders],
        "best_on_test": job.evaluate.best_on_test,
    }


def build_initial_model(job: JobSettings, task: TaskSettings) -> Classifier:
    """Build the model as its training starts: random weights, and pretrained ones over them.

    Raises:
        ConfigError: A model that cannot take the spectrograms.
        DataError: Pretrained weights that are not there, or not this model's.
    """
    seed = derive_seed(job.train.seed, Purpose.WEIGHTS)
    module = build_model_of(job, len(task.targets), seed=seed, learns_maps=task.learns_maps, over_bands=task.maps_bands)
    if job.train.pretrained is not None:
        load_pretrained(module, job.train.pretrained, job.model, backbone_shape(job))
    return module


def build_trainer(
    fabric: Fabric,
    module: Classifier,
    dataset: ClipDataset,
    sources: Mapping[str, Source],
    normalisation: Normalisation,
    *,
    job: JobSettings,
    task: TaskSettings,
    epoch_weights: EpochWeights | None = None,
) -> Trainer:
    """Build a model's batches, its loss and what trains it.

    Args:
        fabric: After its launch.
        module: With the weights that it starts with.
        dataset: The training and the validation subset.
        sources: What is read of each.
        normalisation: Of the training subset.
        job: What to train.
        task: What is predicted.
        epoch_weights: Keeps the weights after each validation.

    Raises:
        ConfigError: A model that cannot take the spectrograms, or a device that does not exist.
        DataError: The stores hold other spectrograms than the job asks for.
        InfeasibleError: A class to weight or to mix is absent in training.
    """
    _require_shape(dataset, job)
    data = _training_data(dataset, sources, normalisation, job=job, task=task, device=fabric.device)
    logger.info(
        "%s with %d parameters%s; %d clips to train on%s%s, %d to validate on, %s, %s; on %s",
        job.model.name,
        count_parameters(module),
        f", input {module.input_note}" if module.input_note else "",
        len(data.train),
        f", each {data.sampler.n_copies} times an epoch," if data.sampler.n_copies > 1 else "",
        f" and {data.sampler.n_added} made of them in each epoch" if data.sampler.n_added else "",
        len(data.val),
        data.train.batches.residency,
        _FRONTENDS[job.frontend],
        fabric.device,
    )
    if job.train.devices > 1 and fabric.device.type == "cuda":
        synchronised: Any = nn.SyncBatchNorm.convert_sync_batchnorm(module)
        module = synchronised
    if data.train.maps is None:
        loss = build_loss(data.train.targets, task, job.train.loss, fabric.device)
    else:
        loss = build_map_loss(data.train.maps, task, job.train.loss, fabric.device)
    follows_maps = job.train.live_examples and data.val.events is not None
    return Trainer(
        fabric,
        module,
        loss,
        data,
        task=task,
        settings=job.train,
        epoch_weights=epoch_weights,
        followed_maps=FollowedMaps(data.val, task, job) if follows_maps else None,
    )


def _training_data(
    dataset: ClipDataset,
    sources: Mapping[str, Source],
    normalisation: Normalisation,
    *,
    job: JobSettings,
    task: TaskSettings,
    device: torch.device,
) -> TrainingData:
    batches = open_batches(dataset, sources, job.train.batches, device)
    train, val = (_subset(dataset, source.indices, batches[name]) for name, source in sources.items())
    augmentation = _augmentation(dataset, normalisation, train, job=job, task=task, device=device)
    sampler = Sampler(
        len(train),
        job.train.batch_size,
        job.train.seed,
        label_groups=label_groups(train.targets) if job.train.sampler == "balanced" else None,
        window=_window(dataset, sources, job),
        limit=job.train.debug.limit_batches,
        n_added=augmentation.n_added,
        n_copies=job.augment.augments,
    )
    return TrainingData(train, val, sampler, augmentation)


def _subset(dataset: ClipDataset, indices: NDArray[np.int64], batches: Batches) -> Subset:
    events = None if dataset.events is None else dataset.events.take(indices)
    objects = None if dataset.objects is None else dataset.objects.take(indices)
    truth = objects if events is None else events
    return Subset(
        batches,
        dataset.targets[indices],
        dataset.clips.loc[indices, ID_COLUMNS],
        events,
        None if truth is None else truth.maps(),
        objects,
    )


def _augmentation(
    dataset: ClipDataset,
    normalisation: Normalisation,
    train: Subset,
    *,
    job: JobSettings,
    task: TaskSettings,
    device: torch.device,
) -> TrainingAugmentation:
    n_valid = dataset.clips.loc[train.ids.index, "n_valid"].to_numpy().astype(np.int64)
    n_samples = math.prod(job.clips.picture_shape[1:]) if job.clips.is_image else job.clips.n_samples
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
        grid=None if train.events is None else train.events.grid,
        standard=_standard(normalisation.to(device)) if job.clips.is_image else None,
    )
    online = _online_spectrograms(job, normalisation, device) if job.frontend == "online" else None
    return TrainingAugmentation(maker, augmenter, online, train.maps)


def _standard(normalisation: Normalisation) -> Standard:
    return Standard(normalisation.mean_db, normalisation.std_db)


def _online_spectrograms(
    job: JobSettings, normalisation: Normalisation, device: torch.device
) -> Callable[[Tensor], Tensor]:
    """Return what computes the job's normalised spectrograms [clip, mel, frame] of waveforms [clip, sample]."""
    spectrogram = log_mel(job.spectrogram, job.clips).to(device)
    normalised = normalisation.to(device)
    return lambda waveforms: normalised.apply(spectrogram(waveforms))


def _require_shape(dataset: ClipDataset, job: JobSettings) -> None:
    asked = stored_shape(job)
    if dataset.shape != asked:
        found, wanted = (shape_text(shape) for shape in (dataset.shape, asked))
        raise DataError(
            f"the stores hold spectrograms of {found}, the job asks for {wanted}; make them by its settings"
        )


def backbone_shape(job: JobSettings) -> tuple[int, ...]:
    """Return the bands and frames of the spectrograms that the backbone sees; of pictures channels, height, width."""
    if job.clips.is_image:
        return job.clips.picture_shape
    n_bands = frontend_bands(job.model.frontend, job.spectrogram, job.clips)
    return n_bands, frontend_frames(job.model.frontend, job.spectrogram, job.clips)


def read_sources(dataset: ClipDataset, normalisation: Normalisation, job: JobSettings) -> dict[str, Source]:
    """Return what is read of each subset; validation reads stored spectrograms for a model that takes spectrograms."""
    kinds: dict[str, StoredKind] = {
        "train": "spectrogram" if job.frontend == "stored" else "waveform",
        "val": "waveform" if job.frontend == "model" else "spectrogram",
    }
    return {
        name: Source(_indices(dataset, name, job), kind, normalisation if kind == "spectrogram" else FullScale())
        for name, kind in kinds.items()
    }


def _window(dataset: ClipDataset, sources: Mapping[str, Source], job: JobSettings) -> int | None:
    """Return the window of the order of streamed clips; None where they are in memory."""
    settings = job.train.batches
    return settings.window_clips if is_streamed(dataset, sources, settings) else None


def _indices(dataset: ClipDataset, name: str, job: JobSettings) -> NDArray[np.int64]:
    """Return the clips of a subset, or what a debugging setting leaves of them."""
    debug, settings = job.train.debug, job.train
    if debug.overfit_one_batch:
        indices = dataset.subset("train")
        return np.sort(indices[Sampler(len(indices), settings.batch_size, settings.seed).plan(1)[0]])
    indices = dataset.subset(name)
    if debug.limit_batches is not None and name == "val":
        return indices[: debug.limit_batches * settings.n_at_once]
    return indices
