"""A process of its own that accompanies a training: how it is started, and how it hears of the end."""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)


def start_companion(
    module: str, folder: Path, log_path: Path, first: Mapping[str, Any], fault: str
) -> subprocess.Popen[bytes] | None:
    """Start a module as a companion of this process; None, with a warning, when that fails.

    Args:
        module: It is given the folder as its argument.
        folder: The run folder; made when absent.
        log_path: Takes what it prints.
        first: The first line of its standard input, as JSON; a last word may follow.
        fault: What the warning says: what there is not without it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with log_path.open("a") as log:
            # A session of its own: Ctrl-C and SIGTERM are the training's, and how it ended is to be told.
            process = subprocess.Popen(  # noqa: S603 (fixed arguments)
                [sys.executable, "-m", module, str(folder)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
    except OSError as error:
        logger.warning("%s: %s", fault, error)
        return None
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it failed at once, and is asked for at the end
        process.stdin.write(json.dumps(first).encode() + b"\n")
        process.stdin.flush()
    return process


class Parent:
    """The process that started this companion.

    Args:
        pipe: The standard input, without a buffer.
    """

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe

    def first_message(self) -> dict[str, Any] | None:
        """Wait for the first line; None where the parent died before it."""
        line = self._pipe.readline()
        return json.loads(line) if line else None

    def last_word(self, timeout_s: float) -> bytes | None:
        """Wait for the parent's end, at most so long: None while it runs, empty bytes when it died without a word."""
        if not select.select([self._pipe], [], [], timeout_s)[0]:
            return None
        return self._pipe.read(64) or b""


@contextmanager
def accompanied() -> Generator[Parent]:
    """Yield the parent of this companion; signals that end the parent do not end what is left to do for it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(format="%(asctime)s %(levelname)-7s %(message)s")
    with os.fdopen(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as pipe:
        yield Parent(pipe)
