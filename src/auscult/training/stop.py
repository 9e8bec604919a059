"""When a training has to leave before its end: a signal, or a time budget that is over. What is done is saved first."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from auscult.errors import ConfigError

EXIT_BUDGET_OVER = 75
"""EX_TEMPFAIL of sysexits.h: nothing is wrong, run the same again to go on. A signal gives 128 plus its number."""

SIGNALS = (signal.SIGTERM, signal.SIGINT)


BUDGET_VARIABLE = "AUSCULT_BUDGET_S"
_RUNTIME_MARGIN_S = 120.0


def choose_budget_s(environment: Mapping[str, str], setting_s: float | None, runtime_min: float | None) -> float | None:
    """Return the time budget: by the environment, else by the setting, else by what the cluster grants.

    Args:
        environment: May hold `AUSCULT_BUDGET_S`.
        setting_s: `budget_s` of the project.
        runtime_min: The job's `runtime` resource, of which two minutes are left for the start and the save.

    Raises:
        ConfigError: The variable is no positive number.

    >>> choose_budget_s({"AUSCULT_BUDGET_S": "60"}, 90.0, 10), choose_budget_s({}, 90.0, 10)
    (60.0, 90.0)
    >>> choose_budget_s({}, None, 10)
    480.0
    """
    text = environment.get(BUDGET_VARIABLE)
    if text is not None:
        try:
            budget_s = float(text)
        except ValueError:
            budget_s = 0.0
        if not 0 < budget_s < float("inf"):
            raise ConfigError(f"{BUDGET_VARIABLE}: found {text!r}, expected a number of seconds above 0")
        return budget_s
    if setting_s is not None:
        return setting_s
    return None if runtime_min is None else max(60.0 * runtime_min - _RUNTIME_MARGIN_S, 60.0)


@dataclass(frozen=True)
class StopReason:
    """Why a training leaves, and the exit status that says so."""

    text: str
    exit_code: int


class TrainingStopped(SystemExit):
    """The training left before its end; run again, it goes on.

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
    """Let another process of the team hear the signals while the block runs."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Stop:
    """Tells the loop when to leave.

    A signal that comes while there is something to save is noted, and the loop asks for it between batches; at any
    other time it ends the process at once. Further signals change nothing: Snakemake passes one on by several ways.

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
        """A signal: why to leave a validation too, which is begun again; a budget lets it end, or none ever would."""
        return None if self._signal is None else StopReason(self._signal.name, 128 + self._signal)

    @property
    def reason(self) -> StopReason | None:
        """Why to leave now; None: go on."""
        if self._signal is not None:
            return self.urgent_reason
        if self._budget_s is not None and self._clock() - self._start_s >= self._budget_s:
            return StopReason(f"the time budget of {self._budget_s:g} s is over", EXIT_BUDGET_OVER)
        return None

    @contextmanager
    def listening(self) -> Generator[None]:
        """Take SIGTERM and SIGINT while the block runs; in another thread than the main one nothing is taken."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._note) for number in SIGNALS}
        try:
            yield
        finally:
            # After one of them the process only ends: a second one must not change how.
            for number, handler in before.items():
                signal.signal(number, handler if self._signal is None else signal.SIG_IGN)

    @contextmanager
    def deferred(self) -> Generator[None]:
        """While the block runs a signal is only noted."""
        self._is_deferred = True
        try:
            yield
        finally:
            self._is_deferred = False

    def _note(self, number: int, _: FrameType | None) -> None:
        is_first = self._signal is None
        self._signal = self._signal or signal.Signals(number)
        reason = self.reason
        if is_first and not self._is_deferred and reason is not None:
            raise TrainingStopped(reason)
