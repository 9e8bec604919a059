"""`state/progress.json`: what a training is doing; a progress bar on a terminal, and a table of all trainings.

The file is written whole or not at all, at most once a second, and never synced to the disk: no result depends on it.
"""

from __future__ import annotations

import fcntl
import json
import logging
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from auscult.storage.files import atomic_path, read_json
from auscult.training.lock import is_owner_alive
from auscult.training.session import TrainingStopped

if TYPE_CHECKING:
    pass

logger = logging.getLogger(__name__)

PROGRESS_FILE = "progress.json"
RUNNING = ("starting", "training", "validating", "saving")
Tell = Callable[[str, Mapping[str, Any]], None]
"""Takes an event of a training, its kind and what is known of it; `config.run_events` says what there is."""
LEAST_INTERVAL_S = 1.0
_RECENT_S = 30.0


class Progress:
    """What is known of a training, on disk.

    Args:
        folder: The run's `state` folder; what the session before left there tells why this one is needed.
        owner: Which process trains, for people.
        clock: Seconds that only grow.
        is_silent: Nothing is written, drawn or told.
        tell: Takes the events of this session.

    Attributes:
        ending: What is reported when the block of `reporting` ends.
    """

    def __init__(
        self,
        folder: Path,
        owner: str,
        clock: Callable[[], float] = time.monotonic,
        *,
        is_silent: bool = False,
        tell: Tell = lambda kind, known: None,
    ) -> None:
        self.path = Path(folder) / PROGRESS_FILE
        before = read_progress(self.path)
        self.values: dict[str, Any] = {
            "status": "starting",
            "reason": None,
            "owner": owner,
            "attempt": 1 if before is None else int(before.get("attempt", 0)) + 1,
            "resumed_because": None if before is None else _why_resumed(before),
            "started_s": time.time(),
        }
        self.ending: dict[str, Any] = {"status": "finished", "eta_s": 0.0}
        self._clock = clock
        self._is_silent = is_silent
        self._tell = tell
        self._written_s = -math.inf
        self._speed = _Speed(clock)
        self._bar: _Bar | None = None

    @contextmanager
    def reporting(self) -> Generator[Progress]:
        """Report the start of the block, and how it ends."""
        with ExitStack() as stack:
            self._bar = None if self._is_silent else stack.enter_context(_bar())
            try:
                self._log_why_resumed()
                self.report("starting", at_once=True)
                yield self
            except TrainingStopped as stopped:
                self.report("stopped", at_once=True, reason=str(stopped))
                self.tell("stopped", reason=str(stopped))
                raise
            except BaseException as error:
                self.report("failed", at_once=True, reason=f"{type(error).__name__}: {error}")
                self.tell("failed", error=type(error).__name__)  # its text may name recordings
                raise
            self.report(at_once=True, **self.ending)
            if self.ending["status"] == "finished":
                self.tell("finished", best_epoch=self.ending.get("best_epoch"))
            else:
                self.tell("stopped", reason=self.ending["reason"])

    def tell(self, kind: str, **known: Any) -> None:
        """Tell of an event: `started`, `epoch`, `saved`, `stopped`, `finished` or `failed`."""
        if not self._is_silent:
            self._tell(kind, {"attempt": self.values["attempt"], **known})

    def _log_why_resumed(self) -> None:
        if self.values["resumed_because"] is not None:
            logger.info("attempt %d: %s", self.values["attempt"], self.values["resumed_because"])

    def report(self, status: str, *, at_once: bool = False, **values: Any) -> None:
        """Take what it is doing; written when the last time is a second ago, or `at_once`."""
        self.values |= {"status": status, **values}
        if at_once or self._is_due:
            self._write()

    @property
    def _is_due(self) -> bool:
        return self._clock() - self._written_s >= LEAST_INTERVAL_S

    def report_batch(
        self, done: Mapping[str, Any], n_clips: int, n_batches_left: int, loss: Callable[[], float]
    ) -> None:
        """Take a batch; written when the last time is a second ago.

        Args:
            done: Such as `epoch`, `batch`, `step`.
            n_clips: Of the batch.
            n_batches_left: To the end of the last epoch.
            loss: Mean of the epoch so far; computed only when it is written, because it waits for the device.
        """
        self._speed.add(n_clips)
        self.values |= done
        if self._is_due:
            clips_per_s, batches_per_s = self._speed.per_s()
            eta_s = n_batches_left / batches_per_s if batches_per_s else None
            news: dict[str, Any] = {
                "samples_per_s": clips_per_s,
                "eta_s": _finite(eta_s),
                "train/loss": _finite(loss()),
            }
            self.report("training", **news)

    def _write(self) -> None:
        if self._is_silent:
            return
        self._written_s = self._clock()
        self.values["updated_s"] = time.time()
        try:
            with atomic_path(self.path, is_synced=False) as temporary, temporary.open("w", encoding="utf-8") as stream:
                json.dump(self.values, stream, indent=2, allow_nan=False)
        except OSError as error:
            # A full disk must not end a training over a progress report.
            logger.warning("%s could not be written: %s", self.path, error)
        if self._bar is not None:
            self._bar.show(self.values)


class _Speed:
    """Clips and batches a second over the last half minute."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._marks: list[tuple[float, int, int]] = [(clock(), 0, 0)]

    def add(self, n_clips: int) -> None:
        now = self._clock()
        _, clips, batches = self._marks[-1]
        self._marks.append((now, clips + n_clips, batches + 1))
        if now - self._marks[0][0] > 2 * _RECENT_S:
            self._marks = [mark for mark in self._marks if now - mark[0] <= _RECENT_S] or self._marks[-1:]

    def per_s(self) -> tuple[float, float]:
        (start, first_clips, first_batches), (end, clips, batches) = self._marks[0], self._marks[-1]
        spent = end - start
        return ((clips - first_clips) / spent, (batches - first_batches) / spent) if spent > 0 else (0.0, 0.0)


def read_progress(path: Path) -> dict[str, Any] | None:
    """Read a progress file; None when it is not there or not readable."""
    try:
        values = read_json(path)
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def _why_resumed(before: Mapping[str, Any]) -> str:
    status = str(before.get("status"))
    if status in RUNNING:
        return f"{before.get('owner')} was killed or lost while {status}"
    if status == "finished":
        return "it was finished; its outputs are written again"
    return f"{status}: {before.get('reason')}"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


class _Bar:
    """One line on the terminal, redrawn."""

    def __init__(self, stream: IO[str]) -> None:
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415
        from rich.progress import Progress as RichProgress  # noqa: PLC0415

        from auscult.formatting.terminal import Console  # noqa: PLC0415 (slow to import, and rarely needed)

        self.rich = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeRemainingColumn(),
            console=Console(file=stream),
            transient=True,
        )
        self._task = self.rich.add_task("starting", total=None)

    def show(self, values: Mapping[str, Any]) -> None:
        """Show what is known."""
        epochs, epoch = values.get("epochs"), values.get("epoch")
        if epochs is None or epoch is None:
            return
        n_batches = max(1, int(values.get("n_batches") or 1))
        loss, speed = values.get("train/loss"), values.get("samples_per_s")
        text = f"{values['status']} epoch {epoch}/{epochs}"
        text += "" if loss is None else f", loss {loss:.4f}"
        text += "" if speed is None else f", {speed:.0f} samples/s"
        done = (epoch - 1) * n_batches + int(values.get("batch") or 0)
        self.rich.update(self._task, description=text, completed=done, total=epochs * n_batches)


@contextmanager
def _bar() -> Generator[_Bar | None]:
    """Yield a bar when there is a terminal and no other training of this user draws on it."""
    stream = sys.stderr
    if not stream.isatty():
        yield None
        return
    terminal = os.ttyname(stream.fileno()).replace("/", "_")
    with open(Path(tempfile.gettempdir()) / f"auscult-bar-{os.getuid()}{terminal}", "w", encoding="utf-8") as taken:
        try:
            fcntl.flock(taken, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield None
            return
        bar = _Bar(stream)
        with bar.rich:
            yield bar


@dataclass(frozen=True)
class Watched:
    """One training.

    Attributes:
        name: `<folder>/<experiment>/<job>`, the folder below the watched one.
        values: The content of its progress file.
        is_dead: It is reported as running, and no process runs it.
    """

    name: str
    values: dict[str, Any]
    is_dead: bool

    @property
    def status(self) -> str:
        """What it is doing."""
        return f"dead ({self.values['status']})" if self.is_dead else str(self.values["status"])


def find_trainings(runs_dir: Path, *, everything: bool = False, prefix: str = "") -> list[Watched]:
    """Return the trainings below `runs_dir` that run or died, with `everything` the ended ones too; sorted by name.

    Args:
        runs_dir: Such as `work/runs`.
        everything: Those that ended too.
        prefix: Of their names.
    """
    found: list[Watched] = []
    for path in sorted(Path(runs_dir).glob(f"**/state/{PROGRESS_FILE}")):
        values = read_progress(path)
        if values is None:
            continue
        is_running = values.get("status") in RUNNING
        if is_running or everything:
            name = prefix + path.parent.parent.relative_to(runs_dir).as_posix()
            found.append(Watched(name, values, is_running and not is_owner_alive(path.parent)))
    return found
