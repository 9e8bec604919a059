"""A fault of settings or input, as Snakemake takes it: its message stands once, and the job is not attempted again.

A stage that ends by such a fault leaves its message in a file beside its log (`auscult.logs.fault_path`). The main
process of Snakemake reads it: a job on another machine, or in a queue, is told of by the same file.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
import textwrap
import time
from collections.abc import Iterable
from typing import Any

from auscult.logs import fault_path

# Snakemake says which values of which parameters: pages of them. `auscult explain` says what has changed.
_PARAMS = re.compile(
    r"Params have changed since last execution: .*?(?=; Software environment definition has changed|$)", re.DOTALL
)
# A stage is a Python script that has said why it ended: by its own message, or a traceback.
_SCRIPT_ENDED = re.compile(
    r"\ARuleException:\nCalledProcessError in file .*\nCommand '.*/scripts/.*' returned non-zero exit status 1\.\s*\Z",
    re.DOTALL,
)
# What `clear_errors` of rules/common.smk refuses: where in the workflow's own files says nothing to its user.
_REFUSED = (
    re.compile(
        r"\AWorkflowError in file \"[^\"]*/rules/common\.smk\", line \d+:\n"
        r"(?P<said>.*?)(?:\n  File \"[^\"]*\", line \d+, in [^\n]*)*\s*\Z",
        re.DOTALL,
    ),
    re.compile(
        r"\A\w+ in rule \w+ in file \"[^\"]*\", line \d+:\nError:\n  WorkflowError:\n"
        r"(?P<said>.*?)\n(?:Wildcards:|Traceback:)\n.*/rules/common\.smk\", line \d+, in checked.*\Z",
        re.DOTALL,
    ),
)
_ENDED_AGAIN = "WorkflowError:\nAt least one job did not complete successfully."


class Faults:
    """Knows which jobs ended by a fault of settings or input since the workflow started."""

    def __init__(self) -> None:
        self._started_s = _file_system_time_s()

    def message(self, logs: Iterable[str]) -> str | None:
        """Return the message of a job, by its log files; None where it did not end by such a fault."""
        for log in logs:
            path = fault_path(log)
            try:
                # An older one is of an earlier command: the job may have died since before it could remove it.
                if path.stat().st_mtime >= self._started_s:
                    return path.read_text(encoding="utf-8", errors="replace").strip()
            except OSError:
                continue
        return None

    def never_again(self, job_class: Any) -> None:
        """Let Snakemake's class of jobs ask for no other attempt after a fault; all else keeps its retries."""
        retries = job_class.restart_times.fget
        job_class.restart_times = property(
            lambda job: 0 if self.message(str(log) for log in job.log) is not None else retries(job)
        )


class BriefFormatter(logging.Formatter):
    """Formats Snakemake's messages for the terminal without what only repeats a stage's own; its log file keeps all.

    Args:
        inner: Snakemake's formatter.
        faults: Tells which jobs ended by their own message.
    """

    def __init__(self, inner: logging.Formatter, faults: Faults) -> None:
        super().__init__()
        self._inner = inner
        self._faults = faults

    def format(self, record: logging.LogRecord) -> str:
        """Return the text; an empty one is not printed."""
        said = vars(record)
        if "rule_name" in said and record.levelno >= logging.ERROR:
            return self._job_error(record, said)
        text = self._inner.format(record)
        if _SCRIPT_ENDED.match(text) or text.strip() == _ENDED_AGAIN:
            return ""
        for refused in filter(None, (pattern.match(text) for pattern in _REFUSED)):
            return f"error: {textwrap.dedent(refused['said'])}"
        return _PARAMS.sub("Params have changed since last execution (`auscult explain TARGET` says which)", text)

    def _job_error(self, record: logging.LogRecord, said: dict[str, Any]) -> str:
        logs = [str(log) for log in said.get("log") or ()]
        message = self._faults.message(logs)
        if message is None:
            return self._inner.format(record)
        # Where the job ran elsewhere, its message did not reach this terminal.
        text = f": {message}" if said.get("aux") else " by the fault above, which another attempt would meet again"
        return f"Rule {said['rule_name']} ended{text} (log: {', '.join(logs)})"


def _file_system_time_s() -> float:
    """Return the time as the working folder's file system stamps it: a file server has a clock of its own."""
    try:
        with tempfile.TemporaryFile(dir=".") as probe:
            return os.fstat(probe.fileno()).st_mtime
    except OSError:  # a folder that may only be read: nothing is built there
        return time.time()


def speak_briefly(logger: logging.Logger, faults: Faults) -> None:
    """Let Snakemake's own handler for the terminal, where it has one, leave out what repeats a stage's message."""
    for handler in logger.handlers:
        if handler.name == "DefaultStreamHandler" and handler.formatter is not None:
            handler.setFormatter(BriefFormatter(handler.formatter, faults))
