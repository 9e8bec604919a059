"""Whether a folder is a dataset in a layout that has a reader of its own."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter

from auscult.config import DatasetSettings
from auscult.datasets.readers import READERS
from auscult.errors import AuscultError
from auscult.storage.tables import Event, Recording, Rejection

LAYOUTS = ("uid_json", "sprsound", "icbhi", "hf_lung", "jordan", "bd", "perch", "antwerp")
"""From the one that asks most of a folder to the one that asks least; antwerp_sim cannot be told from antwerp."""
MIN_SHARE = 0.9
MAX_REJECTED = 0.1
_SETTINGS: TypeAdapter[DatasetSettings] = TypeAdapter(DatasetSettings)


def find_layout(root: Path, n_audio: int) -> tuple[str, str] | None:
    """Return the layout that takes nearly all recordings, with labels or events, and rejects least; and what it takes.

    Args:
        root: The folder.
        n_audio: Recordings in it.
    """
    best: tuple[int, str, str] | None = None
    for layout in LAYOUTS:
        try:
            n_recordings, n_said, n_rejected = _try(root, layout, n_audio)
        except AuscultError:
            continue
        is_it = (
            n_recordings >= MIN_SHARE * n_audio and n_said >= n_recordings / 2 and n_rejected <= MAX_REJECTED * n_audio
        )
        if is_it and (best is None or n_rejected < best[0]):
            best = (n_rejected, layout, f"{n_recordings} of {n_audio} recordings are laid out so")
            if n_rejected == 0:
                break
    return None if best is None else best[1:]


def _try(root: Path, layout: str, n_audio: int) -> tuple[int, int, int]:
    """Return the recordings, labels or events, and rejections that a reader finds; it is left early."""
    settings = _SETTINGS.validate_python({"description": "tried", "root": str(root), "layout": layout})
    n_recordings = n_said = n_rejected = 0
    for item in READERS[layout](root, "tried", settings):
        if isinstance(item, Recording):
            n_recordings += 1
            n_said += any(value is not None for value in item.labels.values())
        n_said += isinstance(item, Event)
        n_rejected += isinstance(item, Rejection)
        if n_rejected > max(20, 0.2 * n_audio):
            break
    return n_recordings, n_said, n_rejected
