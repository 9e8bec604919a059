"""Train one job: the best epoch and the operating point are chosen on validation; the test part is never read."""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment

from auscult.config.experiment import JobSettings
from auscult.config.task import TaskSettings
from auscult.errors import ConfigError, InfeasibleError, unknown_name
from auscult.examples import Examples, load_examples
from auscult.metrics.thresholds import thresholds_for_task
from auscult.models import Normalisation, SavedModel, build_model, count_parameters, describe_model, save_model
from auscult.training.batches import ResidentBatches
from auscult.training.checkpoint import Checkpoint, CheckpointStore
from auscult.training.loop import Part, Trainer
from auscult.training.losses import build_loss
from auscult.training.seeds import Purpose, derive_seed

_LOG = logging.getLogger(__name__)

STATE_VERSION = 1
"""Raised when the code trains other weights from equal settings: an older state is then not gone on with."""

STATE_FOLDER = "state"


def run(
    features: Mapping[str, Sequence[Path]],
    tables: Mapping[str, Path],
    split: Path,
    *,
    job: JobSettings,
    task: TaskSettings,
    output_dir: Path,
    device: str = "auto",
    threads: int | None = None,
) -> None:
    """Train and write `model.safetensors`, `model.json`, `history.csv` and `metrics.jsonl`.

    An interrupted training goes on from the last finished epoch in `output_dir/state`, bit for bit as if it had not
    been interrupted (on a CPU, with the same number of threads); a finished one only writes its outputs again. State
    of other settings or other data is never used.

    Args:
        features: Dataset -> its feature stores, in order.
        tables: Dataset -> folder of tables.
        split: The split table.
        job: What to train.
        task: What is predicted.
        output_dir: The run folder.
        device: `auto` (a GPU where there is one), `cpu` or `cuda`.
        threads: Of torch on the CPU; default: as they are.

    Raises:
        ConfigError: No such device, a model that cannot take the spectrograms, or a diverging loss.
        DataError: A damaged or mismatching input.
        InfeasibleError: An answer to weigh is absent in training, or the monitored metric is never defined.
    """
    with _cpu_threads(threads):
        examples = load_examples(features, tables, split, task, sides=("train", "val"))
        # One process, said in so many words: Fabric would read a Slurm job's variables and expect to be under srun.
        fabric = Fabric(
            accelerator=_accelerator(device),
            devices=1,
            precision=_PRECISION[job.train.precision],
            plugins=[LightningEnvironment()],
        )
        normalisation = Normalisation.from_bands(*examples.normalisation())
        module = build_model(
            job.model, len(task.targets), examples.shape, seed=derive_seed(job.train.seed, Purpose.WEIGHTS)
        )
        parts = {side: _load(examples, side, normalisation, job, fabric.device) for side in ("train", "val")}
        _LOG.info(
            "%s with %d parameters%s; %d clips to train on, %d to validate on, in %s memory; on %s",
            job.model.name,
            count_parameters(module),
            f", input {module.input_note}" if module.input_note else "",
            len(parts["train"].batches),
            len(parts["val"].batches),
            parts["train"].batches.place,
            fabric.device,
        )
        loss = build_loss(parts["train"].targets, task, job.train.loss, fabric.device)
        trainer = Trainer(
            fabric,
            module,
            loss,
            train=parts["train"],
            validation=parts["val"],
            task=task,
            settings=job.train,
            augment=job.augment,
        )
        store = CheckpointStore(output_dir / STATE_FOLDER, _binding(job, task, examples))
        checkpoint = trainer.fit(store, output_dir)
        _require_best(checkpoint, job, task, parts["val"])
        module.load_state_dict(checkpoint.best_weights)
        save_model(output_dir, _describe(trainer, normalisation.to(fabric.device), checkpoint, job))
        store.finish()


_PRECISION: dict[str, Any] = {"32": "32-true", "bf16-mixed": "bf16-mixed", "16-mixed": "16-mixed"}


def _load(examples: Examples, side: str, normalisation: Normalisation, job: JobSettings, device: torch.device) -> Part:
    indices = examples.side(side)
    targets = examples.targets[indices]
    spectrograms = examples.spectrograms(indices)
    batches = ResidentBatches(spectrograms, targets, normalisation, job.train.batch_size, device)
    return Part(batches, targets, examples.clips.loc[indices, ["clip_id", "recording_id", "patient_id"]])


def _describe(trainer: Trainer, normalisation: Normalisation, checkpoint: Checkpoint, job: JobSettings) -> SavedModel:
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
    answers = model.predict_proba(val.batches.spectrograms_db)
    chosen = thresholds_for_task(val.targets, answers, val.ids, task, job.evaluate.threshold)
    for note in chosen.notes:
        _LOG.warning("threshold: %s", note)
    # A multi-class task has none: the most probable class is the answer.
    thresholds = dict(zip(task.targets, chosen.values, strict=True)) if chosen.values else {}
    extra = {"thresholds": thresholds, "threshold_rule": job.evaluate.threshold, "threshold_notes": list(chosen.notes)}
    return SavedModel(model.module, normalisation, {**meta, **extra})


def _binding(job: JobSettings, task: TaskSettings, examples: Examples) -> dict[str, Any]:
    """Everything that shapes the weights, and nothing else: the threshold's rule and the note may change."""
    shaping = job.model_dump(
        mode="json", include={"datasets", "clips", "spectrogram", "split", "model", "augment", "train"}
    )
    return {
        "state_version": STATE_VERSION,
        **shaping,
        "task": task.model_dump(mode="json"),
        "data": examples.digest(),
    }


def _require_best(checkpoint: Checkpoint, job: JobSettings, task: TaskSettings, val: Part) -> None:
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


def _accelerator(device: str) -> str:
    if device not in {"auto", "cpu", "cuda"}:
        raise ConfigError(unknown_name("device", device, ("auto", "cpu", "cuda")))
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f"device: cuda was asked for, and torch {torch.__version__} sees no GPU; "
            "use device: auto or cpu, or check the driver and CUDA_VISIBLE_DEVICES"
        )
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


@contextmanager
def _cpu_threads(threads: int | None) -> Generator[None]:
    """Let torch use `threads` for a while; the caller's number comes back."""
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
