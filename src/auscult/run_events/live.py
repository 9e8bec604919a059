"""The events of a training, from the process that trains into its outbox; `sender` brings them to the buses."""

from __future__ import annotations

import logging
import subprocess
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from auscult.companion import start_companion
from auscult.config import JobSettings
from auscult.config.paths import CHECKSUMS_FILE, result_dir
from auscult.config.run_events import RunEventSettings, require_clients
from auscult.run_events.outbox import Outbox
from auscult.run_events.sender import OVER
from auscult.storage.files import sha256_file
from auscult.tracking.live import is_rank_zero
from auscult.training.progress import Tell

LOG_FILE = "events.log"
FLUSH_S = 0.5
"""The longest that a training waits at its end. The sender goes on; what it cannot send, the next one does."""
PUBLISH_S = 5.0
"""The longest that a result waits."""
logger = logging.getLogger(__name__)


@contextmanager
def live(events: RunEventSettings, *, name: tuple[str, str, str], job: JobSettings, folder: Path) -> Generator[Tell]:
    """Yield what takes the events of the training in the block; they go to the outbox at once, to the buses soon.

    Args:
        events: Where to; where no bus is named, nothing is written.
        name: Group, experiment and the run's id.
        job: The training's settings.
        folder: The run folder.

    Raises:
        ConfigError: A bus whose library is not installed.
    """
    require_clients(events)
    if not events.buses or not is_rank_zero(job):
        yield lambda kind, known: None
        return
    outbox: list[Outbox] = []  # opened at the first event: then the training holds its run folder

    def tell(kind: str, known: Mapping[str, Any]) -> None:
        if not outbox:
            outbox.append(Outbox(folder, name))
        outbox[0].append(kind, known)

    process = _start_sender(events, folder, name)
    try:
        yield tell
    finally:
        _end_sender(process, FLUSH_S)


def tell_published(
    events: RunEventSettings, *, group: str, experiment: str, jobs: Sequence[str], folder: Path, root: Path = Path()
) -> None:
    """Tell that a result is complete, and send all that its trainings could not.

    Args:
        events: Where to.
        group: The experiment's folder.
        experiment: Its name.
        jobs: Its runs.
        folder: The experiment's folder of runs.
        root: The project's folder.

    Raises:
        ConfigError: A bus whose library is not installed.
        OSError: The result has no `checksums.txt`.
    """
    require_clients(events)
    if not events.buses:
        return
    result = result_dir(group, experiment)
    checksums = sha256_file(root / result / CHECKSUMS_FILE)
    known = {"result": result, "jobs": tuple(jobs), "checksums_sha256": checksums}
    Outbox(folder, (group, experiment)).append("published", known)
    _end_sender(_start_sender(events, folder, None), PUBLISH_S)


def _start_sender(events: RunEventSettings, folder: Path, name: Sequence[str] | None) -> subprocess.Popen[bytes] | None:
    first = {"events": events.model_dump(mode="json"), "name": name}
    fault = "events are not sent while this runs"
    return start_companion("auscult.run_events.sender", folder, folder / LOG_FILE, first, fault)


def _end_sender(process: subprocess.Popen[bytes] | None, longest_s: float) -> None:
    """Say that all is in the outbox, and wait a little; then leave it to itself."""
    if process is None:
        return
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.write(OVER)
        process.stdin.close()
    try:
        process.wait(longest_s)
    except subprocess.TimeoutExpired:
        threading.Thread(target=process.wait, daemon=True).start()
        logger.info("the events of this run are still on their way; `auscult events send` sends what is left")
        return
    if process.returncode != 0:
        logger.warning("events are not sent; %s in the run folder says why, `auscult events send` sends them", LOG_FILE)
