"""The process that logs a training while it runs: `python -m auscult.tracking.follower <run folder>`.

It reads `metrics.jsonl`, which the training writes anew when it holds the run and then appends to. Its standard input
gives one line at the start and one word at the end; a training that dies without a word closes it.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from auscult.companion import accompanied
from auscult.config.paths import METRICS_FILE, result_dir
from auscult.errors import DataError
from auscult.provenance import data_version, git_state, redact
from auscult.tracking.live import LiveRequest, read_run_state
from auscult.tracking.metrics import Epochs, Logged, Point, agree, epoch_points, lacking, read_epochs
from auscult.tracking.store import connect, tracking_faults
from auscult.tracking.system import Sampler
from auscult.tracking.writer import (
    TAG_ATTEMPTS,
    TAG_EXPERIMENT,
    TAG_JOB,
    TAG_KIND,
    TAG_PARENT,
    TAG_RESULT,
    TAG_SEEN,
    TAG_SUPERSEDED,
    TAG_TASK,
    RunWriter,
    provenance_tags,
)

BEAT_S = 60.0
RETRY_S = (10.0, 240.0)
"""After a fault so long until the next try, each time twice as long, at most the second."""
_POLL_S = 1.0
_MAX_WAITING_POINTS = 1000
logger = logging.getLogger(__name__)


def unix_ms() -> int:
    """Return the time."""
    return time.time_ns() // 1_000_000


class LiveRun:
    """The run of one training, which grows while it trains; sending again what was sent changes nothing.

    The run of an earlier session is resumed when all that stands there is part of this training's history; else a new
    run takes its place.

    Args:
        folder: The run folder.
        uri: The store.
        request: What is logged.
    """

    def __init__(self, folder: Path, uri: str, request: LiveRequest) -> None:
        self._folder = folder
        self._uri = uri
        self._request = request
        self._state = read_run_state(folder)
        if not self._state.is_of(uri, request):
            # Another training's times say nothing of this one; its run is remembered, so that it is closed.
            self._state.times_ms = {}
            if self._state.store != redact(uri):
                self._state.store, self._state.run = redact(uri), None
        self._may_resume = self._state.is_of(uri, request)
        self._writer: RunWriter | None = None
        self._run_id: str | None = None
        self._logged: Logged | None = None
        self._beaten_s = 0.0

    @property
    def run_id(self) -> str | None:
        """The run's id, once the store was reached."""
        return self._run_id

    def remember(self, epochs: Epochs) -> None:
        """Keep what is to be logged, so that `auscult sync` can do it when nothing is reached now.

        Args:
            epochs: That the training begins with; any other is trained again, at a time of its own.
        """
        self._state.request = self._request
        self._state.times_ms = {epoch: time for epoch, time in self._state.times_ms.items() if epoch in epochs}
        self._state.write(self._folder)

    def send(self, epochs: Epochs, system: Sequence[Point] = (), *, beats: bool = True) -> None:
        """Log what the store lacks of the epochs; raises what MLflow raises.

        Args:
            epochs: All that the training has done.
            system: Points of the machine; not sent again when this fails.
            beats: The training runs: a sign of life is left, once a minute.
        """
        points = self._points(epochs)
        try:
            if self._writer is None:
                self._writer = RunWriter(connect(self._uri), self._uri)
            run_id = self._choose_run(self._writer, points)
            missing = lacking(self._logged or {}, points)
            self._writer.points(run_id, [*missing, *system])
            self._logged = (self._logged or {}) | {(point.key, point.step): {point.value} for point in missing}
            if beats and time.monotonic() - self._beaten_s >= BEAT_S:
                self._writer.tag(run_id, {TAG_SEEN: str(unix_ms() // 1000)})
                self._beaten_s = time.monotonic()
        except BaseException:
            # A request without an answer may have been carried out: the store is asked before anything is sent again.
            self._writer = self._logged = None
            raise

    def end(self, status: str) -> None:
        """Say how the training ended: FINISHED, FAILED or KILLED."""
        if self._writer is not None and self._run_id is not None:
            self._writer.set_status(self._run_id, status)

    def _points(self, epochs: Epochs) -> list[Point]:
        unseen = [epoch for epoch in epochs if epoch not in self._state.times_ms]
        if unseen:
            self._state.times_ms |= dict.fromkeys(unseen, unix_ms())
            self._state.write(self._folder)
        return [
            point
            for epoch, row in sorted(epochs.items())
            for point in epoch_points(epoch, row, self._state.times_ms[epoch])
        ]

    def _choose_run(self, writer: RunWriter, points: Sequence[Point]) -> str:
        """Return the run to log to: the one at hand, the one of an earlier session, or a new one."""
        if self._run_id is None:
            writer.close_dead_runs(writer.experiment(self._request.task))
            return self._resume(writer, points) or self._start(writer, points)
        if self._logged is None:
            self._logged = writer.history(self._run_id)
        # An epoch that was trained again may come out otherwise, on a GPU for one: what stands there is then of a
        # training that is lost.
        return self._run_id if agree(self._logged, points, so_far=True) else self._start(writer, points)

    def _resume(self, writer: RunWriter, points: Sequence[Point]) -> str | None:
        run = writer.get(self._state.run) if self._state.run and self._may_resume else None
        logged = writer.history(run.info.run_id) if run is not None else {}
        if run is None or not agree(logged, points, so_far=True):
            return None
        sessions = run.data.tags.get(TAG_ATTEMPTS, "0")
        number = int(sessions) + 1 if sessions.isdecimal() else 1
        run_id = run.info.run_id
        writer.params(run_id, self._request.params)
        writer.tag(run_id, {TAG_ATTEMPTS: str(number), TAG_SEEN: str(unix_ms() // 1000)})
        writer.set_status(run_id, "RUNNING")
        self._run_id, self._logged = run_id, logged
        return run_id

    def _start(self, writer: RunWriter, points: Sequence[Point]) -> str:
        """Make a new run; the one before, which nobody else logs to while this training holds its lock, is closed."""
        experiment_id = writer.experiment(self._request.task)
        before = writer.get(self._state.run) if self._state.run else None
        tags = {
            TAG_KIND: "job",
            TAG_EXPERIMENT: self._request.experiment,
            TAG_TASK: self._request.task,
            TAG_RESULT: result_dir(*self._request.experiment.split("/", 1)),
            TAG_JOB: self._request.job,
            TAG_ATTEMPTS: "1",
            TAG_SEEN: str(unix_ms() // 1000),
            **provenance_tags({"git": git_state(), "data": data_version()}),
        }
        parents = writer.find(experiment_id, {TAG_EXPERIMENT: self._request.experiment, TAG_KIND: "experiment"})
        # Until the experiment was logged once its trainings stand alone; the step `track` gives each its parent.
        current = [run.info.run_id for run in parents if TAG_SUPERSEDED not in run.data.tags]
        if current:
            tags[TAG_PARENT] = current[0]
        start_ms = min([unix_ms(), *(point.timestamp_ms for point in points)])
        run_id = writer.start(experiment_id, self._request.name, tags, start_ms)
        self._state.run, self._may_resume = run_id, True
        self._state.write(self._folder)
        writer.params(run_id, self._request.params)
        if before is not None:
            writer.supersede(before, {TAG_SUPERSEDED: run_id})
        self._run_id, self._logged = run_id, {}
        return run_id


class Follower:
    """Follows one training.

    Args:
        folder: The run folder.
        first: The first message: `uri`, `system_s`, `pid`, `request`, and `file_before`, the number of the
            `metrics.jsonl` that stood there before the training: an earlier session's, or of a training that holds the
            run while this one is about to be refused.
    """

    def __init__(self, folder: Path, first: Mapping[str, Any]) -> None:
        self._path = folder / METRICS_FILE
        self._file_before = first["file_before"]
        self._seen: tuple[int, int, int] | None = None
        self._epochs: Epochs | None = None
        self._n_sent = -1
        self._run = None
        if first["uri"] is not None:
            self._run = LiveRun(folder, first["uri"], LiveRequest(**first["request"]))
        self._sampler = None
        self._every_s = first["system_s"]
        if self._every_s is not None:
            self._sampler = Sampler(folder, int(first["pid"]), unix_ms)
        self._first_step = 0
        self._system: list[Point] = []
        self._status: str | None = None
        self._sample_s = self._try_s = self._beat_s = 0.0
        self._retry_s = RETRY_S[0]

    def end(self, status: str) -> None:
        """Take note of how the training ended: FINISHED, FAILED or KILLED."""
        self._status = status

    @property
    def is_over(self) -> bool:
        """Whether the training has ended."""
        return self._status is not None

    def work(self) -> None:
        """Do what is due; nothing before the training holds its run."""
        self._look()
        if self._epochs is None:
            return
        now_s = time.monotonic()
        if self._sampler is not None and (now_s >= self._sample_s or self._is_unseen):
            self._sample_s = now_s + self._every_s
            self._system = [*self._system, *self._sampler.sample()][-_MAX_WAITING_POINTS:]
        is_news = self._n_sent < len(self._epochs) or self._system or self.is_over or now_s >= self._beat_s
        if self._run is not None and is_news and now_s >= self._try_s:
            self._send(self._run, self._epochs)

    def _look(self) -> None:
        """Read `metrics.jsonl` when it has changed."""
        try:
            status = self._path.stat()
            seen = status.st_ino, status.st_size, status.st_mtime_ns
            if seen == self._seen or status.st_ino == self._file_before:
                return
            epochs = read_epochs(self._path)
        except (FileNotFoundError, DataError):
            return  # a line of it is just being written
        if self._epochs is None:
            self._begin(epochs)
        self._seen, self._epochs = seen, epochs

    def _begin(self, epochs: Epochs) -> None:
        if self._run is not None:
            self._run.remember(epochs)
        if self._sampler is not None:
            self._sampler.start(fresh=not epochs)
            self._first_step = self._sampler.step
        self._sample_s = time.monotonic() + (self._every_s or 0.0)

    @property
    def _is_unseen(self) -> bool:
        """A training shorter than the time between two looks is looked at once, at its end."""
        return self.is_over and self._sampler is not None and self._sampler.step == self._first_step

    def _send(self, run: LiveRun, epochs: Epochs) -> None:
        system, self._system = self._system, []
        try:
            run.send(epochs, system)
            if self._status is not None:
                run.end(self._status)
        except tracking_faults() as error:
            self._try_s = time.monotonic() + self._retry_s
            logger.warning("not logged for now, tried again in %.0f s: %s", self._retry_s, redact(str(error)))
            self._retry_s = min(2 * self._retry_s, RETRY_S[1])
        else:
            self._n_sent, self._retry_s = len(epochs), RETRY_S[0]
            self._beat_s = time.monotonic() + BEAT_S


def main(folder: Path) -> None:
    """Follow the training that started this process, until it ends."""
    with accompanied() as training:
        first = training.first_message()
        if first is None:
            return
        follower = Follower(folder, first)
        while not follower.is_over:
            word = training.last_word(_POLL_S)
            if word is not None:
                follower.end(word.decode() or "KILLED")
            follower.work()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
