"""What a check of the surroundings found, and how commands are asked for it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

COMMAND_TIMEOUT_S = 30.0
_MAX_CHARACTERS = 200


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's table.

    Attributes:
        check: What was looked at.
        state: `skipped` where it does not apply here.
        text: What was found.
        remedy: What to do; empty where nothing is.
    """

    check: str
    state: Literal["ok", "failed", "skipped"]
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class Answer:
    """What a command said.

    Attributes:
        status: Its exit status; None when it gave no answer in time.
        out: Its standard output.
        error: The last line that it complained with, cut short.
    """

    status: int | None
    out: str
    error: str

    @property
    def is_good(self) -> bool:
        """Whether it ended well."""
        return self.status == 0


def has_command(name: str) -> bool:
    """Tell whether a command is on the PATH."""
    return shutil.which(name) is not None


def ask(command: Sequence[str], timeout_s: float = COMMAND_TIMEOUT_S, cwd: Path | None = None) -> Answer:
    """Run a command and return what it says, within `timeout_s`."""
    try:
        done = subprocess.run(  # noqa: S603 (fixed commands of the site)
            list(command),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_s,
            check=False,
            cwd=cwd,
        )
    except subprocess.TimeoutExpired:
        return Answer(None, "", f"no answer within {timeout_s:g} s")
    except OSError as error:
        return Answer(None, "", str(error))
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    return Answer(done.returncode, done.stdout, lines[-1][:_MAX_CHARACTERS] if lines else f"status {done.returncode}")
