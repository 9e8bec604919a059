"""Snakemake's lock of the working folder, when the process that took it was killed: the same command goes on."""

from __future__ import annotations

import fcntl
import logging
import socket
from pathlib import Path
from typing import TextIO

logger = logging.getLogger(__name__)

_FOLDER = Path(".snakemake")
_OWNER = "auscult-owner"


def take_over(folder: Path = _FOLDER) -> TextIO | None:
    """Remove the locks that dead processes left, and show from now on that this one lives.

    Every process that runs the workflow holds a shared lock of the kernel's on one file, which ends with the process,
    however it dies. Where nobody holds it, whoever took Snakemake's locks is dead. A folder that was last used from
    another machine is left alone: not every network file system tells of another machine's processes.

    Args:
        folder: Snakemake's own, in the working folder.

    Returns:
        The open file that holds the lock, to be kept for as long as the process lives; None where the folder cannot be
        written.
    """
    try:
        folder.mkdir(exist_ok=True)
        file = (folder / _OWNER).open("a+", encoding="utf-8")
    except OSError:
        return None  # Snakemake says why nothing can be written here
    host = socket.gethostname()
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pass  # somebody else is at work: Snakemake decides whether both may be
    except OSError as error:
        logger.debug("%s: no locks here (%s)", file.name, error)
        return file
    else:
        file.seek(0)
        if file.read().strip() in {"", host}:
            _remove(folder / "locks")
        file.truncate(0)
        file.write(f"{host}\n")
        file.flush()
    fcntl.flock(file, fcntl.LOCK_SH)
    return file


def _remove(locks: Path) -> None:
    stale = sorted(locks.glob("*.lock"))
    for path in stale:
        path.unlink(missing_ok=True)
    if stale:
        logger.warning("an earlier run was killed; its lock of this folder is removed, and this one goes on")
