"""One session of a training: when it saves its state, and when it has to leave before the training's end.

A signal or the end of a time budget ends a session; the next one resumes from its checkpoint.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

from auscult.config.train import SaveSettings

if TYPE_CHECKING:  # torch would make `auscult watch` slow to start
    from auscult.training.checkpoint import Checkpoint, CheckpointStore
    from auscult.training.distributed import ProcessGroup
    from auscult.training.progress import Progress

EXIT_BUDGET_OVER = 75
"""EX_TEMPFAIL of sysexits.h: nothing is wrong, run it again to resume. A signal gives 128 plus its number."""

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True)
class StopReason:
    """Why a session ends early, and the exit status that says so."""

    text: str
    exit_code: int


class TrainingStopped(SystemExit):
    """The session ended before the training did; run it again to resume.

    Attributes:
        reason: Why.
    """

    def __init__(self, reason: StopReason) -> None:
        super().__init__(reason.exit_code)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason.text


@contextmanager
def ignoring_signals() -> Generator[None]:
    """Ignore SIGTERM and SIGINT while the block runs: rank zero handles them for all processes."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Stop:
    """Knows whether the session has to end: after a signal, or when the time budget is over.

    A signal that comes while there is something to save is recorded, and the loop checks for it between batches; at
    any other time it ends the process at once. Further signals change nothing: Snakemake sends one several times.

    Args:
        budget_s: Seconds after which `reason` says that the budget is over; None: never.
        clock: Seconds that only grow.
    """

    def __init__(self, budget_s: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._budget_s = budget_s
        self._clock = clock
        self._start_s = clock()
        self._signal: signal.Signals | None = None
        self._is_deferred = False

    @property
    def urgent_reason(self) -> StopReason | None:
        """A signal: it interrupts a validation too, which the next session repeats; a budget lets it end."""
        return None if self._signal is None else StopReason(self._signal.name, 128 + self._signal)

    @property
    def reason(self) -> StopReason | None:
        """Why to stop now; None: continue."""
        if self._signal is not None:
            return self.urgent_reason
        if self._budget_s is not None and self._clock() - self._start_s >= self._budget_s:
            return StopReason(f"the time budget of {self._budget_s:g} s is over", EXIT_BUDGET_OVER)
        return None

    @contextmanager
    def listening(self) -> Generator[None]:
        """Handle SIGTERM and SIGINT while the block runs; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._record) for number in SIGNALS}
        try:
            yield
        finally:
            # After one of them the process only ends: a second one must not change how.
            for number, handler in before.items():
                signal.signal(number, handler if self._signal is None else signal.SIG_IGN)

    @contextmanager
    def deferred(self) -> Generator[None]:
        """Only record signals while the block runs."""
        self._is_deferred = True
        try:
            yield
        finally:
            self._is_deferred = False

    def _record(self, number: int, _: FrameType | None) -> None:
        is_first = self._signal is None
        self._signal = self._signal or signal.Signals(number)
        reason = self.reason
        if is_first and not self._is_deferred and reason is not None:
            raise TrainingStopped(reason)


class SaveTimer:
    """Knows when the next save is due.

    Args:
        settings: How often.
        clock: Seconds that only grow.
    """

    def __init__(self, settings: SaveSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._last_s = clock()
        self._last_step = 0

    def is_due(self, n_steps: int, *, epoch_done: int | None = None) -> bool:
        """Return whether to save now.

        Args:
            n_steps: Optimizer steps in all.
            epoch_done: The epoch that has just ended, if one has.
        """
        every = self._settings
        if epoch_done is not None and epoch_done % every.every_epochs == 0:
            return True
        if every.every_steps is not None and n_steps > self._last_step and n_steps % every.every_steps == 0:
            return True
        return self._clock() - self._last_s >= every.every_s

    def restart(self, n_steps: int) -> None:
        """Count from a save that was just made."""
        self._last_s = self._clock()
        self._last_step = n_steps


@dataclass(frozen=True)
class Session:
    """What the loop needs of the world around it.

    Attributes:
        stop: Whether the session has to end.
        save_timer: When to save.
        progress: Receives what the training is doing.
        processes: Rank zero decides for all.
        store: Where the state is saved; None in other processes than rank zero.
    """

    stop: Stop
    save_timer: SaveTimer
    progress: Progress
    processes: ProcessGroup
    store: CheckpointStore | None

    def load(self) -> Checkpoint | None:
        """Return the last intact checkpoint."""
        return self.processes.broadcast(None if self.store is None else self.store.load())

    def save(self, checkpoint: Checkpoint, n_steps: int) -> None:
        """Save; all processes wait until it is done."""
        if self.store is not None:
            self.store.save(checkpoint)
        self.save_timer.restart(n_steps)
        self.processes.barrier()

    def due(self, n_steps: int, *, epoch_done: int | None = None) -> tuple[StopReason | None, bool]:
        """Return why to stop now, if so, and whether a save is due; the same in all processes."""
        return self.processes.broadcast((self.stop.reason, self.save_timer.is_due(n_steps, epoch_done=epoch_done)))
