"""What each epoch gave: kept in memory, appended to `metrics.jsonl` at once, written as `history.csv` at the end."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from auscult.config.train import TrainSettings
from auscult.storage.files import write_text
from auscult.storage.tables import write_csv

_LOG = logging.getLogger(__name__)

METRICS_FILE = "metrics.jsonl"
HISTORY_FILE = "history.csv"

EpochRow = dict[str, Any]
"""`epoch` (from 1), `train/loss`, `val/...`, `lr`, `epoch_s`, `data_wait_share`, `samples_per_s`; None: undefined."""


class History:
    """The rows of a training.

    Args:
        folder: The run folder; None: nothing is written. `metrics.jsonl` in it is written anew from `rows`: a line of
            an epoch that was not finished, or a file that the workflow removed, is put right.
        rows: Of the epochs that are already done.
    """

    def __init__(self, folder: Path | None, rows: list[EpochRow]) -> None:
        self.folder = folder
        self.rows = list(rows)
        if self.folder is not None:
            write_text(self.folder / METRICS_FILE, "".join(_line(row) for row in self.rows))

    def append(self, row: EpochRow) -> None:
        """Add an epoch, in the file as well."""
        self.rows.append(row)
        if self.folder is None:
            return
        with (self.folder / METRICS_FILE).open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(_line(row))

    def write_csv(self) -> None:
        """Write `history.csv`, an undefined value as an empty cell."""
        if self.folder is not None:
            write_csv(self.folder / HISTORY_FILE, pd.DataFrame(self.rows))


def is_better(row: EpochRow, best: EpochRow | None, monitor: str, mode: Literal["max", "min"]) -> bool:
    """Return whether an epoch beats the best one so far.

    Of equal values the lower validation loss wins: with few patients a rank metric such as AUROC takes few values, and
    its first maximum may come before the answers are worth anything. An undefined value never wins.

    >>> early, late = {"val/auroc": 1.0, "val/loss": 0.7}, {"val/auroc": 1.0, "val/loss": 0.3}
    >>> is_better(early, None, "val/auroc", "max"), is_better(late, early, "val/auroc", "max")
    (True, True)
    >>> is_better(early, late, "val/auroc", "max"), is_better({"val/auroc": None}, None, "val/auroc", "max")
    (False, False)
    """
    value = row[monitor]
    if value is None or not math.isfinite(value):
        return False
    if best is None:
        return True
    if value == best[monitor]:
        return bool(row["val/loss"] < best["val/loss"])
    return bool(value > best[monitor]) if mode == "max" else bool(value < best[monitor])


def log_row(row: EpochRow, settings: TrainSettings, best: EpochRow | None) -> None:
    """Write one line of an epoch into the log; `best` is the best row so far, None: say nothing of it."""
    values = {key: value for key, value in row.items() if key.startswith(("train/", "val/"))}
    shown = ", ".join(f"{key} {'undefined' if value is None else f'{value:.4f}'}" for key, value in values.items())
    best_text = "" if best is None else f"; best epoch {best['epoch']} ({best[settings.monitor]:.4f})"
    _LOG.info(
        "epoch %d/%d: %s%s; %.1f s, %.0f samples/s, %.1f%% waiting for data",
        row["epoch"],
        settings.epochs,
        shown,
        best_text,
        row["epoch_s"],
        row["samples_per_s"],
        100 * row["data_wait_share"],
    )


def _line(row: EpochRow) -> str:
    return json.dumps(row, allow_nan=False) + "\n"
