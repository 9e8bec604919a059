"""What a bus can do, whichever it is; and the plainest: a file."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from auscult.config.run_events import RunEventSettings
from auscult.errors import AuscultError, ConfigError
from auscult.run_events.outbox import Line, append_bytes

POLL_S = 0.5


class BusError(AuscultError):
    """A bus does not take or give events now; another attempt may succeed."""


class Bus(Protocol):
    """Takes events.

    Attributes:
        name: Kind and destination; how far it has an outbox is kept under it.
    """

    name: str

    def send(self, lines: Sequence[Line]) -> None:
        """Send events, in their order; when this returns the bus has them all.

        Raises:
            BusError: It may have none, some or all of them.
        """
        ...


@dataclass(frozen=True)
class Received:
    """A message that was received.

    Attributes:
        text: Its content, an event or not.
        done: Says that it was handled: it does not come again.
        keep: To be called every few seconds while it takes long to handle it: it would go to another listener.
    """

    text: bytes
    done: Callable[[], None] = lambda: None
    keep: Callable[[], None] = lambda: None


class Feed(Protocol):
    """Gives events."""

    def poll(self) -> Received | None:
        """Wait a little (as the bus is asked: a second, or `timeout_s`) for the next message; None: none came.

        Raises:
            BusError: The bus does not answer, or has no such topic.
        """
        ...

    def close(self) -> None:
        """Leave."""
        ...


def open_buses(settings: RunEventSettings) -> list[Bus]:
    """Return the buses that are named; none is connected before it is used."""
    buses: list[Bus] = []
    if settings.file is not None:
        buses.append(FileBus(Path(settings.file)))
    if settings.kafka is not None:
        from auscult.run_events.kafka import KafkaBus  # noqa: PLC0415 (only what is used)

        buses.append(KafkaBus(settings.kafka))
    if settings.pubsub is not None:
        from auscult.run_events.pubsub import PubsubBus  # noqa: PLC0415

        buses.append(PubsubBus(settings.pubsub))
    return buses


@contextmanager
def open_feed(settings: RunEventSettings, bus: str | None, group: str, *, from_start: bool) -> Generator[Feed]:
    """Yield what follows a bus.

    Args:
        settings: Where the buses are.
        bus: Which; None: the only one that is named.
        group: Of Kafka: what listeners of one group have handled none of them gets again.
        from_start: Also what was there before the group (of a file: this listener) first came.

    Raises:
        ConfigError: No such bus is named, or several are.
    """
    if bus is None and len(settings.buses) != 1:
        found = ", ".join(settings.buses) or "none"
        raise ConfigError(
            f"events in config/config.yaml: found {found}, expected one bus to listen to; "
            + ("choose it with --bus" if settings.buses else "name one (docs/run-events.md)")
        )
    bus = bus or settings.buses[0]
    if bus not in settings.buses:
        found = ", ".join(settings.buses) or "none"
        raise ConfigError(f"--bus {bus}: events in config/config.yaml names {found}; name {bus} there")
    feed: Feed
    if bus == "file" and settings.file is not None:
        feed = FileFeed(Path(settings.file), from_start=from_start)
    elif bus == "kafka" and settings.kafka is not None:
        from auscult.run_events.kafka import KafkaFeed  # noqa: PLC0415 (only what is used)

        feed = KafkaFeed(settings.kafka, group, from_start=from_start)
    else:
        assert settings.pubsub is not None
        from auscult.run_events.pubsub import PubsubFeed  # noqa: PLC0415

        feed = PubsubFeed(settings.pubsub)
    try:
        yield feed
    finally:
        feed.close()


class FileBus:
    """A file that gets a line an event, from all runs of this project.

    Args:
        path: The file; its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        self.name = f"file:{path}"
        self._path = path

    def send(self, lines: Sequence[Line]) -> None:
        """Append events; see `Bus`."""
        if not self._path.absolute().parent.is_dir():
            raise BusError(f"events.file: {self._path}: there is no such folder; make it, or name another file")
        try:
            with self._path.open("ab") as one_at_a_time:
                fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
                append_bytes(self._path, b"".join(line.text + b"\n" for line in lines))
        except OSError as error:
            raise BusError(f"events.file: {self._path} cannot be written: {error}") from error


class FileFeed:
    """Follows such a file; one that is not there yet is waited for."""

    def __init__(self, path: Path, *, from_start: bool) -> None:
        self._path = path
        self._at = 0 if from_start or not path.is_file() else path.stat().st_size
        self._waiting: list[bytes] = []

    def poll(self) -> Received | None:
        """Return the next whole line; see `Feed`."""
        if not self._waiting:
            self._read()
        if not self._waiting:
            time.sleep(POLL_S)
            return None
        return Received(self._waiting.pop(0))

    def _read(self) -> None:
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._at)
                content = stream.read()
        except FileNotFoundError:
            return
        except OSError as error:
            raise BusError(f"events.file: {self._path} cannot be read: {error}") from error
        whole, end, _ = content.rpartition(b"\n")
        self._at += len(whole) + len(end)
        self._waiting = [line for line in whole.split(b"\n") if line]

    def close(self) -> None:
        """Nothing is open."""
