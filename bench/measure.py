"""What every benchmark shares: a comparison with a peer, the one clock, and the row that it gives."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

INSTALL = "not installed: pip install -e .[bench]"
_MOST_PAIRS = 31
_LEAST_S = 1.0


@dataclass(frozen=True)
class Options:
    """How a run measures.

    Attributes:
        is_tiny: Inputs of a few clips, one repetition: proves that a benchmark works and says nothing about speed.
        recordings: Folder of WAV files; None or empty: noise is made instead.
        device: `cpu` or `cuda`, of our batches and of models.
        repetitions: Least pairs of one comparison after one to warm up.
    """

    is_tiny: bool
    recordings: Path | None = None
    device: str = "cpu"
    repetitions: int = 5


@dataclass(frozen=True)
class Comparison:
    """The same work done by us and by a peer.

    Attributes:
        title: `<subject>/<what>`, unique together with the peer.
        peer: Whose work stands beside ours.
        ours: Our work, on one thread of a CPU.
        theirs: The peer's; None where it is not installed.
        check: Raises `AssertionError` unless both give the same result, within the tolerance that it states.
        least: A ratio below this fails the run.
    """

    title: str
    peer: str
    ours: Callable[[], object]
    theirs: Callable[[], object] | None
    check: Callable[[], None]
    least: float | None = None


@dataclass(frozen=True)
class Row:
    """What a comparison gave; ratios are the peer's time by ours, None where the peer is not installed."""

    title: str
    peer: str
    ratio: float | None
    low: float | None
    high: float | None
    least: float | None

    @property
    def is_too_slow(self) -> bool:
        """Whether the ratio lies below what is asked."""
        return self.ratio is not None and self.least is not None and self.ratio < self.least


def measure(comparison: Comparison, options: Options) -> Row:
    """Check the results, then let us and the peer take turns, so that whatever else the machine does weighs on both.

    The ratio is the median of those of the turns.

    Raises:
        AssertionError: The results differ.
    """
    if comparison.theirs is None:
        return Row(comparison.title, comparison.peer, None, None, None, comparison.least)
    _check(comparison)
    time_of = processor_s if options.device == "cpu" else partial(clock_s, device=torch.device(options.device))
    warm_s = time_of(comparison.ours) + time_of(comparison.theirs)
    ratios = [time_of(comparison.theirs) / max(time_of(comparison.ours), 1e-9) for _ in range(_turns(options, warm_s))]
    least = None if options.is_tiny else comparison.least
    return Row(comparison.title, comparison.peer, statistics.median(ratios), min(ratios), max(ratios), least)


def _check(comparison: Comparison) -> None:
    try:
        comparison.check()
    except AssertionError as error:
        raise AssertionError(f"{comparison.title}, {comparison.peer}: the results differ\n{error}") from error


def _turns(options: Options, warm_s: float) -> int:
    if options.is_tiny:
        return 1
    # What takes milliseconds is repeated more often.
    return max(options.repetitions, min(_MOST_PAIRS, int(_LEAST_S / max(warm_s, 1e-6))))


def processor_s(function: Callable[[], object]) -> float:
    """Return the processor's time of a call: what else runs on the machine hardly counts."""
    start = time.process_time()
    function()
    return time.process_time() - start


def clock_s(function: Callable[[], object], device: torch.device) -> float:
    """Return the time of a call by the clock, until a GPU has done its part."""
    _finish(device)
    start = time.perf_counter()
    function()
    _finish(device)
    return time.perf_counter() - start


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
