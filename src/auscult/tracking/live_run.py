"""One training as a run that grows while it trains; sending again what was sent changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from auscult.config.paths import result_dir
from auscult.errors import DataError
from auscult.provenance import data_version, git_state, redact
from auscult.tracking.memo import LiveRequest, read_memo
from auscult.tracking.points import Logged, Point, agree, epoch_points, lacking, read_epochs
from auscult.tracking.store import connect
from auscult.tracking.tags import (
    TAG_ATTEMPTS,
    TAG_EXPERIMENT,
    TAG_JOB,
    TAG_KIND,
    TAG_PARENT,
    TAG_RESULT,
    TAG_SEEN,
    TAG_SUPERSEDED,
    TAG_TASK,
    is_dead,
    provenance_tags,
)
from auscult.tracking.writer import RunWriter

if TYPE_CHECKING:
    from mlflow.entities import Run

METRICS_FILE = "metrics.jsonl"
BEAT_S = 60.0


def unix_ms() -> int:
    """Return the time."""
    return time.time_ns() // 1_000_000


class LiveRun:
    """The run of one training.

    The run of an earlier attempt is gone on with when all that stands there is part of this training's history; else a
    new run takes its place.

    Args:
        folder: The run folder.
        uri: The store.
        request: What is logged.
        open_writer: Connects to the store.
    """

    def __init__(
        self,
        folder: Path,
        uri: str,
        request: LiveRequest,
        open_writer: Callable[[str], RunWriter] = lambda uri: RunWriter(connect(uri), uri),
    ) -> None:
        self._folder = folder
        self._uri = uri
        self._request = request
        self._open_writer = open_writer
        self._memo = read_memo(folder)
        if not self._memo.is_of(uri, request):
            # Another training's times say nothing of this one; its run is remembered, so that it is closed.
            self._memo.times_ms = {}
            if self._memo.store != redact(uri):
                self._memo.store, self._memo.run = redact(uri), None
        self._may_go_on = self._memo.is_of(uri, request)
        self._writer: RunWriter | None = None
        self._run_id: str | None = None
        self._logged: Logged | None = None
        self._beaten_s = 0.0

    @property
    def run_id(self) -> str | None:
        """The run's id, once the store was reached."""
        return self._run_id

    def remember(self) -> None:
        """Keep what is to be logged, so that `auscult sync` can do it when nothing is reached now."""
        self._memo.request = self._request
        self._memo.write(self._folder)

    def send(self, n_epochs: int, system: Sequence[Point] = (), *, beats: bool = True) -> bool:
        """Log what the store lacks of the first epochs; raises what MLflow raises.

        Args:
            n_epochs: Of `metrics.jsonl`.
            system: Points of the machine; not sent again when this fails.
            beats: The training runs: a sign of life is left, once a minute.

        Returns:
            False while `metrics.jsonl` does not hold so many epochs.
        """
        points = self._points(n_epochs)
        if points is None:
            return False
        try:
            if self._writer is None:
                self._writer = self._open_writer(self._uri)
            if self._run_id is None:
                self._run_id = self._open(self._writer, points)
            if self._logged is None:
                self._logged = self._writer.history(self._run_id)
            missing = lacking(self._logged, points)
            self._writer.points(self._run_id, [*missing, *system])
            self._logged |= {(point.key, point.step): {point.value} for point in missing}
            if beats and time.monotonic() - self._beaten_s >= BEAT_S:
                self._writer.tag(self._run_id, {TAG_SEEN: str(unix_ms() // 1000)})
                self._beaten_s = time.monotonic()
        except BaseException:
            # A request without an answer may have been carried out: the store is asked before anything is sent again.
            self._writer = self._logged = None
            raise
        return True

    def end(self, status: str) -> None:
        """Say how the training ended: FINISHED, FAILED or KILLED."""
        if self._writer is not None and self._run_id is not None:
            self._writer.set_status(self._run_id, status)

    def _points(self, n_epochs: int) -> list[Point] | None:
        path = self._folder / METRICS_FILE
        try:
            rows = sorted(read_epochs(path).items())[:n_epochs] if n_epochs else []
        except (FileNotFoundError, DataError):
            return None  # it is just being written
        if len(rows) < n_epochs:
            return None
        unseen = [epoch for epoch, _ in rows if epoch not in self._memo.times_ms]
        if unseen:
            self._memo.times_ms |= dict.fromkeys(unseen, unix_ms())
            self._memo.write(self._folder)
        return [point for epoch, row in rows for point in epoch_points(epoch, row, self._memo.times_ms[epoch])]

    def _open(self, writer: RunWriter, points: Sequence[Point]) -> str:
        experiment_id = writer.experiment(self._request.task)
        for run in writer.running(experiment_id):
            if is_dead(run):
                writer.set_status(run.info.run_id, "KILLED")
        before = writer.get(self._memo.run) if self._memo.run else None
        if before is not None and self._may_go_on and agree(writer.history(before.info.run_id), points):
            return self._go_on(writer, before)
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
        self._memo.run, self._may_go_on = run_id, True
        self._memo.write(self._folder)
        writer.params(run_id, self._request.params)
        if before is not None:
            # The lock of this training is held: nobody else logs to the run before.
            writer.supersede(before, {TAG_SUPERSEDED: run_id})
        return run_id

    def _go_on(self, writer: RunWriter, run: Run) -> str:
        attempts = run.data.tags.get(TAG_ATTEMPTS, "0")
        number = int(attempts) + 1 if attempts.isdecimal() else 1
        run_id = run.info.run_id
        writer.params(run_id, self._request.params)
        writer.tag(run_id, {TAG_ATTEMPTS: str(number), TAG_SEEN: str(unix_ms() // 1000)})
        writer.set_status(run_id, "RUNNING")
        return run_id
