"""A training is logged while it runs, by a process of its own that reads `metrics.jsonl`; see `follower`.

The training knows nothing of it and never waits: a server that is down, slow or hangs costs it nothing.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from auscult.companion import start_companion
from auscult.config import JobSettings, TaskSettings, TrackingSettings
from auscult.config.paths import METRICS_FILE
from auscult.provenance import redact
from auscult.storage.files import write_json
from auscult.tracking.params import run_names, training_params
from auscult.tracking.store import is_server

FLUSH_S = 5.0
"""The longest that a training waits at its end; what was not logged by then, the workflow's step `track` logs."""
LOG_FILE = "tracking.log"
STATE_FILE = "live_run.json"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LiveRequest:
    """What is logged of a training while it runs.

    Attributes:
        task: The task's name, which is that of MLflow's experiment.
        experiment: `<task>/<name>`.
        job: The run's id in it.
        name: The run's name.
        params: Flat settings of the training.
    """

    task: str
    experiment: str
    job: str
    name: str
    params: dict[str, str]


@dataclass
class RunState:
    """`live_run.json` in a run folder: what is kept between the sessions of a training.

    Attributes:
        store: The tracking URI, without credentials.
        run: The run's id there; None while the store was never reached.
        times_ms: Epoch -> Unix time at which it was first seen: a point sent twice is then the same point to a store.
        request: What is logged.
    """

    store: str | None = None
    run: str | None = None
    times_ms: dict[int, int] = field(default_factory=dict)
    request: LiveRequest | None = None

    @property
    def live_run(self) -> tuple[str, str] | None:
        """The store and the run's id."""
        return (self.store, self.run) if self.store and self.run else None

    def is_of(self, uri: str, request: LiveRequest) -> bool:
        """Tell whether its run is one of this store, of the same training under the same settings."""
        before = self.request
        return before is not None and self.store == redact(uri) and before.params == request.params

    def write(self, folder: Path) -> None:
        """Keep it."""
        write_json(folder / STATE_FILE, asdict(self))


def read_run_state(folder: Path) -> RunState:
    """Read a run folder's state; an empty one where there is none, or none that can be read."""
    try:
        values: Mapping[str, Any] = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
        request = values["request"]
        known = {item.name for item in fields(LiveRequest)}
        return RunState(
            store=values["store"],
            run=values["run"],
            times_ms={int(epoch): int(time_ms) for epoch, time_ms in values["times_ms"].items()},
            request=None if request is None else LiveRequest(**{key: request[key] for key in known}),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return RunState()


@contextmanager
def live(
    tracking: TrackingSettings, *, name: tuple[str, str, str], job: JobSettings, task: TaskSettings, folder: Path
) -> Generator[None]:
    """Log what is trained in the block, from the moment that the training writes `metrics.jsonl` anew.

    An SQLite file gets nothing before the end: on a cluster it lies in a shared folder, where it is no place for many
    writers. The machine is watched all the same. A model that is only evaluated is not trained, and not
    followed; nor is a probe, which is there within seconds.

    Args:
        tracking: Where, and what.
        name: Task, experiment and the run's id.
        job: The training's settings.
        task: Its task.
        folder: The run folder.
    """
    is_sent = tracking.live and is_server(tracking.uri)
    is_trained = job.evaluate_only is None and job.probe is None
    is_wanted = tracking.enabled and (is_sent or tracking.system_metrics_s) and is_trained
    if not is_wanted or not is_rank_zero(job):
        yield
        return
    task_name, experiment, run_id = name
    params = training_params(job, task)
    run_name = run_names(experiment, [run_id], [params])[0]
    request = LiveRequest(task_name, f"{task_name}/{experiment}", run_id, run_name, params)
    process = start_follower(folder, request, uri=tracking.uri if is_sent else None, system_s=tracking.system_metrics_s)
    status = "FAILED"
    try:
        yield
        status = "FINISHED"
    except (SystemExit, KeyboardInterrupt):
        status = "KILLED"
        raise
    finally:
        if process is not None:
            _end_follower(process, status)


def is_rank_zero(job: JobSettings) -> bool:
    """Tell whether this process is the first of a training: on several devices each starts the script once more."""
    return job.train.devices == 1 or os.environ.get("LOCAL_RANK", "0") == "0"


def start_follower(
    folder: Path, request: LiveRequest, *, uri: str | None, system_s: float | None
) -> subprocess.Popen[bytes] | None:
    """Start the process that follows a training of this process; None, with a warning, when that fails.

    Args:
        folder: The run folder.
        request: What is logged.
        uri: Where; None: nowhere before the end.
        system_s: Seconds between two looks at the machine; None: none.
    """
    first = {
        # By the pipe: a command line, where passwords would stand, is open to all users of a machine.
        "uri": uri,
        "system_s": system_s,
        "pid": os.getpid(),
        "request": asdict(request),
        "file_before": file_number(folder / METRICS_FILE),
    }
    fault = "the training is not logged while it runs"
    return start_companion("auscult.tracking.follower", folder, folder / LOG_FILE, first, fault)


def _end_follower(process: subprocess.Popen[bytes], status: str) -> None:
    """Say how the training ended, and wait a little while for the rest to be logged."""
    try:
        process.communicate(status.encode(), timeout=FLUSH_S)
    except subprocess.TimeoutExpired:
        logger.warning("the tracking server does not answer; what it lacks is logged when the job is evaluated")
        process.kill()
        process.wait()
    else:
        if process.returncode != 0:
            logger.warning("the training was not logged while it ran; %s in its folder says why", LOG_FILE)


def file_number(path: Path) -> int | None:
    """Return what tells a file from one that takes its place, None where there is none."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None
