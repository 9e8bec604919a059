"""Rungs are made by the workflow: one call of Snakemake a step, on the profile in use."""

from __future__ import annotations

import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from auscult.config.documents import read_bounded_json
from auscult.config.trials import study_dir
from auscult.errors import ConfigError, DataError
from auscult.formatting.numbers import plural
from auscult.storage.files import write_json
from auscult.training.lock import RunLock

RECORD_FILE = "snakemake.json"
_LOCKS = Path(".snakemake/locks")
_MOST_BYTES = 64_000
_POLL_S = 1.0
_N_SHOWN = 5


class RungMaker:
    """Calls Snakemake in the project's folder.

    A call whose coordinator was killed goes on; the next coordinator waits for it. One that was killed itself leaves
    the folder locked; the lock of this study's files is then removed, for the study's lease is held.

    Args:
        group: Folder of the experiment.
        name: Its name.
        arguments: More for Snakemake, such as `--profile slurm-gpu`.
        tell: Called with what people should know.
    """

    def __init__(self, group: str, name: str, arguments: Sequence[str], tell: Callable[[str], None]) -> None:
        self._folder = study_dir(group, name)
        self._arguments = list(arguments)
        self._record = self._folder / "state" / RECORD_FILE
        self._tell = tell

    def __call__(self, paths: Sequence[Path]) -> None:
        """Make rungs.

        Raises:
            DataError: One of them could not be made.
        """
        self._wait_for_the_last_call()
        missing = [path for path in paths if not path.is_file()]
        if not missing:
            return
        names = [path.as_posix() for path in missing]
        command = [sys.executable, "-m", "snakemake", *self._arguments, "--rerun-incomplete", "--keep-going"]
        status = self._call([*command, "--", *names])
        left = [path for path in missing if not path.is_file()]
        if left:
            logs = ", ".join(path.with_suffix(".log").as_posix() for path in left[:_N_SHOWN])
            raise DataError(
                f"{len(left)} of {plural(len(missing), 'training')} did not reach their rung (Snakemake ended with "
                f"status {status}): {logs}. Mend that and run the same command again: what was trained is kept"
            )

    def _call(self, command: list[str]) -> int:
        process = subprocess.Popen(command)  # noqa: S603 (Snakemake, with the user's own arguments)
        began_s = psutil.Process(process.pid).create_time()
        write_json(self._record, {"host": platform.node(), "pid": process.pid, "began_s": began_s})

        signals: list[int] = []

        def pass_on(number: int, _: FrameType | None) -> None:
            signals.append(number)
            process.send_signal(number)

        before = signal.signal(signal.SIGTERM, pass_on)
        try:
            # After a signal it ends its jobs, which save their state, before it leaves.
            status = process.wait()
        except KeyboardInterrupt:
            # The terminal has told Snakemake as well.
            process.wait()
            raise
        finally:
            signal.signal(signal.SIGTERM, before)
            self._record.unlink(missing_ok=True)
        if signals:
            sys.exit(128 + signals[0])
        return status

    def _wait_for_the_last_call(self) -> None:
        """Wait for a call whose coordinator was killed, and unlock what it left when it was killed too."""
        if not self._record.is_file():
            return
        try:
            record: dict[str, Any] = read_bounded_json(self._record, _MOST_BYTES)
        except ConfigError:  # its writer was killed
            record = {}
        if record.get("host") == platform.node() and _is_alive(record):
            self._tell(f"waiting for process {record['pid']}, the workflow that an earlier coordinator began")
            while _is_alive(record):
                time.sleep(_POLL_S)
        self._record.unlink(missing_ok=True)
        self._unlock()

    def _unlock(self) -> None:
        """Remove the locks of this study's files: pairs of lists, `<number>.input.lock` and `<number>.output.lock`."""
        for path in _LOCKS.glob("*.output.lock"):
            names = path.read_text(encoding="utf-8", errors="replace").splitlines()
            if any(name.startswith(f"{self._folder.as_posix()}/") for name in names):
                for kind in ("input", "output"):
                    path.with_name(f"{path.name.split('.')[0]}.{kind}.lock").unlink(missing_ok=True)


@contextmanager
def alone_in_study(
    group: str, name: str, arguments: Sequence[str], tell: Callable[[str], None]
) -> Generator[RungMaker]:
    """Yield what makes rungs of an experiment, while no other command does so.

    Raises:
        BusyError: Another one does.
    """
    with RunLock(study_dir(group, name) / "state").held():
        yield RungMaker(group, name, arguments, tell)


def _is_alive(record: dict[str, Any]) -> bool:
    with suppress(psutil.NoSuchProcess, KeyError):
        process = psutil.Process(record["pid"])
        # Another process may have got the number since.
        is_the_same = abs(process.create_time() - record["began_s"]) < 1
        return is_the_same and process.status() not in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
    return False
