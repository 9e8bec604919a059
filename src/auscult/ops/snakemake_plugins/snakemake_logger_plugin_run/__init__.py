"""A logger plugin for Snakemake: what `auscult run` shows, as lines of JSON, `snakemake --logger run`.

The environment's AUSCULT_RUN_PIPE is the number of the open pipe that they go to. Nothing else is printed: the terminal
is the command's. This folder is put on Python's path by `auscult run` alone.
"""

from __future__ import annotations

import json
import logging
import os
import signal
from logging import LogRecord
from typing import Any

from snakemake.logging import DefaultFormatter
from snakemake_interface_logger_plugins.common import LogEvent

from auscult.ops.job_events import JobEventHandler
from auscult.ops.snakemake_faults import BriefFormatter, Faults

# What `auscult run` says itself, or shows by its bar.
_SAID_ELSEWHERE = ("Exiting because a job execution failed", "Trying to restart job", "Shutting down, this might")


class LogHandler(JobEventHandler):
    """Writes a line for each event: its `kind` (`plan`, `job`, `done`, `failed`, `said`) and what is known of it."""

    def __post_init__(self) -> None:
        """Open the pipe; jobs do not inherit it."""
        number = int(os.environ["AUSCULT_RUN_PIPE"])
        os.set_inheritable(number, False)
        self._pipe = open(number, "w", encoding="utf-8")  # noqa: SIM115 (for as long as the process lives)
        self._faults = Faults()
        self._brief = BriefFormatter(DefaultFormatter(), self._faults)

    def emit(self, record: LogRecord) -> None:
        """Write an event down; those that `auscult run` does not show are passed over."""
        event = self._event(record, vars(record))
        if event is None:
            return
        try:
            self._pipe.write(json.dumps(event) + "\n")
            self._pipe.flush()
        except BrokenPipeError:
            # Nobody reads any more: what runs may end, and nothing new begins.
            os.kill(os.getpid(), signal.SIGTERM)

    def _event(self, record: LogRecord, said: dict[str, Any]) -> dict[str, Any] | None:
        kind = said.get("event")
        if kind == LogEvent.RUN_INFO:
            return {"kind": "plan", "n_jobs": said["stats"]["total"]}
        if kind == LogEvent.JOB_INFO:
            return {
                "kind": "job",
                "id": said["jobid"],
                "text": said["rule_msg"] or said["rule_name"],
                "outputs": [str(path) for path in said["output"]],
                "reason": said["reason"],
            }
        if kind == LogEvent.JOB_FINISHED:
            return {"kind": "done", "id": said["job_id"]}
        if kind == LogEvent.JOB_ERROR:
            logs = [str(path) for path in said["log"] or ()]
            return {"kind": "failed", "id": said["jobid"], "logs": logs, "fault": self._faults.message(logs)}
        return self._said(record) if kind in {None, LogEvent.ERROR, LogEvent.GROUP_ERROR} else None

    def _said(self, record: LogRecord) -> dict[str, Any] | None:
        text = self._brief.format(record).strip()
        # Of what is no fault, only that there is nothing to do is worth a line.
        if text in {"", "None"} or text.startswith(_SAID_ELSEWHERE):
            return None
        if record.levelno < logging.WARNING and not text.startswith("Nothing to be done"):
            return None
        return {"kind": "said", "is_error": record.levelno >= logging.ERROR, "text": text}

    @property
    def writes_to_stream(self) -> bool:
        """Snakemake's own lines stay away."""
        return True
