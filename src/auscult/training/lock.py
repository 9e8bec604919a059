"""One process trains in a run folder: a lease of filelock, and beside it who holds it, for people.

The lease is made for shared file systems: it is created exclusively (`O_EXCL`), needs no `flock`, and compares no two
clocks. Its time of change is the owner's heartbeat. A dead owner on this host loses it at once, one elsewhere when its
heartbeat did not move while we watched for `STALE_AFTER_S`.
"""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from filelock import SoftFileLease, Timeout

from auscult.errors import BusyError
from auscult.storage.files import read_json, write_json

LOCK_FILE = "lock"
OWNER_FILE = "lock.json"
HEARTBEAT_S = 10.0
STALE_AFTER_S = 120.0
"""Longer than a heartbeat plus the 60 s for which a network file system may show old times."""
_POLL_S = 1.0
_START_TOLERANCE_S = 2.0


@dataclass(frozen=True)
class Owner:
    """Who holds a run folder.

    Attributes:
        host: Name of the machine.
        pid: Process number.
        slurm_job: Job number, None outside Slurm.
        started: Time of the lock, ISO 8601 in UTC.
    """

    host: str
    pid: int
    slurm_job: str | None
    started: str

    @classmethod
    def of_this_process(cls) -> Owner:
        """Return this process as an owner."""
        started = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(platform.node(), os.getpid(), os.environ.get("SLURM_JOB_ID"), started)

    def __str__(self) -> str:
        slurm = f", Slurm job {self.slurm_job}" if self.slurm_job else ""
        return f"process {self.pid} on {self.host}{slurm}, since {self.started}"

    @property
    def is_local(self) -> bool:
        """Whether its process can be looked up on this host."""
        return self.host == platform.node()

    @property
    def is_alive_here(self) -> bool:
        """Whether the process runs; only meaningful where `is_local`."""
        try:
            process = psutil.Process(self.pid)
            began_s = process.create_time()
            is_dead = process.status() in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
        except psutil.NoSuchProcess:
            return False
        # A process that began after the lock was taken only got the same number.
        return not is_dead and began_s <= datetime.fromisoformat(self.started).timestamp() + _START_TOLERANCE_S


class RunLock:
    """The lock of one run folder, held from `acquire` to `release`.

    Args:
        folder: The run's `state` folder.
        heartbeat_s: Seconds between two heartbeats.
        stale_after_s: Seconds without one after which an owner elsewhere counts as dead; equal for all that compete.
    """

    def __init__(self, folder: Path, *, heartbeat_s: float = HEARTBEAT_S, stale_after_s: float = STALE_AFTER_S) -> None:
        self.path = Path(folder) / LOCK_FILE
        self.owner = Owner.of_this_process()
        self._owner_path = self.path.with_name(OWNER_FILE)
        self._stale_after_s = stale_after_s
        self._lease = SoftFileLease(
            self.path, lease_duration=stale_after_s, heartbeat_interval=heartbeat_s, thread_local=False
        )

    @contextmanager
    def held(self) -> Generator[None]:
        """Hold the lock while the block runs.

        Raises:
            BusyError: Another process holds it; the error names it.
        """
        self.acquire()
        try:
            yield
        finally:
            self.release()

    def acquire(self) -> None:
        """Take the lock, from a dead owner too.

        With an owner on another host this waits until its heartbeat moves (the owner lives) or has not moved for
        `stale_after_s` (it is dead).

        Raises:
            BusyError: Another process holds it; the error names it.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lease.acquire(timeout=0)
        except Timeout:
            self._wait_for_heartbeat()
        write_json(self._owner_path, asdict(self.owner))

    def release(self) -> None:
        """Release the lock; one that another process has taken over stays."""
        if self._lease.is_lock_held_by_us:
            self._owner_path.unlink(missing_ok=True)
        self._lease.release()

    def require_mine(self) -> None:
        """Refuse to write when another process took the run folder over while this one stood still.

        Raises:
            BusyError: It did; the error names it.
        """
        if not self._lease.is_lock_held_by_us:
            raise BusyError(
                f"{self.path}: this process stood still for so long that the run was taken over by "
                f"{self._holder()}; it stops here and writes nothing more"
            )

    def _wait_for_heartbeat(self) -> None:
        owner, beat = read_owner(self._owner_path), _changed_ns(self.path)
        if owner is not None and owner.is_local and owner.is_alive_here:
            raise BusyError(self._refusal())
        try:
            self._lease.acquire(
                timeout=self._stale_after_s + 10 * _POLL_S,
                poll_interval=min(_POLL_S, self._stale_after_s / 10),
                cancel_check=lambda: _changed_ns(self.path) not in {None, beat},
            )
        except Timeout:
            raise BusyError(self._refusal()) from None

    def _refusal(self) -> str:
        return f"{self.path.parent.parent} is being trained by {self._holder()}; wait for it, or end that process"

    def _holder(self) -> str:
        record, owner = self._lease.owner, read_owner(self._owner_path)
        if record is None:
            return "nobody: the lock was removed"
        if owner is not None and owner.pid == record.pid:
            return str(owner)
        return f"process {record.pid} on {record.hostname}"


def read_owner(path: Path) -> Owner | None:
    """Return whom an owner file names; None when it is gone or says nothing readable."""
    try:
        fields: dict[str, Any] = read_json(path)
        return Owner(**fields)
    except (OSError, ValueError, TypeError):
        return None


def is_owner_alive(folder: Path) -> bool:
    """Return whether a live process holds the run whose `state` folder this is."""
    owner = read_owner(Path(folder) / OWNER_FILE)
    if owner is not None and owner.is_local:
        return owner.is_alive_here
    age_s = heartbeat_age_s(folder)
    return age_s is not None and age_s <= STALE_AFTER_S


def heartbeat_age_s(folder: Path) -> float | None:
    """Return the seconds since the last heartbeat of a run, by the file system's own clock; None: no lock."""
    path = Path(folder) / LOCK_FILE
    changed_ns = _changed_ns(path)
    if changed_ns is None:
        return None
    try:
        with tempfile.TemporaryFile(dir=path.parent) as now:
            return max(0.0, (os.fstat(now.fileno()).st_mtime_ns - changed_ns) / 1e9)
    except OSError:  # a folder that may only be read
        return max(0.0, time.time() - changed_ns / 1e9)


def _changed_ns(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None
