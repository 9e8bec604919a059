"""A logger plugin for Snakemake: the jobs of a plan as lines of JSON, `snakemake --dry-run --logger plan`.

The environment's AUSCULT_PLAN_FILE names the file. This folder is put on Python's path by `auscult explain` alone:
Snakemake takes every module of such a name that it finds.
"""

from __future__ import annotations

import json
import os
from logging import LogRecord

from snakemake_interface_logger_plugins.common import LogEvent

from auscult.ops.job_events import JobEventHandler


class LogHandler(JobEventHandler):
    """Writes a line for each job: `rule`, `message` (or null), `benchmark` (its file, or null) and `reason`."""

    def emit(self, record: LogRecord) -> None:
        """Write a job down; Snakemake's other events are passed over."""
        said = vars(record)
        if said.get("event") != LogEvent.JOB_INFO:
            return
        job = {key: said[f"rule_{name}"] for key, name in (("rule", "name"), ("message", "msg"))}
        job |= {key: said[key] for key in ("benchmark", "reason")}
        with open(os.environ["AUSCULT_PLAN_FILE"], "a", encoding="utf-8") as stream:
            stream.write(json.dumps(job) + "\n")

    @property
    def writes_to_stream(self) -> bool:
        """The terminal's output stays Snakemake's."""
        return False
