"""How many models a test set has judged: each look at it makes the next result a little more optimistic."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

READINGS = Path("work/test_readings")


def key_of_test_set(recording_ids: Iterable[str]) -> str:
    """Return a name of a test set: a digest of its recordings, whatever else the split holds."""
    return hashlib.sha256("\n".join(sorted(set(recording_ids))).encode()).hexdigest()[:16]


def note_reading(folder: Path, key: str, model: str, result: str) -> None:
    """Write down that a model was judged on a test set; a model that was judged before is not counted twice.

    Args:
        folder: Where test sets have their files (`READINGS`).
        key: From `test_set_key`.
        model: Digest of its weights.
        result: Where its result lies, such as `work/runs/pneumonia/train2356/1`.
    """
    if model in {reading["model"] for reading in read_readings(folder, key)}:
        return
    folder.mkdir(parents=True, exist_ok=True)
    # One short line, appended at once: jobs that end side by side do not mix theirs.
    with (folder / f"{key}.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"model": model, "result": result}) + "\n")


def read_readings(folder: Path, key: str) -> list[dict[str, str]]:
    """Return the models that a test set has judged, `model` and `result` of each; a line cut short is left out."""
    path = folder / f"{key}.jsonl"
    if not path.is_file():
        return []
    found: list[dict[str, str]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue  # its writer was killed: that result was not published either
    return found
