"""The process that logs a training while it runs: `python -m auscult.tracking.follow <run folder>`, fed by a pipe."""

from __future__ import annotations

import json
import logging
import os
import selectors
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from auscult.provenance import redact
from auscult.tracking.live_run import BEAT_S, LiveRun, unix_ms
from auscult.tracking.memo import LiveRequest
from auscult.tracking.points import Point
from auscult.tracking.store import tracking_faults
from auscult.tracking.system import Sampler

RETRY_S = (10.0, 240.0)
"""After a fault so long until the next try, each time twice as long, at most the second."""
_POLL_S = 1.0
_MAX_WAITING_POINTS = 1000
_logger = logging.getLogger(__name__)


class Follower:
    """Follows one training.

    Args:
        folder: The run folder.
        first: The first message: `uri`, `system_s`, `pid`, `request`, `n_epochs`.
    """

    def __init__(self, folder: Path, first: Mapping[str, Any]) -> None:
        self._n_epochs = int(first["n_epochs"])
        self._n_sent = -1
        self._run = None
        if first["uri"] is not None:
            self._run = LiveRun(folder, first["uri"], LiveRequest(**first["request"]))
            self._run.remember()
        self._sampler = None
        self._every_s = first["system_s"]
        if self._every_s is not None:
            self._sampler = Sampler(folder, int(first["pid"]), unix_ms)
            self._sampler.start(fresh=self._n_epochs == 0)
            self._first_step = self._sampler.step
        self._system: list[Point] = []
        self._status: str | None = None
        now_s = time.monotonic()
        self._sample_s = now_s + (self._every_s or 0.0)
        self._try_s = now_s
        self._beat_s = now_s
        self._retry_s = RETRY_S[0]

    def take(self, message: Mapping[str, Any]) -> None:
        """Take a message: `n_epochs` that are saved, or the `status` that the training ended with."""
        self._n_epochs = int(message.get("n_epochs", self._n_epochs))
        self._status = message.get("status", self._status)

    @property
    def is_over(self) -> bool:
        """Whether the training has ended."""
        return self._status is not None

    def work(self) -> None:
        """Do what is due."""
        now_s = time.monotonic()
        if self._sampler is not None and (now_s >= self._sample_s or self._is_unseen):
            self._sample_s = now_s + self._every_s
            self._system = [*self._system, *self._sampler.sample()][-_MAX_WAITING_POINTS:]
        is_news = self._n_sent < self._n_epochs or self._system or self.is_over or now_s >= self._beat_s
        if self._run is not None and is_news and now_s >= self._try_s:
            self._send(self._run)

    @property
    def _is_unseen(self) -> bool:
        """A training shorter than the time between two looks is looked at once, at its end."""
        return self.is_over and self._sampler is not None and self._sampler.step == self._first_step

    def _send(self, run: LiveRun) -> None:
        system, self._system = self._system, []
        try:
            if not run.send(self._n_epochs, system):
                self._system = system
                self._try_s = time.monotonic() + _POLL_S
                return
            if self._status is not None:
                run.end(self._status)
        except tracking_faults() as error:
            self._try_s = time.monotonic() + self._retry_s
            _logger.warning("not logged for now, tried again in %.0f s: %s", self._retry_s, redact(str(error)))
            self._retry_s = min(2 * self._retry_s, RETRY_S[1])
        else:
            self._n_sent, self._retry_s = self._n_epochs, RETRY_S[0]
            self._beat_s = time.monotonic() + BEAT_S


def main(folder: Path) -> None:
    """Follow the training whose messages come by the standard input, until it ends."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(format="%(asctime)s %(levelname)-7s %(message)s")
    descriptor, rest, follower = sys.stdin.fileno(), b"", None
    os.set_blocking(descriptor, False)
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while follower is None or not follower.is_over:
            if selector.select(_POLL_S):
                content = os.read(descriptor, 65536)
                *lines, rest = (rest + content).split(b"\n")
                for line in lines:
                    if follower is None:
                        follower = Follower(folder, json.loads(line))
                    else:
                        follower.take(json.loads(line))
                if not content:
                    if follower is None:
                        return
                    if not follower.is_over:
                        follower.take({"status": "KILLED"})  # it died without a word
            if follower is not None:
                follower.work()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
