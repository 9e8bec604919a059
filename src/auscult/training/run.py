"""Train one job: the best epoch and the operating point are chosen on validation; the test part is never read."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from auscult.config.experiment import JobSettings
from auscult.config.task import TaskSettings
from auscult.examples import Examples, load_examples
from auscult.models import FullScale, Normalisation, save_model
from auscult.storage.files import sha256_folder
from auscult.training.adoption import adopt_model
from auscult.training.attempt import Attempt
from auscult.training.building import backbone_shape, build_trainer, order_window
from auscult.training.checkpoint import VERSION_KEY, CheckpointStore
from auscult.training.description import describe_trained, require_best
from auscult.training.hardware import build_fabric, cpu_threads, determinism
from auscult.training.journal import Journal, NoJournal
from auscult.training.kept_epochs import KeptEpochs
from auscult.training.lock import RunLock
from auscult.training.progress import Progress
from auscult.training.save_times import SaveTimes
from auscult.training.start import start_digest
from auscult.training.stop import Stop, TrainingStopped, ignoring_signals
from auscult.training.team import is_helper

_LOG = logging.getLogger(__name__)

STATE_VERSION = 2
"""Raised when the code trains other weights from equal settings: an older state is then not gone on with."""

STATE_FOLDER = "state"


def run(
    features: Mapping[str, Sequence[Path]],
    tables: Mapping[str, Path],
    split: Path,
    *,
    clips: Mapping[str, Sequence[Path]] | None = None,
    job: JobSettings,
    task: TaskSettings,
    output_dir: Path,
    device: str = "auto",
    threads: int | None = None,
    fresh: bool = False,
    budget_s: float | None = None,
    journal: Journal | None = None,
) -> None:
    """Train and write `model.safetensors`, `model.json`, `history.csv` and `metrics.jsonl`.

    An interrupted training goes on from the last save in `output_dir/state`, within an epoch too, bit for bit as if it
    had not been interrupted (on a CPU, with the same number of threads); a finished one only writes its outputs again.
    State of other settings or other data is never used. SIGTERM, SIGINT and the end of the budget save and leave. A job
    that is `evaluate_only` takes over its model.

    Args:
        features: Dataset -> its feature stores, in order.
        tables: Dataset -> folder of tables.
        split: The split table.
        clips: Dataset -> the clip stores behind its feature stores, where spectrograms are computed in training.
        job: What to train.
        task: What is predicted.
        output_dir: The run folder.
        device: `auto` (a GPU where there is one), `cpu` or `cuda`.
        threads: Of torch on the CPU; default: as they are.
        fresh: Start over, whatever state there is.
        budget_s: Seconds after which to save and leave; None: no limit.
        journal: Is told which epochs are saved; None: nobody is.

    Raises:
        ConfigError: No such device, a model that cannot take the spectrograms, a diverging loss, or an unfinished
            training under other settings.
        DataError: A damaged or mismatching input, or another process trains this run.
        InfeasibleError: An answer to weigh is absent in training, or the monitored metric is never defined.
        TrainingStopped: A signal came (exit status 128 + its number), or the budget is over (75).
    """
    if job.evaluate_only is not None:
        adopt_model(Path(job.evaluate_only), output_dir, job=job, task=task)
        return
    stop = Stop(budget_s)
    state_dir = output_dir / STATE_FOLDER
    helps = is_helper(job.train.devices)
    lock = RunLock(state_dir)
    with ExitStack() as stack:
        stack.enter_context(ignoring_signals() if helps else stop.listening())
        if not helps:
            stack.enter_context(lock.held())
        progress = stack.enter_context(Progress(state_dir, str(lock.owner), is_silent=helps).reporting())
        stack.enter_context(cpu_threads(threads, job.train.devices))
        stack.enter_context(determinism(is_wanted=job.train.deterministic))
        _say_why_again(progress)
        clips = clips if job.frontend != "stored" else None
        examples = load_examples(features, tables, split, task, ("train", "val"), clips=clips)
        store = None
        if not helps:
            binding = _binding(job, task, examples)
            store = CheckpointStore(state_dir, binding, fresh=fresh, before_save=lock.require_mine)
        fabric = build_fabric(job.train, device)
        fabric.launch()
        normalisation = Normalisation.from_bands(*examples.normalisation())
        trainer = build_trainer(fabric, examples, normalisation, job, task)
        stack.callback(trainer.team.part)
        if store is not None and job.evaluate.best_on_test:
            trainer.kept_epochs = KeptEpochs(store.folder / "epochs")
        try:
            save_times = SaveTimes(job.train.save)
            checkpoint = trainer.fit(
                output_dir, Attempt(store, stop, progress, save_times, trainer.team, journal or NoJournal())
            )
        except TrainingStopped:
            if helps:
                return  # the first process says how it ended
            raise
        if store is None:
            return
        require_best(checkpoint, job, task, trainer.validation)
        trainer.module.load_state_dict(checkpoint.best_weights)
        epochs = trainer.kept_epochs.publish(output_dir, checkpoint.state["history"], job.train.monitor)
        prepared = FullScale() if trainer.module.takes_waveforms else normalisation.to(fabric.device)
        model = describe_trained(trainer, prepared, checkpoint, job, backbone_shape(job))
        save_model(output_dir, replace(model, meta={**model.meta, "epochs": epochs}))
        store.finish()


def _say_why_again(progress: Progress) -> None:
    why = progress.values["resumed_because"]
    if why is not None:
        _LOG.info("attempt %d: %s", progress.values["attempt"], why)


def _binding(job: JobSettings, task: TaskSettings, examples: Examples) -> dict[str, Any]:
    """Everything that shapes the weights, and nothing else: the threshold's rule and the note may change."""
    shaping = job.model_dump(mode="json", include={"datasets", "clips", "spectrogram", "split", "model", "augment"})
    return {
        VERSION_KEY: STATE_VERSION,
        **shaping,
        "train": {**job.train.shaping(), "window_clips": order_window(examples, job)},
        "frontend": job.frontend,
        "task": task.model_dump(mode="json"),
        "data": examples.digest(),
        "start": start_digest(job.train.start),
        **(
            {"noise": [sha256_folder(Path(folder)) for folder in folders]}
            if (folders := job.augment.noise_folders)
            else {}
        ),
        # Only where they are: a state without epochs stays what it was.
        **({"best_on_test": True} if job.evaluate.best_on_test else {}),
    }
