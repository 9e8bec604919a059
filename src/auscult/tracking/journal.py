"""A training is logged while it runs, by a process of its own.

That process reads `metrics.jsonl`, talks to the server and looks at the machine. The training only writes a few bytes
into a pipe, and never waits: a server that is down, slow or hangs costs it nothing.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from auscult.config import JobSettings, TaskSettings, TrackingSettings
from auscult.tracking.flatten import run_names
from auscult.tracking.memo import LiveRequest
from auscult.tracking.params import training_params
from auscult.tracking.store import is_server

FLUSH_S = 5.0
"""The longest that a training waits at its end; what was not logged by then, the workflow's step `track` logs."""
LOG_FILE = "tracking.log"
_logger = logging.getLogger(__name__)


@contextmanager
def live(
    tracking: TrackingSettings, *, name: tuple[str, str, str], job: JobSettings, task: TaskSettings, folder: Path
) -> Generator[LiveJournal | None]:
    """Log what is trained in the block; None where nothing is to be logged meanwhile.

    An SQLite file gets nothing before the end: on a cluster it lies in a shared folder, where it is no place for many
    writers. The machine is watched all the same.

    Args:
        tracking: Where, and what.
        name: Task, experiment and the run's id.
        job: The training's settings.
        task: Its task.
        folder: The run folder.
    """
    is_sent = tracking.live and is_server(tracking.uri)
    if not tracking.enabled or not (is_sent or tracking.system_metrics_s):
        yield None
        return
    task_name, experiment, run_id = name
    params = training_params(job, task)
    request = LiveRequest(
        task_name, f"{task_name}/{experiment}", run_id, run_names(experiment, [run_id], [params])[0], params
    )
    journal = LiveJournal(folder, request, uri=tracking.uri if is_sent else None, system_s=tracking.system_metrics_s)
    status = "FAILED"
    try:
        yield journal
        status = "FINISHED"
    except (SystemExit, KeyboardInterrupt):
        status = "KILLED"
        raise
    finally:
        journal.end(status)


class LiveJournal:
    """Tells the logging process what is saved; see `auscult.training.journal.Journal`.

    Args:
        folder: The run folder.
        request: What is logged.
        uri: Where; None: nowhere before the end.
        system_s: Seconds between two looks at the machine; None: none.
    """

    def __init__(self, folder: Path, request: LiveRequest, *, uri: str | None, system_s: float | None) -> None:
        self._folder = folder
        self._first = {"uri": uri, "system_s": system_s, "pid": os.getpid(), "request": asdict(request)}
        self._process: subprocess.Popen[bytes] | None = None
        self._n_saved = 0

    def start(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Start the process."""
        command = [sys.executable, "-m", "auscult.tracking.follow", str(self._folder)]
        try:
            with (self._folder / LOG_FILE).open("w") as log:
                # A session of its own: Ctrl-C and SIGTERM are the training's, and how it ended is to be logged.
                self._process = subprocess.Popen(  # noqa: S603 (fixed arguments)
                    command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
                )
        except OSError as error:
            _logger.warning("the training is not logged while it runs: %s", error)
            return
        if self._process.stdin is not None:
            os.set_blocking(self._process.stdin.fileno(), False)
        self._n_saved = len(rows)
        self._tell({**self._first, "n_epochs": len(rows)})

    def saved(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Say how many epochs are saved."""
        if len(rows) != self._n_saved:
            self._n_saved = len(rows)
            self._tell({"n_epochs": len(rows)})

    def end(self, status: str) -> None:
        """Say how the training ended, and wait a little while for the rest to be logged."""
        self._tell({"status": status})
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(FLUSH_S)
        except subprocess.TimeoutExpired:
            _logger.warning("the tracking server does not answer; what it lacks is logged when the job is evaluated")
            process.kill()
            process.wait()

    def _tell(self, message: Mapping[str, Any]) -> None:
        if self._process is None or self._process.stdin is None:
            return
        try:
            os.write(self._process.stdin.fileno(), json.dumps(message).encode() + b"\n")
        except BlockingIOError:
            pass  # it stands still: what is said next says this as well
        except OSError as error:
            _logger.warning("the training is no longer logged while it runs: %s; see %s", error, LOG_FILE)
            self._process.stdin.close()
            self._process.wait()
            self._process = None
