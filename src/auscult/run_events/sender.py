"""Sends what outboxes hold and a bus lacks. Beside a training: `python -m auscult.run_events.sender FOLDER`.

At least once: how far a bus has an outbox is written when it has said so. What is sent again has the same id.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from auscult.companion import accompanied
from auscult.config.run_events import RunEventSettings
from auscult.errors import AuscultError
from auscult.run_events.buses import POLL_S, Bus, open_buses
from auscult.run_events.outbox import ENDINGS, OUTBOX_FILE, Outbox, read_lines, read_sent, write_sent
from auscult.storage.files import sync_file
from auscult.training.lock import is_owner_alive

RETRY_S = (1.0, 60.0)
"""After a fault so long until the next try, each time twice as long, at most the second."""
OVER = b"over"
"""What a training says at its end; one that dies says nothing."""
_LOCK_FILE = "events.lock"
_BATCH = 100
_WAIT_S = 10.0
logger = logging.getLogger(__name__)


def find_outboxes(folder: Path) -> list[Path]:
    """Return the outboxes in a folder and below, sorted."""
    return sorted(Path(folder).rglob(OUTBOX_FILE))


def send_outbox(path: Path, bus: Bus) -> int:
    """Send a bus what it lacks of an outbox, and return how many events that were.

    Raises:
        BusError: It does not take them now.
        Timeout: Another process has been sending this outbox for long.
    """
    n_sent = 0
    if not read_lines(path, read_sent(path.parent).get(bus.name, 0)):
        return 0
    # Two that send at once would do no harm but double every event on its way.
    with FileLock(path.with_name(_LOCK_FILE), timeout=_WAIT_S):
        lines = read_lines(path, read_sent(path.parent).get(bus.name, 0))
        sync_file(path)  # how far a bus is must never point behind the end of what a power cut leaves
        for start in range(0, len(lines), _BATCH):
            batch = lines[start : start + _BATCH]
            bus.send(batch)
            write_sent(path.parent, bus.name, batch[-1].end)
            n_sent += len(batch)
    return n_sent


@dataclass
class _Route:
    """A bus, and when it is tried again after a fault."""

    bus: Bus
    try_s: float = 0.0
    retry_s: float = RETRY_S[0]
    fault: str | None = None


class Sender:
    """Sends outboxes, again and again; a bus that is down keeps no other waiting for long.

    Args:
        outboxes: Of a training its own, of a result those of its trainings too.
        buses: Where to.
    """

    def __init__(self, outboxes: Sequence[Path], buses: Sequence[Bus]) -> None:
        self._outboxes = outboxes
        self._routes = [_Route(bus) for bus in buses]

    def work(self) -> None:
        """Send what is due; a fault is logged and tried again later."""
        for route in self._routes:
            if time.monotonic() < route.try_s:
                continue
            try:
                for path in self._outboxes:
                    send_outbox(path, route.bus)
            except (AuscultError, OSError, Timeout) as error:
                if str(error) != route.fault:
                    logger.warning("not sent for now, tried again from %.0f s on: %s", route.retry_s, error)
                route.fault = str(error)
                route.try_s = time.monotonic() + route.retry_s
                route.retry_s = min(2 * route.retry_s, RETRY_S[1])
            else:
                if route.fault is not None:
                    logger.warning("%s has everything", route.bus.name)
                route.fault, route.retry_s = None, RETRY_S[0]


def tell_of_a_kill(folder: Path, name: Sequence[str]) -> None:
    """Add the event that a training could not: it was killed, or ended in a way that Python never learnt of."""
    outbox = Outbox(folder, name)
    if outbox.last is None or outbox.last.kind in ENDINGS or is_owner_alive(folder / "state"):
        return
    outbox.append("failed", {"attempt": outbox.last.values["data"]["attempt"], "error": "Killed"})


def main(folder: Path) -> None:
    """Send for the process that started this one, until it ends; what is left then waits for the next sender."""
    with accompanied() as parent:
        request = parent.first_message()
        if request is None:
            return
        outboxes = find_outboxes(folder) if request["name"] is None else [folder / OUTBOX_FILE]
        sender = Sender(outboxes, open_buses(RunEventSettings.model_validate(request["events"])))
        word: bytes | None = None
        while word is None:
            word = parent.last_word(POLL_S)
            if word not in (None, OVER) and request["name"] is not None:
                tell_of_a_kill(folder, request["name"])
            sender.work()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    logging.shutdown()
    os._exit(0)  # all is on the disk: nobody waits for the second that a client takes to leave
