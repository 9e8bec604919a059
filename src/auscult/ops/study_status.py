"""`status.json` of a study: what it is doing, for `auscult watch`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auscult.config.documents import read_bounded_json
from auscult.errors import ConfigError
from auscult.storage.files import write_json
from auscult.training.lock import is_owner_alive

STUDIES = Path("work/tune")
STATE_FOLDER = "state"
STATUS_FILE = "status.json"
FINISHED = "finished"
_MOST_BYTES = 64_000


@dataclass(frozen=True)
class StudyStatus:
    """What a study is doing.

    Attributes:
        name: `<folder>/<experiment>`.
        values: The content of its status file.
        is_dead: It is not finished, and no coordinator runs it.
    """

    name: str
    values: dict[str, Any]
    is_dead: bool


def write_status(folder: Path, values: dict[str, Any]) -> None:
    """Write what a study is doing."""
    write_json(folder / STATUS_FILE, {**values, "updated_s": time.time()})


def find_studies(root: Path = STUDIES, *, everything: bool = False) -> list[StudyStatus]:
    """Return the studies that are not finished, with `everything` all; sorted by name."""
    found: list[StudyStatus] = []
    for path in sorted(root.glob(f"*/*/{STATUS_FILE}")):
        try:
            values: dict[str, Any] = read_bounded_json(path, _MOST_BYTES)
        except ConfigError:
            continue  # being removed, or damaged: the study itself does not read it
        is_finished = values.get("status") == FINISHED
        if everything or not is_finished:
            is_dead = not is_finished and not is_owner_alive(path.parent / STATE_FOLDER)
            found.append(StudyStatus(path.parent.relative_to(root).as_posix(), values, is_dead))
    return found
