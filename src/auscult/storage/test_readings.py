"""How many models a test set has judged: each look at it makes the next result a little more optimistic."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from auscult.storage.files import parse_json

READINGS = Path("work/test_readings")


def key_of_test_set(recording_ids: Iterable[str]) -> str:
    """Return a name of a test set: a digest of its recordings, whatever else the split holds."""
    return hashlib.sha256("\n".join(sorted(set(recording_ids))).encode()).hexdigest()[:16]


def note_reading(folder: Path, key: str, model: str, result: str, now: datetime | None = None) -> None:
    """Write down that a model was judged on a test set; a model that was judged before is not counted twice.

    Args:
        folder: Where test sets have their files (`READINGS`).
        key: From `test_set_key`.
        model: Digest of its weights.
        result: Where its result lies, such as `work/runs/pneumonia/train2356/1`.
        now: When it was judged; by default now.
    """
    if model in {reading["model"] for reading in read_readings(folder, key)}:
        return
    folder.mkdir(parents=True, exist_ok=True)
    # One short line, appended at once: jobs that end side by side do not mix theirs.
    with (folder / f"{key}.jsonl").open("a", encoding="utf-8") as stream:
        time = (now or datetime.now(UTC)).isoformat(timespec="seconds")
        stream.write(json.dumps({"model": model, "result": result, "time_utc": time}) + "\n")


def read_readings(folder: Path, key: str) -> list[dict[str, str]]:
    """Return the models that a test set has judged: `model`, `result` and, of newer ones, `time_utc` of each.

    A line cut short is left out.
    """
    path = folder / f"{key}.jsonl"
    if not path.is_file():
        return []
    found: list[dict[str, str]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(parse_json(line))
        except ValueError:
            continue  # its writer was killed: that result was not published either
    return found


def experiment_of(result: str) -> str:
    """Return the experiment whose result it is, such as `pneumonia/train2356`; empty for one of `auscult evaluate`.

    >>> experiment_of("work/runs/pneumonia/train2356/2/fold1"), experiment_of("evaluations/x/.evaluate-1/run")
    ('pneumonia/train2356', '')
    """
    parts = result.split("/")
    return "/".join(parts[2:4]) if parts[:2] == ["work", "runs"] and len(parts) > 4 else ""


def readings_by(folder: Path, experiment: str) -> list[dict[str, str]]:
    """Return the models of an experiment that any test set has judged, in no order.

    Args:
        folder: Where test sets have their files (`READINGS`).
        experiment: Such as `pneumonia/train2356`.
    """
    keys = [path.stem for path in sorted(folder.glob("*.jsonl"))]
    return [
        {**reading, "test_set": key}
        for key in keys
        for reading in read_readings(folder, key)
        if experiment_of(reading["result"]) == experiment
    ]
