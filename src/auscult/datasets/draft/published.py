"""Whether a folder is a published dataset, in a layout that has a reader of its own."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter

from auscult.config import DatasetSettings, NativeDataset
from auscult.datasets.readers import READERS
from auscult.errors import AuscultError
from auscult.storage.tables import Event, Recording, Rejection

LAYOUTS = ("sprsound", "icbhi", "hf_lung", "jordan", "bd", "perch", "antwerp")
"""From the one that asks most of a folder to the one that asks least; antwerp_sim cannot be told from antwerp."""
MIN_SHARE = 0.9
_SETTINGS: TypeAdapter[DatasetSettings] = TypeAdapter(DatasetSettings)


def find_layout(root: Path, n_audio: int) -> tuple[str, str] | None:
    """Return the published layout that takes nearly all recordings, with labels or events, and how many it takes.

    Args:
        root: The folder.
        n_audio: Recordings in it.
    """
    for layout in LAYOUTS:
        settings = _SETTINGS.validate_python({"description": "tried", "root": str(root), "layout": layout})
        n_recordings = n_said = n_rejected = 0
        if not isinstance(settings, NativeDataset):
            raise TypeError(f"{layout} is no published layout")
        try:
            for item in READERS[layout](root, "tried", settings):
                if isinstance(item, Recording):
                    n_recordings += 1
                    n_said += any(value is not None for value in item.labels.values())
                elif isinstance(item, Event):
                    n_said += 1
                n_rejected += isinstance(item, Rejection)
                if n_rejected > max(20, 0.2 * n_audio):
                    break
        except AuscultError:
            continue
        if n_recordings >= MIN_SHARE * n_audio and n_said >= n_recordings / 2 and n_rejected <= 0.1 * n_audio:
            return layout, f"{n_recordings} of {n_audio} recordings are laid out so"
    return None
