"""The outbox of a run folder: `events.jsonl`, a line an event, and how far each bus has got them.

An event is on the disk before it is sent. A line torn by a full disk or a kill is passed over.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from auscult.config.run_events import RUN_EVENT, TYPE_PREFIX
from auscult.storage.files import parse_json, read_json, write_json

OUTBOX_FILE = "events.jsonl"
SENT_FILE = "events.sent.json"
ENDINGS = ("stopped", "finished", "failed")
_REPEATABLE = ("epoch", "saved")
"""Told again by the next session, from its checkpoint: with equal content it is the same event."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Line:
    """An event as it is sent.

    Attributes:
        text: The JSON document, without a line end.
        values: What it says.
        end: Its place in the file: the bytes up to here and its line end.
    """

    text: bytes
    values: dict[str, Any]
    end: int

    @property
    def kind(self) -> str:
        """Such as `epoch`."""
        return str(self.values["type"]).removeprefix(TYPE_PREFIX)


class Outbox:
    """Adds the events of one training, or of one result.

    Args:
        folder: The run folder, or of a result that of its experiment.
        name: Group, experiment and, of a training, the run's id.
    """

    def __init__(self, folder: Path, name: Sequence[str]) -> None:
        self.path = folder / OUTBOX_FILE
        self._name = dict(zip(("group", "experiment", "job"), name, strict=False))
        lines = read_lines(self.path)
        self._ids = {line.values["id"] for line in lines}
        of_trainings = [line for line in lines if "training" in line.values["data"]]
        self._training = of_trainings[-1].values["data"]["training"] if of_trainings else None
        self._has_saved = any(
            line.kind == "saved" and line.values["data"]["training"] == self._training for line in of_trainings
        )
        self.last = lines[-1] if lines else None
        self._waiting = b""

    def append(self, kind: str, known: Mapping[str, Any]) -> None:
        """Add an event; one that stands there already is not added again.

        It is on the disk when this returns, but for those that the next session would tell again: a training does not
        wait for the disk in each epoch.

        A disk that takes nothing stops no training: the event is kept for the next call.

        Args:
            kind: One of `KINDS`.
            known: Its data, but for the names.

        Raises:
            pydantic.ValidationError: Data that the schema does not know.
        """
        data = {**self._name, **known}
        if "job" in self._name:
            data["training"] = self._choose_training(kind, data)
        content = [kind, data.get("training"), {key: data[key] for key in data if key != "attempt"}]
        event = RUN_EVENT.validate_python(
            {
                "id": _digest(content) if kind in _REPEATABLE else uuid.uuid4().hex,
                "type": TYPE_PREFIX + kind,
                "subject": "/".join(self._name.values()),
                "time": datetime.now(UTC),
                "data": data,
            }
        )
        if event.id in self._ids:
            return
        self._ids.add(event.id)
        self._has_saved |= kind == "saved"
        self._waiting += event.model_dump_json().encode() + b"\n"
        try:
            append_bytes(self.path, self._waiting, sync=kind not in _REPEATABLE)
        except OSError as error:
            logger.warning("%s: an event is not written for now: %s", self.path, error)
        else:
            self._waiting = b""

    def _choose_training(self, kind: str, data: Mapping[str, Any]) -> str:
        """Return which training this is: one that starts over has an id of its own, if the last one had saved."""
        if self._training is None or (kind == "started" and not data["resumed"] and self._has_saved):
            self._training, self._has_saved = uuid.uuid4().hex, False
        return self._training


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def append_bytes(path: Path, lines: bytes, *, sync: bool = True) -> None:
    """Append whole lines in one write; behind a torn line they begin on a new one.

    Args:
        path: The file; its folder is made when absent.
        lines: With their line ends.
        sync: All that the file holds is on the disk when this returns.

    Raises:
        OSError: Nothing, or not all, was written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b", buffering=0) as stream:
        if size := stream.seek(0, os.SEEK_END):
            stream.seek(size - 1)
            lines = lines if stream.read(1) == b"\n" else b"\n" + lines
        if stream.write(lines) != len(lines):
            raise OSError(f"{path}: not all was written; is the disk full?")
        if sync:
            os.fsync(stream.fileno())


def read_lines(path: Path, start: int = 0) -> list[Line]:
    """Read the events behind a place in an outbox; the last line counts once its line end is there.

    Args:
        path: The outbox; none yet is an empty one.
        start: Bytes; beyond the end of the file (it was replaced) all is read.
    """
    try:
        with path.open("rb") as stream:
            start = start if start <= stream.seek(0, os.SEEK_END) else 0
            stream.seek(start)
            content = stream.read()
    except FileNotFoundError:
        return []
    lines: list[Line] = []
    end = start
    for text in content.split(b"\n")[:-1]:
        end += len(text) + 1
        values = parse_event(text)
        if values is not None:
            lines.append(Line(text, values, end))
        elif text:
            logger.warning("%s: the line that ends at byte %d is no event and is passed over", path, end)
    return lines


def parse_event(text: bytes) -> dict[str, Any] | None:
    """Return what an event says; None: it is none of ours."""
    try:
        RUN_EVENT.validate_json(text)
        return parse_json(text)
    except ValueError:
        return None


def read_sent(folder: Path) -> dict[str, int]:
    """Return bus -> bytes of the outbox that it has; nothing where that cannot be read: all is then sent again."""
    with suppress(OSError, ValueError):
        values = read_json(folder / SENT_FILE)
        if isinstance(values, dict) and all(isinstance(end, int) for end in values.values()):
            return values
    return {}


def write_sent(folder: Path, bus: str, end: int) -> None:
    """Keep how far a bus has the outbox."""
    write_json(folder / SENT_FILE, {**read_sent(folder), bus: end})
