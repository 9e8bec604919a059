"""The range test of a learning rate (Smith 2017): one short training whose rate grows from step to step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from auscult.config.experiment import JobSettings
from auscult.config.task import TaskSettings
from auscult.storage.files import write_json
from auscult.training.dataset import load_clip_dataset
from auscult.training.distributed import build_fabric, cpu_threads, determinism
from auscult.training.loop import Trainer
from auscult.training.progress import Progress
from auscult.training.session import SaveTimer, Session, Stop
from auscult.training.train import build_initial_model, build_trainer, normalisation_of, read_sources

MOST_TIMES_BEST = 4.0
"""Beyond so many times the lowest loss the training has diverged, and the test ends."""
_SMOOTHING = 0.9


def range_test(
    output: Path,
    features: Mapping[str, Sequence[Path]],
    tables: Mapping[str, Path],
    split: Path,
    *,
    clips: Mapping[str, Sequence[Path]] | None,
    job: JobSettings,
    task: TaskSettings,
    n_steps: int,
    device: str = "auto",
    threads: int | None = None,
) -> None:
    """Train `n_steps` steps under the job's own schedule, which raises the rate, and write the loss of each.

    Nothing is validated or kept. It ends early when the loss has left all that a longer training could mend.

    Args:
        output: JSON with `lr`, `loss` (of a batch) and `smoothed`, a value a step.
        features: Dataset -> its feature stores.
        tables: Dataset -> folder of tables.
        split: The split table.
        clips: Dataset -> the clip stores behind its feature stores, where spectrograms are computed in training.
        job: With an exponential schedule by step from the lowest rate on.
        task: What is predicted.
        n_steps: Optimizer steps.
        device: `auto`, `cpu` or `cuda`.
        threads: Of torch on the CPU.

    Raises:
        ConfigError: No such device, or a model that cannot take the spectrograms.
        DataError: A damaged or mismatching input.
    """
    with cpu_threads(threads), determinism(is_wanted=job.train.deterministic):
        module = build_initial_model(job, task)
        clips = clips if job.frontend != "stored" else None
        dataset = load_clip_dataset(features, tables, split, task, ("train", "val"), clips=clips)
        normalisation = normalisation_of(dataset, job)
        fabric = build_fabric(job.train, device)
        fabric.launch()
        sources = read_sources(dataset, normalisation, job)
        trainer = build_trainer(fabric, module, dataset, sources, normalisation, job=job, task=task)
        curve = _Curve(trainer, n_steps)
        progress = Progress(output.parent, "", is_silent=True)
        session = Session(Stop(), SaveTimer(job.train.save), progress, trainer.processes, None)
        try:
            while True:
                curve.start_epoch()
                trainer.train_epoch(session, curve.take_batch)
                trainer.next_epoch()
        except _EnoughError:
            pass
    write_json(output, {"lr": curve.lrs, "loss": curve.losses, "smoothed": smoothed(curve.losses)})


class _EnoughError(Exception):
    """The range test is over."""


class _Curve:
    """The loss of each batch, by the rate of its step."""

    def __init__(self, trainer: Trainer, n_steps: int) -> None:
        self._trainer = trainer
        self._n_steps = n_steps
        self._before = (0.0, 0)
        self.lrs: list[float] = []
        self.losses: list[float] = []

    def start_epoch(self) -> None:
        """The sums of an epoch begin at 0."""
        self._before = (0.0, 0)

    def take_batch(self) -> None:
        """Take the batch that was just trained.

        Raises:
            _EnoughError: All steps are done, or the loss has diverged.
        """
        sums = self._trainer.sums.state_dict()
        total, n_known = sums["total"] - self._before[0], sums["n_known"] - self._before[1]
        self._before = (sums["total"], sums["n_known"])
        loss = total / max(n_known, 1)
        if not math.isfinite(loss):
            raise _EnoughError
        self.lrs.append(self._trainer.optimization.lrs()["lr"])
        self.losses.append(loss)
        is_past = len(self.losses) >= self._n_steps
        if is_past or self._has_diverged():
            raise _EnoughError

    def _has_diverged(self) -> bool:
        curve = smoothed(self.losses)
        return len(curve) > 10 and curve[-1] > MOST_TIMES_BEST * min(curve)


def smoothed(losses: Sequence[float]) -> list[float]:
    """Return a running mean that forgets, without the pull of its beginning towards 0.

    >>> [round(value, 3) for value in smoothed([1.0, 1.0, 4.0])]
    [1.0, 1.0, 2.107]
    """
    mean, curve = 0.0, list[float]()
    for number, loss in enumerate(losses, start=1):
        mean = _SMOOTHING * mean + (1 - _SMOOTHING) * loss
        curve.append(mean / (1 - _SMOOTHING**number))
    return curve
