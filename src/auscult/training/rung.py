"""One rung of a trial: its training goes on to an epoch, and what it reached on validation is written down."""

from __future__ import annotations

import logging
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from auscult.config.experiment import JobSettings
from auscult.config.paths import METRICS_FILE
from auscult.config.train import TrainSettings
from auscult.config.trials import rung_key
from auscult.errors import DivergedError, InfeasibleError
from auscult.storage.files import parse_json, write_json
from auscult.training.validation import is_better

logger = logging.getLogger(__name__)

_OUTCOMES = (DivergedError, InfeasibleError, torch.OutOfMemoryError)
"""Faults that say something of a trial's settings, not of the machine or the data behind all trials."""


def run_rung(output: Path, job: JobSettings, epoch: int, train_until: Callable[[int], None]) -> None:
    """Train to `epoch` and write the rows of all epochs up to there; a diverged trial is an outcome too.

    Args:
        output: The rung's file, in the folder that the training works in.
        job: What is trained.
        epoch: Where it pauses.
        train_until: Trains in that folder until after the epoch; see `train`.

    Raises:
        AuscultError: What `train` raises, but for a loss that diverges, a metric that is never defined and a device's
            memory that is too small.
    """
    status, reason = "reached", ""
    try:
        train_until(epoch)
    except _OUTCOMES as error:
        status, reason = "failed", f"{type(error).__name__}: {error}".splitlines()[0]
        logger.warning("the trial failed: %s", error)
    rows = [row for row in _read_rows(output.with_name(METRICS_FILE)) if row["epoch"] <= epoch]
    write_json(
        output,
        {
            "epoch": epoch,
            "key": rung_key(job),
            "status": status,
            "reason": reason,
            "kept_epoch": _kept_epoch(rows, job.train),
            "rows": rows,
            "peak_memory_mb": _peak_memory_mb(),
        },
    )


def _kept_epoch(rows: list[dict[str, Any]], settings: TrainSettings) -> int | None:
    """Return the epoch that a training would keep of these; None: the monitored metric is defined in none."""
    best: dict[str, Any] | None = None
    for row in rows:
        if row[settings.monitor] is not None and is_better(row, best, settings.monitor, settings.mode):
            best = row
    return None if best is None else int(best["epoch"])


def _read_rows(path: Path) -> list[dict[str, Any]]:
    return [parse_json(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def _peak_memory_mb() -> float:
    """Return the most memory that this process took: of the GPU where it used one, else of the machine."""
    if torch.cuda.is_available() and torch.cuda.max_memory_reserved():
        return torch.cuda.max_memory_reserved() / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
