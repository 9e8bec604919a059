"""Follows a bus: prints its events, and starts a command when one comes that was waited for."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass

from auscult.config.run_events import TYPE_PREFIX
from auscult.errors import ConfigError
from auscult.run_events.buses import POLL_S, Feed, Received
from auscult.run_events.outbox import parse_event

_N_REMEMBERED = 100_000


@dataclass(frozen=True)
class Wanted:
    """Which events are waited for.

    Attributes:
        kinds: Such as `published`; none: all.
        subjects: Such as `pneumonia/train2356` or `pneumonia/train2356/1`; none: all.
    """

    kinds: Collection[str] = ()
    subjects: Collection[str] = ()

    def __call__(self, kind: str, subject: str) -> bool:
        """Tell whether an event is one of them.

        >>> wanted = Wanted(["published", "failed"], ["pneumonia/train2356"])
        >>> wanted("failed", "pneumonia/train2356/1"), wanted("failed", "pneumonia/train23")
        (True, False)
        """
        is_of = not self.subjects or any(f"{subject}/".startswith(f"{each}/") for each in self.subjects)
        return is_of and (not self.kinds or kind in self.kinds)


def listen(
    feed: Feed, wanted: Wanted, show: Callable[[str], None], *, command: str | None = None, once: bool = False
) -> int:
    """Follow a bus until `once` was met; each event is shown once, however often it comes.

    Args:
        feed: The bus.
        wanted: Which events.
        show: Takes an event as a line of JSON.
        command: Is started for each, one after the other, with the event on its standard input and in the variables
            AUSCULT_EVENT_TYPE, AUSCULT_EVENT_SUBJECT and AUSCULT_EVENT_ID. An event counts as handled when it ends,
            whatever its status.
        once: Leave after the first.

    Returns:
        The last command's status that was not 0; else 0.

    Raises:
        BusError: The bus is missing or down; what was not handled comes again.
        ConfigError: The command is not there.
    """
    seen: set[str] = set()
    order: deque[str] = deque()
    status = 0
    while True:
        received = feed.poll()
        if received is None:
            continue
        event = parse_event(received.text)
        is_met = event is not None and event["id"] not in seen
        if event is not None and is_met:
            kind, subject = event["type"].removeprefix(TYPE_PREFIX), event["subject"]
            is_met = wanted(kind, subject)
            if is_met:
                show(received.text.decode())
                if command is not None:
                    names = {"TYPE": kind, "SUBJECT": subject, "ID": event["id"]}
                    status = (
                        _run(command, {f"AUSCULT_EVENT_{key}": value for key, value in names.items()}, received)
                        or status
                    )
            seen.add(event["id"])
            order.append(event["id"])
            if len(order) > _N_REMEMBERED:
                seen.discard(order.popleft())
        received.done()
        if is_met and once:
            return status


def _run(command: str, variables: dict[str, str], received: Received) -> int:
    """Run a command to its end and return its status."""
    try:
        process = subprocess.Popen(  # noqa: S603 (the user's own command, not through a shell)
            shlex.split(command), stdin=subprocess.PIPE, env={**os.environ, **variables}
        )
    except (OSError, ValueError) as error:
        raise ConfigError(f"--run {command!r} cannot be started: {error}") from error
    text: bytes | None = received.text
    while True:
        try:
            process.communicate(text, timeout=POLL_S)
        except subprocess.TimeoutExpired:
            text = None
            received.keep()
        else:
            return process.returncode
