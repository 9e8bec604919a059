"""What all benchmarks share: the time that a call takes, and a line of text."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import torch


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


def say(text: str) -> None:
    """Print a line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
