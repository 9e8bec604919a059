"""What a training writes beside its history while it runs: for TensorBoard, or as a CSV file."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from auscult.config.train import LiveLog
from auscult.errors import ConfigError
from auscult.training.history import EpochRow

TENSORBOARD_FOLDER = "tensorboard"
CSV_FILE = "live.csv"


class _Log(Protocol):
    def write(self, row: EpochRow, rates: dict[str, float]) -> None: ...

    def close(self) -> None: ...


class LiveLogs:
    """The logs that the settings name.

    Args:
        names: Which.
        folder: The run folder.
        rows: Of the epochs that are done: they are written again, so that a resumed training has each of them once.
    """

    def __init__(self, names: Sequence[LiveLog], folder: Path, rows: Sequence[EpochRow]) -> None:
        makers: dict[str, Any] = {"tensorboard": _TensorBoard, "csv": _Csv}
        self._logs: list[_Log] = [makers[name](folder) for name in names]
        for row in rows:
            self.write(row, {})

    def write(self, row: EpochRow, rates: dict[str, float]) -> None:
        """Write an epoch, and the learning rate of each group."""
        for log in self._logs:
            log.write(row, rates)

    def close(self) -> None:
        """End the files."""
        for log in self._logs:
            log.close()


def rates_of(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Return the learning rate of each named group; of those of one name the highest."""
    rates: dict[str, float] = {}
    for group in optimizer.param_groups:
        name = f"lr/{group.get('name', 'all')}"
        rates[name] = max(rates.get(name, 0.0), float(group["lr"]))
    return rates


class _TensorBoard:
    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard.writer import SummaryWriter  # noqa: PLC0415 (slow to import, rarely needed)
        except ImportError as error:
            raise ConfigError(
                f"train.live_logs: tensorboard is not installed ({error}); pip install tensorboard, or leave it out"
            ) from error

        target = folder / TENSORBOARD_FOLDER
        shutil.rmtree(target, ignore_errors=True)
        self._writer: Any = SummaryWriter(str(target))

    def write(self, row: EpochRow, rates: dict[str, float]) -> None:
        for name, value in {**row, **rates}.items():
            if name != "epoch" and value is not None:
                self._writer.add_scalar(name, value, row["epoch"])
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class _Csv:
    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._stream = (folder / CSV_FILE).open("w", encoding="utf-8", newline="")
        self._writer: Any = None

    def write(self, row: EpochRow, rates: dict[str, float]) -> None:
        del rates  # the columns are those of history.csv
        if self._writer is None:
            self._writer = csv.DictWriter(self._stream, list(row), lineterminator="\n")
            self._writer.writeheader()
        self._writer.writerow(row)
        self._stream.flush()

    def close(self) -> None:
        self._stream.close()
