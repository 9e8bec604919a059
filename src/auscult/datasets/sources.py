"""Where the facts about a dataset come from: the workflow's tables, or its root, read into a temporary folder."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from auscult.audio.probe import AudioFacts
from auscult.config import DatasetSettings, paths
from auscult.datasets.fetch_raw import fetched_root
from auscult.datasets.ingest import ingest
from auscult.errors import DataError
from auscult.storage.files import read_json
from auscult.storage.flow import FLOW_FILE
from auscult.storage.spreadsheets import from_csv
from auscult.storage.tables import read_events, read_recordings

TABLE_FILES = ("recordings.parquet", "events.parquet", "rejected.csv", FLOW_FILE, "summary.json")


@dataclass(frozen=True)
class DatasetTables:
    """What an ingest wrote.

    Attributes:
        recordings: Rows of `tables.RECORDINGS`.
        events: Rows of `tables.EVENTS`.
        rejected: Columns `file`, `line` (Int64, null for the whole file) and `reason`.
        summary: `summary.json`.
        folder: Where the tables lie; None when the root was read for the occasion.
    """

    recordings: pd.DataFrame
    events: pd.DataFrame
    rejected: pd.DataFrame
    summary: dict[str, Any]
    folder: Path | None


def root_folder(dataset: str, settings: DatasetSettings) -> Path:
    """Return the folder to read: the root itself, or the cache of a root in a bucket.

    Raises:
        DataError: The bucket's files are not here.
    """
    folder = Path(paths.local_root(dataset, settings.root))
    if not paths.is_remote(settings.root):
        return folder
    cached = fetched_root(folder)
    if cached != settings.root or not Path(paths.raw_listing_path(dataset)).is_file():
        state = "not fetched yet" if cached in (None, settings.root) else f"not here: {folder} holds {cached}"
        raise DataError(f"{dataset}: {settings.root} is {state}; `auscult data fetch {dataset}` brings it")
    return folder


def root_text(settings: DatasetSettings, folder: Path) -> str:
    """Return the root for people, and whether it is there."""
    kept = f", kept in {folder}" if paths.is_remote(settings.root) else ""
    return f"{settings.root}{kept}" if folder.is_dir() else f"{settings.root} (absent)"


def has_tables(folder: Path) -> bool:
    """Tell whether `folder` holds the five files of an ingest."""
    return all((folder / name).is_file() for name in TABLE_FILES)


def read_tables(folder: Path) -> DatasetTables:
    """Read the tables of an ingest.

    Raises:
        DataError: A file is missing, or not what an ingest writes.
    """
    remedy = f"delete {folder} and run the ingest of this dataset again"
    missing = [name for name in TABLE_FILES if not (folder / name).is_file()]
    if missing:
        raise DataError(f"{folder}: {', '.join(missing)} missing; {remedy}")
    try:
        types: dict[Hashable, Any] = {"file": "str", "line": "Int64", "reason": "str"}
        rejected = from_csv(pd.read_csv(folder / "rejected.csv", dtype=types))
        summary = read_json(folder / "summary.json")
    except ValueError as error:
        raise DataError(f"{folder}: not the tables of an ingest ({error}); {remedy}") from None
    try:
        recordings, events = read_recordings(folder / "recordings.parquet"), read_events(folder / "events.parquet")
    except DataError as error:
        raise DataError(f"{error}\n  another version wrote these tables, or they are damaged; {remedy}") from error
    return DatasetTables(
        recordings=recordings,
        events=events,
        rejected=rejected,
        summary=summary,
        folder=folder,
    )


def read_root(
    root: Path, dataset: str, settings: DatasetSettings, *, probe: Callable[[Path], AudioFacts] | None = None
) -> DatasetTables:
    """Read a root as the workflow's ingest does, into a temporary folder that is gone afterwards.

    Args:
        root: The dataset's folder.
        dataset: Its name.
        settings: Its layout.
        probe: Decodes a file and returns its facts, or raises DataError; `audio.probe.probe` where it is None.

    Raises:
        DataError: The root is missing or unreadable, or holds no usable recording.
    """
    with tempfile.TemporaryDirectory(prefix="auscult-") as folder:
        try:
            ingest(root, dataset, settings, Path(folder), probe=probe)
        except DataError as error:
            hint = "" if root.is_dir() else "\n  to look at it here: `--root FOLDER`"
            raise DataError(f"{error}{hint}") from error
        found = read_tables(Path(folder))
    return DatasetTables(found.recordings, found.events, found.rejected, found.summary, folder=None)
