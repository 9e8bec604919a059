"""What a training writes: a line an epoch in `metrics.jsonl`, TensorBoard where asked for, `history.csv` at the end.

`metrics.jsonl` is the truth: the others are made from its rows.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile, schedule

from auscult.config.paths import MAPS_FOLDER, METRICS_FILE
from auscult.config.train import TrainSettings
from auscult.errors import ConfigError
from auscult.storage.files import write_text
from auscult.storage.tables import write_csv
from auscult.training.distributed import ProcessGroup
from auscult.training.losses import LossSum

logger = logging.getLogger(__name__)

HISTORY_FILE = "history.csv"
TENSORBOARD_FOLDER = "tensorboard"
TRACE_FILE = "trace.json"
TABLE_FILE = "table.txt"
_WARM_UP_STEPS = 2

EpochRow = dict[str, Any]
"""`epoch` (from 1), `train/loss`, `val/...`, `lr`, `epoch_s`, `data_wait_share`, `samples_per_s`; None: undefined.

Where groups learn at different rates also `lr/<group>`, and with `live_examples` the probabilities of followed clips.
"""


class History:
    """The rows of a training.

    Args:
        folder: The run folder; None: nothing is written. `metrics.jsonl` in it is written anew from `rows`: a line of
            an epoch that was not finished, or a file that the workflow removed, is corrected. Maps that were drawn of
            other epochs than these are removed.
        rows: Of the epochs that are already done.
        tensorboard: Whether TensorBoard's files are written too.

    Raises:
        ConfigError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path | None, rows: list[EpochRow], *, tensorboard: bool = False) -> None:
        self.folder = folder
        self.rows = list(rows)
        self._tensorboard: TensorBoard | None = None
        if self.folder is None:
            return
        write_text(self.folder / METRICS_FILE, "".join(_line(row) for row in self.rows))
        done = {maps_file(self.folder, row["epoch"]) for row in self.rows}
        for path in (self.folder / MAPS_FOLDER).glob("*.png"):
            if path not in done:
                path.unlink()
        if tensorboard:
            self._tensorboard = TensorBoard(self.folder, self.rows)

    def append(self, row: EpochRow) -> None:
        """Add an epoch, in the files as well."""
        self.rows.append(row)
        if self.folder is None:
            return
        with (self.folder / METRICS_FILE).open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(_line(row))
        if self._tensorboard is not None:
            self._tensorboard.write(row)

    def draw_graph(self, module: nn.Module, clip: Callable[[], Tensor]) -> None:
        """Draw the model's graph where TensorBoard is written; the model is in evaluation mode afterwards.

        Args:
            module: The model.
            clip: Returns what it takes of one clip.
        """
        if self._tensorboard is not None:
            self._tensorboard.draw_graph(module.eval(), clip())

    def write_csv(self) -> None:
        """Write `history.csv`, an undefined value as an empty cell."""
        if self.folder is not None:
            write_csv(self.folder / HISTORY_FILE, pd.DataFrame(self.rows))

    def close(self) -> None:
        """Close TensorBoard's files."""
        if self._tensorboard is not None:
            self._tensorboard.close()


def maps_file(folder: Path, epoch: int) -> Path:
    """Return where the picture of an epoch's maps lies in a run folder."""
    return folder / MAPS_FOLDER / f"epoch_{epoch:04d}.png"


class TensorBoard:
    """Writes rows, and the maps drawn of an epoch, to `tensorboard/`, each session anew: every epoch stands there once.

    Args:
        folder: The run folder.
        rows: Of the epochs that are already done.

    Raises:
        ConfigError: It is not installed.
    """

    def __init__(self, folder: Path, rows: Sequence[EpochRow] = ()) -> None:
        try:
            from torch.utils.tensorboard.writer import SummaryWriter  # noqa: PLC0415 (slow to import, rarely needed)
        except ImportError as error:
            raise ConfigError(
                f"train.live_logs: tensorboard is not installed ({error}); pip install tensorboard, or leave it out"
            ) from error

        self._folder = folder
        target = folder / TENSORBOARD_FOLDER
        shutil.rmtree(target, ignore_errors=True)
        self._writer: Any = SummaryWriter(str(target))
        for row in rows:
            self.write(row)

    def write(self, row: EpochRow) -> None:
        """Write an epoch; what is undefined gets no point."""
        for name, value in row.items():
            if name != "epoch" and value is not None:
                self._writer.add_scalar(name, value, row["epoch"])
        maps = maps_file(self._folder, row["epoch"])
        if maps.is_file():
            with Image.open(maps) as picture:
                pixels = np.asarray(picture.convert("RGB"))
            self._writer.add_image("maps", pixels, row["epoch"], dataformats="HWC")
        self._writer.flush()

    def draw_graph(self, module: nn.Module, inputs: Tensor) -> None:
        """Draw the graph of a model; warn about one that cannot be traced."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the tracer that TensorBoard uses
                self._writer.add_graph(module, inputs)
        except Exception as error:  # the tracer raises whatever a model's code does
            logger.warning("TensorBoard shows no graph of this model: it could not be traced (%s)", error)

    def close(self) -> None:
        """Close the files."""
        self._writer.close()


def followed_numbers(n_clips: int, n: int) -> NDArray[np.int64]:
    """Return which of the validation clips are followed: `n`, evenly from the first to the last.

    >>> followed_numbers(5, 3).tolist()
    [0, 2, 4]
    """
    return np.unique(np.linspace(0, n_clips - 1, min(n, n_clips)).round().astype(np.int64))


def followed_predictions(
    targets: NDArray[np.float32], probabilities: NDArray[np.float64] | None, names: Sequence[str], n: int
) -> EpochRow:
    """Return the probabilities of `n` clips (`followed_numbers`), to follow from epoch to epoch.

    Clips are named by their number alone, no patient and no file. The truth stands in the name of a curve: that is how
    TensorBoard compares them.

    Args:
        targets: Of the validation subset, shape [clip, target]: 1, 0 or NaN.
        probabilities: Shape [clip, target]; None: there was no validation.
        names: Of the targets.
        n: How many clips.

    >>> followed_predictions(np.array([[1.0], [0.0]]), np.array([[0.75], [0.5]]), ["sick"], 2)
    {'predictions/sick/clip_0_yes': 0.75, 'predictions/sick/clip_1_no': 0.5}
    """
    numbers = followed_numbers(len(targets), n)
    return {
        f"predictions/{name}/clip_{number}_{_truth(targets[number, column])}": None
        if probabilities is None
        else float(probabilities[number, column])
        for number in numbers.tolist()
        for column, name in enumerate(names)
    }


def _truth(target: float) -> str:
    return "unknown" if math.isnan(target) else "yes" if target == 1 else "no"


def _line(row: EpochRow) -> str:
    return json.dumps(row, allow_nan=False) + "\n"


def log_row(row: EpochRow, settings: TrainSettings, best: EpochRow | None) -> None:
    """Write one line of an epoch into the log; `best` is the best row so far, None: do not mention it."""
    values = {key: value for key, value in row.items() if key.startswith(("train/", "val/"))}
    shown = ", ".join(f"{key} {'undefined' if value is None else f'{value:.4f}'}" for key, value in values.items())
    best_text = "" if best is None else f"; best epoch {best['epoch']} ({best[settings.monitor]:.4f})"
    logger.info(
        "epoch %d/%d: %s%s; %.1f s, %.0f samples/s, %.1f%% waiting for data",
        row["epoch"],
        settings.epochs,
        shown,
        best_text,
        row["epoch_s"],
        row["samples_per_s"],
        100 * row["data_wait_share"],
    )


class EpochSums:
    """Sums of loss and times over the batches of an epoch so far.

    The loss is summed on the device: asking for each batch's would make the device wait for the host.

    Attributes:
        train_s: Seconds of training.
        wait_s: Of these, seconds of waiting for data.
        n_clips: Clips seen.
    """

    def __init__(self, device: torch.device) -> None:
        self._total = torch.zeros((), dtype=torch.float64, device=device)
        self._n_known = torch.zeros((), dtype=torch.int64, device=device)
        self.train_s = 0.0
        self.wait_s = 0.0
        self.n_clips = 0

    def add(self, loss: LossSum, n_clips: int) -> None:
        """Add a batch."""
        self._total += loss.total.detach()
        self._n_known += loss.n_known
        self.n_clips += n_clips

    def of_all_processes(self, processes: ProcessGroup) -> EpochSums:
        """Return the sums of all processes; the times are rank zero's."""
        if processes.world_size == 1:
            return self
        states = processes.all_gather(self.state_dict())
        whole = EpochSums(self._total.device)
        added = {key: sum(state[key] for state in states) for key in ("total", "n_known", "n_clips")}
        whole.load_state_dict({**states[0], **added})
        return whole

    def mean_loss(self) -> float:
        """Return the mean over all known cells so far."""
        return float(self._total / self._n_known)

    def state_dict(self) -> dict[str, Any]:
        """Return all sums."""
        return {
            "total": float(self._total),
            "n_known": int(self._n_known),
            "train_s": self.train_s,
            "wait_s": self.wait_s,
            "n_clips": self.n_clips,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state_dict`."""
        self._total.fill_(state["total"])
        self._n_known.fill_(state["n_known"])
        self.train_s, self.wait_s, self.n_clips = state["train_s"], state["wait_s"], state["n_clips"]


@contextmanager
def profiled(folder: Path, n_batches: int, device: torch.device) -> Generator[Callable[[], None]]:
    """Yield a function to call after each batch; after two to warm up, `n_batches` are traced.

    Writes `profile/trace.json`, for chrome://tracing or ui.perfetto.dev, and `profile/table.txt`, the operations by
    their own time.

    Args:
        folder: The run folder.
        n_batches: 0: no trace.
        device: Whose times are traced beside the processor's.
    """
    if n_batches == 0:
        yield lambda: None
        return
    target = folder / "profile"
    is_cuda = device.type == "cuda"

    def write(trace: profile) -> None:
        target.mkdir(parents=True, exist_ok=True)
        trace.export_chrome_trace(str(target / TRACE_FILE))
        order = f"self_{device.type}_time_total"
        write_text(target / TABLE_FILE, trace.key_averages().table(sort_by=order, row_limit=40) + "\n")
        logger.info("a trace of %d batches is in %s", n_batches, target)

    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if is_cuda else [])]
    steps = schedule(wait=0, warmup=_WARM_UP_STEPS, active=n_batches, repeat=1)
    with profile(activities=activities, schedule=steps, on_trace_ready=write) as trace:
        yield trace.step
