"""What each epoch gave: kept in memory, appended to `metrics.jsonl` at once, written as `history.csv` at the end."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from auscult.io import write_text
from auscult.tables import write_csv

METRICS_FILE = "metrics.jsonl"
HISTORY_FILE = "history.csv"

EpochRow = dict[str, Any]
"""`epoch` (from 1), `train/loss`, `val/...`, `lr`, `epoch_s`, `data_wait_share`, `samples_per_s`; None: undefined."""


class History:
    """The rows of a training.

    Args:
        folder: The run folder. `metrics.jsonl` in it is written anew from `rows`: a line of an epoch that was not
            finished, or a file that the workflow removed, is put right.
        rows: Of the epochs that are already done.
    """

    def __init__(self, folder: Path, rows: list[EpochRow]) -> None:
        self.folder = Path(folder)
        self.rows = list(rows)
        write_text(self.folder / METRICS_FILE, "".join(_line(row) for row in self.rows))

    def append(self, row: EpochRow) -> None:
        """Add an epoch, in the file as well."""
        self.rows.append(row)
        with (self.folder / METRICS_FILE).open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(_line(row))

    def write_csv(self) -> None:
        """Write `history.csv`, an undefined value as an empty cell."""
        write_csv(self.folder / HISTORY_FILE, pd.DataFrame(self.rows))


def is_better(value: float | None, best: float | None, mode: Literal["max", "min"]) -> bool:
    """Return whether an epoch beats the best one so far; a tie does not, nor does an undefined value.

    >>> is_better(0.8, None, "max"), is_better(0.8, 0.8, "max"), is_better(None, None, "min")
    (True, False, False)
    """
    if value is None or not math.isfinite(value):
        return False
    if best is None:
        return True
    return value > best if mode == "max" else value < best


def _line(row: EpochRow) -> str:
    return json.dumps(row, allow_nan=False) + "\n"
