"""What is said: a stage's progress to its log file, its faults to the terminal too, and a command's words."""

from __future__ import annotations

import io
import logging
import math
import os
import re
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from auscult.errors import AuscultError, DataError, may_pass

TO_TERMINAL = {"is_for_terminal": True}
"""`logger.info(text, extra=TO_TERMINAL)` puts a plain line on the terminal too: what a user must see."""


ERRORS_ARE_SHOWN_BY = "AUSCULT_ERRORS_SHOWN_BY"
"""In the environment: a command that shows at its end why a stage ended; the stage then leaves it to its log."""


CLOCK_SLACK_S = 3.0
"""Some disks round the time of a file to two seconds."""
_OBEYED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]|\r(?!\n)")
"""Control characters but for tab and line ends, and marks of direction."""


class _VisibleFormatter(logging.Formatter):
    """As `visible` shows it: a log is read on a terminal too."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


class _TerminalFormatter(_VisibleFormatter):
    """Plain lines for what is no fault; the level before what is."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if record.levelno < logging.WARNING else f"{record.levelname}: {text}"


def _is_for_terminal(record: logging.LogRecord) -> bool:
    if record.levelno >= logging.ERROR and os.environ.get(ERRORS_ARE_SHOWN_BY):
        return False
    return record.levelno >= logging.WARNING or getattr(record, "is_for_terminal", False)


def visible(text: str) -> str:
    r"""Return a text without what a terminal would obey in place of showing it: each such character is shown as U+FFFD.

    Names of files and cells of tables may hold control characters, and marks that turn the order of letters round.

    >>> visible("exe.\u202egpj"), visible("\x1b[2Jname\n")
    ('exe.�gpj', '�[2Jname\n')
    """
    return text if text.isascii() and text.isprintable() else _OBEYED.sub("\N{REPLACEMENT CHARACTER}", text)


def say(text: str = "", *, err: bool = False) -> None:
    """Print one line, or several, on standard output (`err`: standard error), as `visible` shows it."""
    print(visible(text), file=sys.stderr if err else sys.stdout, flush=True)


def speak_utf8() -> None:
    """Print UTF-8 whatever the locale says; what a stream cannot hold is escaped instead of ending the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def fault_path(log: str | Path) -> Path:
    """Return the file beside a stage's log that holds its fault of settings or input: it is not attempted again.

    >>> fault_path("logs/ingest/icbhi.log").as_posix()
    'logs/ingest/icbhi.log.fault'
    """
    log = Path(log)
    return log.with_name(f"{log.name}.fault")


@contextmanager
def stage_log(path: str | Path, made_from: Iterable[str | Path] = ()) -> Generator[logging.Logger]:
    """Log to `path` while a stage runs; a fault of the input ends it with its message, anything else with a traceback.

    Warnings, errors and lines that are sent with `TO_TERMINAL` stand on the terminal as well. A fault of the input that
    another attempt would meet again also leaves its message in `fault_path`.

    Args:
        path: The log file; its folder is made when absent.
        made_from: The stage's input. One whose time lies ahead of the disk's clock is a fault: Snakemake would take
            what is made from it for older, and remove it.

    Raises:
        SystemExit: With status 1, after an `AuscultError` was logged.
    """
    speak_utf8()
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    fault_path(path).unlink(missing_ok=True)
    to_file = logging.FileHandler(path, mode="w", encoding="utf-8")
    to_file.setFormatter(_VisibleFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    to_terminal = logging.StreamHandler(sys.stderr)
    to_terminal.addFilter(_is_for_terminal)
    to_terminal.setFormatter(_TerminalFormatter())
    root = logging.getLogger()
    before = root.handlers[:], root.level
    root.handlers[:] = [to_file, to_terminal]
    root.setLevel(logging.INFO)
    logging.captureWarnings(capture=True)
    try:
        _require_past(made_from, path.stat().st_mtime)
        yield logging.getLogger("auscult")
    except AuscultError as error:
        root.error("%s", error)
        if not may_pass(error):
            fault_path(path).write_text(f"{error}\n", encoding="utf-8", errors="backslashreplace")
        sys.exit(1)
    except Exception:
        root.exception("this stage failed in a way that is not the input's fault")
        raise
    finally:
        logging.captureWarnings(capture=False)
        root.handlers[:], root.level = before
        to_file.close()


def _require_past(files: Iterable[str | Path], now_s: float) -> None:
    """Refuse a file whose time lies ahead of the clock that has just stamped the log, a file server's among them.

    Raises:
        DataError: Names the file, and the command that gives such files the time of now.
    """
    for file in map(Path, files):
        ahead_s = file.stat().st_mtime - now_s if file.exists() else 0.0
        if ahead_s > CLOCK_SLACK_S:
            ahead, at = timedelta(seconds=round(ahead_s)), f"@{math.floor(now_s)}"
            raise DataError(
                f"{file}: its time lies {ahead} ahead of this disk's clock, and Snakemake would remove what is made "
                "from it. If the clock was wrong when it was made, give all such files the time of now: "
                f"find work results benchmarks data -newermt {at} -exec touch --date={at} {{}} +"
            )
