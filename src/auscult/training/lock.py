"""One process writes one run: a lock file that names its owner and whose time of change is the owner's heartbeat.

Made for shared file systems: the file is created exclusively (`O_EXCL`), no `flock` is needed, and no two clocks are
compared: an owner on another host counts as dead when its heartbeat did not move while we watched for
`STALE_AFTER_S`. An owner on this host is asked for by its process.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from auscult.errors import DataError

_LOG = logging.getLogger(__name__)

LOCK_FILE = "lock.json"
HEARTBEAT_S = 10.0
STALE_AFTER_S = 120.0
"""Longer than a heartbeat plus the 60 s for which a network file system may show old times."""
_POLL_S = 1.0


@dataclass(frozen=True)
class Owner:
    """Who holds a run.

    Attributes:
        host: Name of the machine.
        namespace: Of process numbers: two containers of one name are told apart.
        pid: Process number.
        process_start: When the kernel started it, in its own ticks; a number that was given anew is told apart.
        slurm_job: Job number, None outside Slurm.
        started: Time of the lock, ISO 8601 in UTC.
        token: Unique.
    """

    host: str
    namespace: str
    pid: int
    process_start: str
    slurm_job: str | None
    started: str
    token: str

    @classmethod
    def of_this_process(cls) -> Owner:
        """Return this process as an owner."""
        return cls(
            host=platform.node(),
            namespace=_namespace(),
            pid=os.getpid(),
            process_start=_process_start(os.getpid()) or "",
            slurm_job=os.environ.get("SLURM_JOB_ID"),
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            token=uuid.uuid4().hex,
        )

    def __str__(self) -> str:
        slurm = f", Slurm job {self.slurm_job}" if self.slurm_job else ""
        return f"process {self.pid} on {self.host}{slurm}, since {self.started}"

    @property
    def is_local(self) -> bool:
        """Whether its process can be looked up here."""
        return self.host == platform.node() and self.namespace == _namespace()

    @property
    def is_alive_here(self) -> bool:
        """Whether the process runs; only meaningful where `is_local`."""
        return _process_start(self.pid) == self.process_start


class RunLock:
    """The lock of one run folder, held from `acquire` to `release`.

    Args:
        folder: The run's `state` folder.
        heartbeat_s: Seconds between two signs of life.
        stale_after_s: Seconds without one after which an owner elsewhere counts as dead.
        sleep: Waits.
    """

    def __init__(
        self,
        folder: Path,
        *,
        heartbeat_s: float = HEARTBEAT_S,
        stale_after_s: float = STALE_AFTER_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.path = Path(folder) / LOCK_FILE
        self.owner = Owner.of_this_process()
        self._heartbeat_s = heartbeat_s
        self._stale_after_s = stale_after_s
        self._sleep = sleep
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def held(self) -> Generator[None]:
        """Hold the lock while the block runs.

        Raises:
            DataError: Another process holds it, by name.
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
            DataError: Another process holds it, by name.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while not self._create(self.path):
            self._remove_if_dead()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Give the lock back; one that another process has taken over stays."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        if self._is_mine():
            self.path.unlink(missing_ok=True)

    def require_mine(self) -> None:
        """Refuse to write when another process took the run over while this one stood still.

        Raises:
            DataError: It did, by name.
        """
        if not self._is_mine():
            owner = read_owner(self.path)
            raise DataError(
                f"{self.path}: this process stood still for so long that the run was taken over by "
                f"{owner or 'nobody: the lock was removed'}; it stops here and writes nothing more"
            )

    def _create(self, path: Path) -> bool:
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(asdict(self.owner), stream)
            stream.flush()
            os.fsync(stream.fileno())
        return True

    def _remove_if_dead(self) -> None:
        beat = _beat_of(self.path)
        owner = read_owner(self.path)
        if beat is None:
            return  # given back just now
        if owner is not None and owner.is_local:
            if owner.is_alive_here:
                raise DataError(self._refusal(owner))
            _LOG.warning("the lock of a dead owner is taken over: %s", owner)
        elif self._stands_still(owner, beat):
            _LOG.warning(
                "the lock of an owner without a heartbeat for %g s is taken over: %s", self._stale_after_s, owner
            )
        else:
            return
        self._remove(owner)

    def _stands_still(self, owner: Owner | None, beat: int) -> bool:
        """Watch the heartbeat; return whether the owner is dead, False when it gave the lock back."""
        watched_s = _age_s(self.path)
        while watched_s < self._stale_after_s:
            self._sleep(_POLL_S)
            watched_s += _POLL_S
            current = _beat_of(self.path)
            if current is None:
                return False
            if current != beat:
                raise DataError(self._refusal(read_owner(self.path) or owner))
        return True

    def _remove(self, dead: Owner | None) -> None:
        """Remove the lock of `dead`; of several processes that try, one does."""
        marker = self.path.with_name(f"{LOCK_FILE}.dead-{dead.token if dead else 'unreadable'}")
        if not self._create(marker):
            if _age_s(marker) > self._stale_after_s:
                marker.unlink(missing_ok=True)  # who wanted to take over died as well
            self._sleep(_POLL_S)
            return
        current = read_owner(self.path)
        if (current.token if current else None) == (dead.token if dead else None):
            self.path.unlink(missing_ok=True)
        marker.unlink(missing_ok=True)

    def _refusal(self, owner: Owner | None) -> str:
        return (
            f"{self.path.parent.parent} is being trained by {owner or 'a process that wrote no name'}; "
            "wait for it, or end that process"
        )

    def _is_mine(self) -> bool:
        owner = read_owner(self.path)
        return owner is not None and owner.token == self.owner.token

    def _beat(self) -> None:
        while not self._ended.wait(self._heartbeat_s):
            try:
                if self._is_mine():
                    os.utime(self.path)
            except OSError as error:
                _LOG.warning("no heartbeat could be left at %s: %s", self.path, error)


def read_owner(path: Path) -> Owner | None:
    """Return whom a lock file names; None when it is gone or says nothing readable."""
    try:
        fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Owner(**fields)
    except (OSError, ValueError, TypeError):
        return None


def heartbeat_age_s(folder: Path) -> float | None:
    """Return the seconds since the last sign of life of a run, by the file system's own clock; None: no lock."""
    path = Path(folder) / LOCK_FILE
    return None if _beat_of(path) is None else _age_s(path)


def _beat_of(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _age_s(path: Path) -> float:
    """Return how long ago a file changed by the clock of its file system; 0 when it is gone."""
    changed = _beat_of(path)
    if changed is None:
        return 0.0
    try:
        with tempfile.TemporaryFile(dir=path.parent) as now:
            return max(0.0, (os.fstat(now.fileno()).st_mtime_ns - changed) / 1e9)
    except OSError:  # a folder that may only be read
        return max(0.0, time.time() - changed / 1e9)


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _process_start(pid: int) -> str | None:
    """Return when the kernel started a process, "" where it does not say, None when there is no such process."""
    try:
        # The second field, the name, may hold blanks and brackets: count from the last bracket.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return None if fields[0] in {"Z", "X"} else fields[19]
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return None
    except (OSError, IndexError):
        return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return ""
    return ""
