"""From a raw folder to checked tables: every file is decoded once, every fault is written down, nothing is guessed."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pandas as pd

from auscult.audio.probe import AudioFacts
from auscult.config import DatasetSettings, ManifestDataset, paths
from auscult.config.dataset import PluginDataset
from auscult.config.task import fold_label
from auscult.datasets.decode_audio import probe_from, probe_of
from auscult.datasets.flow import READ_COLUMNS, account, account_lines, flow_table, is_a_recording
from auscult.datasets.folder import AUDIO_SUFFIXES, printable
from auscult.datasets.not_taken import NOT_TAKEN_KINDS, read_items, say_not_taken
from auscult.datasets.pinned import require_pinned
from auscult.datasets.readers.reading import PATIENT_UNKNOWN, Item
from auscult.datasets.readers.vocabulary import vocabulary_of
from auscult.datasets.sound_findings import sound_findings
from auscult.datasets.summary import Summary
from auscult.datasets.table_writers import EventWriter, RecordingWriter
from auscult.errors import DataError
from auscult.logs import TO_TERMINAL
from auscult.storage.files import atomic_path, write_json
from auscult.storage.flow import FLOW_FILE
from auscult.storage.patient_ids import SIMILAR_PATIENTS, SPELLINGS, spellings_of_one
from auscult.storage.tables import (
    ANNOTATED,
    REJECTED_COLUMNS,
    SIMULATED_MARK,
    UNPLACED,
    Event,
    Notice,
    Recording,
    Rejection,
    read_facts,
    write_csv,
)

END_TOLERANCE_S = 0.05
"""An event may end so far beyond its recording, it is then cut at the end: times are rounded."""
FOLDER = "folder"
"""Attribute of every recording: the folder of its file relative to the root, `.` for the root itself."""
PROGRESS_EVERY_S = 10.0
SHOWN_REJECTIONS = 5

logger = logging.getLogger(__name__)


def ingest(
    root: Path,
    dataset: str,
    settings: DatasetSettings,
    output_dir: Path,
    *,
    audio_facts: Sequence[Path] = (),
    probe: Callable[[Path], AudioFacts] | None = None,
) -> None:
    """Read a dataset and write `recordings.parquet`, `events.parquet`, `rejected.csv`, `flow.csv`, `summary.json`.

    Args:
        root: The dataset's folder.
        dataset: Its name, the first part of every id.
        settings: Its layout.
        output_dir: Where the five files go; each is written atomically.
        audio_facts: The tables of all shards (`decode_audio`), which then take the place of `probe`.
        probe: Decodes a file and returns its facts, or raises DataError; default: as the layout asks for.

    Raises:
        DataError: The root is missing, holds no usable recording, or is not what DVC pinned.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(paths.say_missing_root(dataset, settings, root))
    if settings.tracked_by:
        require_pinned(root, dataset, Path(settings.tracked_by))
    summary = Summary(dataset, settings.layout)
    with ExitStack() as stack:
        recordings_path = stack.enter_context(atomic_path(output_dir / "recordings.parquet"))
        events_path = stack.enter_context(atomic_path(output_dir / "events.parquet"))
        recordings = stack.enter_context(RecordingWriter(recordings_path, dataset))
        events = stack.enter_context(EventWriter(events_path, has_bands=settings.may_know_bands))
        look = probe_from(audio_facts, root) if audio_facts else probe or probe_of(settings)
        ingest = _Ingest(root, summary, recordings, events, probe=look, settings=settings)
        try:
            ingest.take(read_items(root, dataset, settings))
        except PermissionError as error:
            raise DataError(
                f"{dataset}: {error.filename}: permission denied; make it readable for this user"
            ) from error
        if any((folder / SIMULATED_MARK).is_file() for folder in (root, root.parent)):
            summary.add_notice(Notice("simulated", dataset, f"{SIMULATED_MARK} stands in or beside this dataset"))
        if summary.n_recordings == 0:
            raise DataError(_say_empty(root, dataset, settings, ingest.rejections))
    _write_rejections(output_dir / "rejected.csv", ingest.rejections)
    lost = ingest.lost()
    read = read_facts(output_dir / "recordings.parquet", READ_COLUMNS)
    flow = flow_table(read, lost, ingest.unknown_patients)
    write_csv(output_dir / FLOW_FILE, flow)
    for spellings in spellings_of_one(flow.loc[flow["patient_is_known"], "patient_id"].dropna().unique()):
        summary.add_notice(Notice(SIMILAR_PATIENTS, " = ".join(spellings), SPELLINGS))
    found = account(flow, dataset)
    write_json(
        output_dir / "summary.json", {**summary.as_dict(), "vocabulary": vocabulary_of(settings.layout), "flow": found}
    )
    for line in account_lines(found, dataset):
        logger.info("%s", line, extra=TO_TERMINAL)
    for kind, files in ingest.not_taken.items():
        if files:
            what = "picture" if settings.holds_pictures else "sound file"
            logger.warning("%s", say_not_taken(dataset, kind, files, what))
    for warning in found["warnings"]:
        logger.warning("%s", warning)
    logger.info(
        "%s: %d recordings, %d faults, tables in %s", dataset, summary.n_recordings, len(ingest.rejections), output_dir
    )


class _Ingest:
    """Takes a reader's items one by one; of each recording it keeps the id, the path and the duration."""

    def __init__(
        self,
        root: Path,
        summary: Summary,
        recordings: RecordingWriter,
        events: EventWriter,
        *,
        probe: Callable[[Path], AudioFacts],
        settings: DatasetSettings,
    ) -> None:
        self._root = root
        self._settings = settings
        self._summary = summary
        self._recordings = recordings
        self._events = events
        self._probe = probe
        self._durations_s: dict[str, float | None] = {}
        self._paths: dict[str, str] = {}
        self._unplaced: set[str] = set()
        self._last_refused: tuple[str, int | None, float, float] | None = None
        self._reported_at = time.monotonic()
        self._lost: list[Rejection] = []
        self.rejections: list[Rejection] = []
        self.unknown_patients: set[str] = set()
        self.not_taken: dict[str, list[str]] = {kind: [] for kind in NOT_TAKEN_KINDS}

    def take(self, items: Iterable[Item]) -> None:
        for item in items:
            if isinstance(item, Recording):
                self._take_recording(item)
            elif isinstance(item, Event):
                self._take_event(item)
            elif isinstance(item, Rejection):
                rejection = self._reject(item.file, item.line, item.reason, item.lost)
                if item.event_of is None and is_a_recording(rejection, self._settings):
                    self._lost.append(rejection)
                if item.event_of is not None:
                    self._leave_open(item.event_of, item.file, item.line)
            else:
                if item.kind == PATIENT_UNKNOWN:
                    self.unknown_patients.add(item.subject)
                if item.kind in NOT_TAKEN_KINDS:
                    self._lost.append(Rejection(item.subject, None, item.text))
                    self.not_taken[item.kind].append(printable(item.subject))
                self._summary.add_notice(replace(item, subject=printable(item.subject)))

    def _take_recording(self, recording: Recording) -> None:
        if recording.recording_id in self._paths:
            # A reader refuses what it knows to be double; its events would else go to the first recording.
            raise AssertionError(f"the reader yields {recording.recording_id} twice: {recording.path}")
        folder = recording.path.rpartition("/")[0] or "."
        recording = replace(recording, attributes={FOLDER: folder, **recording.attributes})
        self._paths[recording.recording_id] = recording.path
        self._durations_s[recording.recording_id] = None
        if printable(recording.path) != recording.path:
            self._lose(recording, "name: the path is not UTF-8; rename the file")
            return
        try:
            facts = self._probe(self._root / recording.path)
        except DataError as error:
            self._lose(recording, str(error))
            return
        self._durations_s[recording.recording_id] = facts.duration_s
        self._recordings.add(recording, facts)
        self._summary.add_recording(recording, facts)
        channel, full_scale = self._settings.channel, self._settings.full_scale
        for notice in sound_findings(facts, recording.path, channel=channel, full_scale=full_scale):
            self._summary.add_notice(notice)
        self._report_progress()

    def _lose(self, recording: Recording, reason: str) -> None:
        """Reject the file of a recording, which is then not read."""
        self._lost.append(self._reject(recording.path, None, reason, recording))

    def lost(self) -> list[Rejection]:
        """Return the rejections that stand for a recording, but for those of which the recording is read all the same.

        A file without annotations is read, and so is one that a second row describes.
        """
        read = {path for name, path in self._paths.items() if self._durations_s[name] is not None}
        refused = set(self._paths.values()) - read
        kept: list[Rejection] = []
        for rejection in self._lost:
            path = rejection.file if rejection.lost is None else rejection.lost.path
            if path in read or (path in refused and rejection.lost is None):
                continue
            lost = rejection.lost
            if lost is not None and lost.recording_id in self.unknown_patients:
                lost = replace(lost, patient_id="")
            kept.append(replace(rejection, lost=lost))
        return kept

    def _leave_open(self, recording_id: str, file: str, line: int | None) -> None:
        """Mark all of a recording as unknown, once: an event in it could not be placed."""
        if recording_id not in self._unplaced:
            self._unplaced.add(recording_id)
            self._take_event(Event(recording_id, 0.0, math.inf, UNPLACED, "auscult", file, line))

    def _take_event(self, event: Event) -> None:
        event = replace(event, kind=fold_label(event.kind))
        duration_s = self._durations_s[event.recording_id]
        if duration_s is None:
            return  # the recording was rejected, with its reason; its events go with it
        if math.isinf(event.end_s):
            event = replace(event, end_s=duration_s)
        if event.kind == ANNOTATED and event.recording_id in self._unplaced:
            return  # somebody listened, and what was heard is not wholly known
        file = event.file or self._paths[event.recording_id]
        if event.end_s > duration_s + END_TOLERANCE_S or event.start_s >= duration_s:
            # One line of a file may give several events: it is refused once.
            refused = (file, event.line, event.start_s, event.end_s)
            if refused != self._last_refused:
                reason = f"beyond the end: {event.kind} from {event.start_s:g} to {event.end_s:g} s"
                self._reject(file, event.line, f"{reason}, the recording lasts {duration_s:.3f} s")
            self._last_refused = refused
            return
        if event.end_s > duration_s:
            where = file if event.line is None else f"{file}:{event.line}"
            text = f"{event.kind} ends at {event.end_s:g} s, cut at the recording's end, {duration_s:.3f} s"
            self._summary.add_notice(Notice("event_cut_at_end", where, text))
            event = replace(event, end_s=duration_s)
        self._events.add(event)
        self._summary.add_event(event)

    def _reject(self, file: str, line: int | None, reason: str, lost: Recording | None = None) -> Rejection:
        rejection = Rejection(printable(file), line, printable(reason), lost)
        self.rejections.append(rejection)
        self._summary.add_rejection(rejection)
        return rejection

    def _report_progress(self) -> None:
        now = time.monotonic()
        if now - self._reported_at >= PROGRESS_EVERY_S:
            self._reported_at = now
            logger.info("%d recordings read, %d faults", self._summary.n_recordings, len(self.rejections))


def _write_rejections(path: Path, rejections: list[Rejection]) -> None:
    ordered = sorted(rejections, key=lambda fault: (fault.file, fault.line or 0, fault.reason))
    rows = [(fault.file, fault.line, fault.reason) for fault in ordered]
    table = pd.DataFrame(rows, columns=pd.Index(REJECTED_COLUMNS)).astype({"line": "Int64"})
    write_csv(path, table)


def _say_empty(root: Path, dataset: str, settings: DatasetSettings, rejections: list[Rejection]) -> str:
    if isinstance(settings, ManifestDataset):
        files = f"files like {settings.files}" if settings.files else f"files with {', '.join(AUDIO_SUFFIXES)}"
        sought = f"the rows of {settings.manifest}" if settings.manifest else files
    else:
        what = "pictures" if settings.holds_pictures else "recordings"
        module = "plugins/" if isinstance(settings, PluginDataset) else f"auscult.datasets.readers.{settings.layout}"
        sought = f"{what} in the layout {settings.layout!r} (see {module})"
    lines = [f"{dataset}: no usable recording in {root}; looked for {sought}; {len(rejections)} rejected"]
    for fault in rejections[:SHOWN_REJECTIONS]:
        where = fault.file if fault.line is None else f"{fault.file}:{fault.line}"
        lines.append(f"  {where}: {fault.reason}")
    if not rejections:
        lines.append(
            f"  is the root right? `dvc pull` fetches tracked data; `--config roots='{{{dataset}: FOLDER}}'` moves it"
        )
    return "\n".join(lines)
