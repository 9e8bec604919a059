"""A trace of the first steps of a training, to see where its time goes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from auscult.storage.files import write_text

_LOG = logging.getLogger(__name__)

TRACE_FILE = "trace.json"
TABLE_FILE = "table.txt"
_WARM_UP_STEPS = 2


@contextmanager
def profiled(folder: Path, n_batches: int, device: torch.device) -> Generator[Callable[[], None]]:
    """Yield a function to be called after each batch; after two to warm up, `n_batches` are traced.

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
        _LOG.info("a trace of %d batches is in %s", n_batches, target)

    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if is_cuda else [])]
    steps = schedule(wait=0, warmup=_WARM_UP_STEPS, active=n_batches, repeat=1)
    with profile(activities=activities, schedule=steps, on_trace_ready=write) as trace:
        yield trace.step
