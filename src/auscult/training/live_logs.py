"""What a training writes beside its history while it runs: for TensorBoard, or as CSV files.

Each attempt writes the logs anew, so that they hold every epoch once; what the history does not tell of the epochs
before, learning rates and answers, is kept in `state/live.jsonl`.
"""

from __future__ import annotations

import csv
import json
import logging
import math
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from auscult.config.task import TaskSettings
from auscult.config.train import LiveLog, TrainSettings
from auscult.errors import ConfigError
from auscult.storage.files import write_text
from auscult.training.history import EpochRow
from auscult.training.orders import plan_in_order
from auscult.training.validation import Part

_LOG = logging.getLogger(__name__)

TENSORBOARD_FOLDER = "tensorboard"
CSV_FILE = "live.csv"
PREDICTIONS_FILE = "live_predictions.csv"
_KEPT_FILE = "state/live.jsonl"


@dataclass(frozen=True)
class LiveExamples:
    """Validation clips whose answers are followed from epoch to epoch. Their numbers alone are told.

    Attributes:
        numbers: Places among the validation clips, from 0.
        targets: Shape [clip, target]: 1, 0 or NaN.
        names: Of the targets.
    """

    numbers: NDArray[np.int64]
    targets: NDArray[np.float32]
    names: tuple[str, ...]

    @classmethod
    def spread(cls, targets: NDArray[np.float32], names: tuple[str, ...], n: int) -> LiveExamples:
        """Take `n` clips, evenly from the first to the last one of all `targets`."""
        numbers = np.unique(np.linspace(0, len(targets) - 1, min(n, len(targets))).round().astype(np.int64))
        return cls(numbers, targets[numbers], names)


class _Epoch(NamedTuple):
    row: EpochRow
    rates: dict[str, float]
    answers: list[list[float]]


class _Log(Protocol):
    def write(self, epoch: _Epoch) -> None: ...

    def draw_graph(self, module: nn.Module, inputs: Tensor) -> None: ...

    def close(self) -> None: ...


class LiveLogs:
    """The logs that the settings name.

    Args:
        names: Which; none: nothing is written.
        folder: The run folder.
        rows: Of the epochs that are done.
        examples: Whose answers are told.
    """

    def __init__(
        self, names: Sequence[LiveLog], folder: Path, rows: Sequence[EpochRow], examples: LiveExamples
    ) -> None:
        makers: dict[str, Any] = {"tensorboard": _TensorBoard, "csv": _Csv}
        self._examples = examples
        self._logs: list[_Log] = [makers[name](folder, examples) for name in names]
        self._kept = folder / _KEPT_FILE
        if not self._logs:
            return
        known = _read_kept(self._kept)
        done = [_Epoch(row, *known.get(int(row["epoch"]), ({}, []))) for row in rows]
        write_text(self._kept, "".join(map(_line, done)))
        for epoch in done:
            self._write(epoch)

    def write(self, row: EpochRow, rates: dict[str, float], answers: NDArray[np.float64] | None) -> None:
        """Write an epoch.

        Args:
            row: Of the history.
            rates: The learning rate of each group.
            answers: Probabilities for all validation clips, [clip, target]; None: there was no validation.
        """
        if not self._logs:
            return
        chosen = [] if answers is None else answers[self._examples.numbers].tolist()
        epoch = _Epoch(row, rates, chosen)
        with self._kept.open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(_line(epoch))
        self._write(epoch)

    def draw_graph(self, module: nn.Module, inputs: Tensor) -> None:
        """Draw the model's graph where a log can show one; the model is in evaluation mode afterwards.

        Args:
            module: The model.
            inputs: What it takes, of one clip.
        """
        module.eval()
        for log in self._logs:
            log.draw_graph(module, inputs)

    def close(self) -> None:
        """End the files."""
        for log in self._logs:
            log.close()

    def _write(self, epoch: _Epoch) -> None:
        for log in self._logs:
            log.write(epoch)


def start_live_logs(
    folder: Path | None,
    rows: Sequence[EpochRow],
    module: nn.Module,
    part: Part,
    *,
    task: TaskSettings,
    settings: TrainSettings,
) -> LiveLogs:
    """Begin the logs of an attempt, with the model's graph.

    Args:
        folder: The run folder; None: another process of the team writes them.
        rows: Of the epochs that are done.
        module: The model.
        part: The validation part.
        task: Names the targets.
        settings: Name the logs.
    """
    names = settings.live_logs if folder is not None else ()
    examples = LiveExamples.spread(part.targets, task.targets, settings.live_examples)
    logs = LiveLogs(names, folder or Path(), rows, examples)
    if names:
        (first,) = part.batches(plan_in_order(1, 1))
        logs.draw_graph(module, first)
    return logs


def rates_of(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Return the learning rate of each named group; of those of one name the highest."""
    rates: dict[str, float] = {}
    for group in optimizer.param_groups:
        name = f"lr/{group.get('name', 'all')}"
        rates[name] = max(rates.get(name, 0.0), float(group["lr"]))
    return rates


class _TensorBoard:
    def __init__(self, folder: Path, examples: LiveExamples) -> None:
        try:
            from torch.utils.tensorboard.writer import SummaryWriter  # noqa: PLC0415 (slow to import, rarely needed)
        except ImportError as error:
            raise ConfigError(
                f"train.live_logs: tensorboard is not installed ({error}); pip install tensorboard, or leave it out"
            ) from error

        target = folder / TENSORBOARD_FOLDER
        shutil.rmtree(target, ignore_errors=True)
        self._writer: Any = SummaryWriter(str(target))
        self._examples = examples

    def write(self, epoch: _Epoch) -> None:
        number = epoch.row["epoch"]
        for name, value in {**epoch.row, **epoch.rates}.items():
            if name != "epoch" and value is not None:
                self._writer.add_scalar(name, value, number)
        for clip, targets, answers in zip(self._examples.numbers, self._examples.targets, epoch.answers, strict=False):
            for name, truth, answer in zip(self._examples.names, targets, answers, strict=True):
                # TensorBoard compares curves by their names: the truth stands in it.
                self._writer.add_scalar(f"predictions/{name}/clip_{clip}_{_word(truth)}", answer, number)
        self._writer.flush()

    def draw_graph(self, module: nn.Module, inputs: Tensor) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the tracing that TensorBoard is drawn by
                self._writer.add_graph(module, inputs)
        except Exception as error:  # the tracer raises whatever a model's code does
            _LOG.warning("TensorBoard shows no graph of this model: it could not be traced (%s)", error)

    def close(self) -> None:
        self._writer.close()


class _Csv:
    """`live.csv` holds the history and the learning rates, `live_predictions.csv` a line an epoch and clip."""

    def __init__(self, folder: Path, examples: LiveExamples) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._examples = examples
        self._path = folder / CSV_FILE
        self._rows: list[dict[str, Any]] = []
        self._columns: list[str] = []
        self._stream = (folder / PREDICTIONS_FILE).open("w", encoding="utf-8", newline="")
        self._predictions = csv.writer(self._stream, lineterminator="\n")
        names = [f"{kind}_{name}" for name in examples.names for kind in ("target", "prob")]
        self._predictions.writerow(["epoch", "clip", *names])

    def write(self, epoch: _Epoch) -> None:
        row = {**epoch.row, **epoch.rates}
        self._rows.append(row)
        if set(row) <= set(self._columns):
            with self._path.open("a", encoding="utf-8", newline="") as stream:
                csv.DictWriter(stream, self._columns, lineterminator="\n").writerow(row)
        else:
            self._write_all([*self._columns, *(name for name in row if name not in self._columns)])
        for clip, targets, answers in zip(self._examples.numbers, self._examples.targets, epoch.answers, strict=False):
            cells = [cell for pair in zip(map(_cell, targets), answers, strict=True) for cell in pair]
            self._predictions.writerow([epoch.row["epoch"], clip, *cells])
        self._stream.flush()

    def _write_all(self, columns: list[str]) -> None:
        self._columns = columns
        with self._path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self._rows)

    def draw_graph(self, module: nn.Module, inputs: Tensor) -> None:
        """A table shows no graph."""

    def close(self) -> None:
        self._stream.close()


def _word(truth: float) -> str:
    return "unknown" if math.isnan(truth) else "yes" if truth == 1 else "no"


def _cell(truth: float) -> int | None:
    return None if math.isnan(truth) else int(truth)


def _line(epoch: _Epoch) -> str:
    return json.dumps({"epoch": epoch.row["epoch"], "rates": epoch.rates, "answers": epoch.answers}) + "\n"


def _read_kept(path: Path) -> dict[int, tuple[dict[str, float], list[list[float]]]]:
    """Return learning rates and answers by epoch; a line that was cut off is left out."""
    known: dict[int, tuple[dict[str, float], list[list[float]]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            values = json.loads(line)
        except json.JSONDecodeError:
            continue
        known[int(values["epoch"])] = values["rates"], values["answers"]
    return known
