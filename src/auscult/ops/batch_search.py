"""`auscult tune batch`: speed, memory and the validation result by batch size, with the learning rate scaled."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from auscult.config.experiment import Experiment
from auscult.errors import InfeasibleError
from auscult.ops.lr_search import LR
from auscult.ops.trial_files import Rung, TrialFiles
from auscult.storage.files import settings_key

SIZE = "train.batch_size"
Scale = Literal["auto", "linear", "sqrt", "none"]
_LINEAR = frozenset({"sgd", "sgdw", "sgdp", "lars", "larc"})
"""Of these the rate grows with the batch (Goyal et al. 2017); of adaptive ones with its root (Krizhevsky 2014)."""


@dataclass(frozen=True)
class BatchTrial:
    """A training with one batch size.

    Attributes:
        size: Of a batch.
        lr: Its rate.
        rung: What it reached.
    """

    size: int
    lr: float
    rung: Rung


@dataclass(frozen=True)
class BatchSearch:
    """What was found.

    Attributes:
        metric: What trainings are compared by.
        mode: `max` or `min`.
        epochs: Of each training.
        scale: How the rate was scaled.
        tolerance: How much worse than the best a result may be.
        trials: By size.
        best: The recommended one.
    """

    metric: str
    mode: str
    epochs: int
    scale: str
    tolerance: float
    trials: list[BatchTrial]
    best: BatchTrial

    @property
    def good_enough(self) -> tuple[float, float]:
        """Values that are within the tolerance of the best one, from the lower to the higher."""
        return _within(self.trials, self.mode, self.tolerance)

    def table(self) -> pd.DataFrame:
        """Return one row a batch size."""
        return pd.DataFrame(
            [
                {
                    "batch_size": trial.size,
                    "lr": trial.lr,
                    "samples_per_s": trial.rung.samples_per_s,
                    "peak_memory_mb": trial.rung.peak_memory_mb,
                    self.metric: trial.rung.value,
                    "recommended": trial is self.best,
                    "reason": "" if trial.rung.value is not None else trial.rung.reason,
                }
                for trial in self.trials
            ]
        )


def scaled_lr(lr: float, size: int, base_size: int, scale: str) -> float:
    """Return the rate for a batch size, to three digits.

    >>> scaled_lr(0.01, 64, 16, "linear"), scaled_lr(0.01, 64, 16, "sqrt"), scaled_lr(0.01, 64, 16, "none")
    (0.04, 0.02, 0.01)
    """
    factor = {"linear": size / base_size, "sqrt": math.sqrt(size / base_size), "none": 1.0}[scale]
    return float(f"{lr * factor:.3g}")


def recommend(trials: Sequence[BatchTrial], mode: str, tolerance: float) -> BatchTrial:
    """Return the fastest training whose result is within `tolerance` of the best; of equally fast ones the smaller.

    Raises:
        InfeasibleError: All failed.
    """
    low, high = _within(trials, mode, tolerance)
    good = [trial for trial in trials if trial.rung.value is not None and low <= trial.rung.value <= high]
    return max(good, key=lambda trial: (trial.rung.samples_per_s or 0.0, -trial.size))


def _within(trials: Sequence[BatchTrial], mode: str, tolerance: float) -> tuple[float, float]:
    values = [trial.rung.value for trial in trials if trial.rung.value is not None]
    if not values:
        raise InfeasibleError(
            f"every training failed: {'; '.join(dict.fromkeys(trial.rung.reason for trial in trials))}"
        )
    return (max(values) - tolerance, max(values)) if mode == "max" else (min(values), min(values) + tolerance)


def tune_batch(
    config_dir: Path,
    experiment: Experiment,
    job: int,
    *,
    sizes: Sequence[int],
    epochs: int,
    scale: Scale,
    tolerance: float,
    make: Callable[[Sequence[Path]], None],
    tell: Callable[[str], None],
) -> BatchSearch:
    """Train the job with each batch size, one after the other, so that none takes another's processor.

    Args:
        config_dir: The folder `config`.
        experiment: As its file says it.
        job: The number of the job.
        sizes: Of batches.
        epochs: Of each training.
        scale: How the rate follows the size; `auto`: linear for SGD and its relatives, else by the root.
        tolerance: How much worse than the best a recommended result may be.
        make: Makes files of the workflow.
        tell: Called with what has happened, for people.

    Raises:
        DataError: A training could not be run.
        InfeasibleError: Every training failed.
    """
    settings = experiment.job(job)
    optimizer, seed = settings.train.optimizer, settings.train.seed
    taken = ("linear" if optimizer.name in _LINEAR else "sqrt") if scale == "auto" else scale
    key = settings_key(settings.model_dump(mode="json", exclude={"evaluate", "note"}))[:8]
    files = TrialFiles(config_dir, experiment, settings.train.monitor, job)
    trials: list[BatchTrial] = []
    for size in sorted(set(sizes)):
        lr = scaled_lr(optimizer.lr, size, settings.train.batch_size, taken)
        values: dict[str, Any] = {SIZE: size, LR: lr}
        trial = f"batch-{key}-{size}-{taken}"
        path = files.rung(trial, values, seed, epochs)
        if not path.is_file():
            tell(f"batch size {size}, lr {lr:g}: {epochs} epochs")
            make([path])
        trials.append(BatchTrial(size, lr, files.read(trial, values, seed, epochs)))
    best = recommend(trials, settings.train.mode, tolerance)
    return BatchSearch(settings.train.monitor, settings.train.mode, epochs, taken, tolerance, trials, best)


def batch_yaml(trial: BatchTrial) -> str:
    """Return the line for an experiment's file."""
    return f"train: {{batch_size: {trial.size}, optimizer: {{lr: {json.dumps(trial.lr)}}}}}"
