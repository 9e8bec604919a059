"""Any collection with an `info.csv` of the columns `files` (a path each) and `type` (its label).

Origin: the collection's own.
Terms of use: the collection's own.

Layout: `info.csv` at the root (or what `info` in the dataset's YAML names), paths relative to `folder`. Further
columns, and named groups of a pattern on the stem, give the patient, site and so on as in the layout `manifest`.

Labels: `type`, as written; an empty cell (or NA, as in `manifest`) is unknown.

Known dirt: as for `manifest`, each fault refused with its line.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from auscult.config import DatasetSettings, FilesCsvDataset
from auscult.config.dataset import REMOTE
from auscult.datasets.readers.collection import Collector
from auscult.datasets.readers.reading import Fault, Item
from auscult.datasets.readers.tables import check_columns, read_rows, require_rows
from auscult.storage.tables import Rejection

PATH_COLUMN = "files"
LABEL_COLUMN = "type"


def read(root: Path, dataset: str, settings: DatasetSettings) -> Iterator[Item]:
    """Yield the recordings, events and rejections of a collection.

    Raises:
        DataError: The table is missing, unreadable as a whole, or lacks a column.
    """
    if not isinstance(settings, FilesCsvDataset):
        raise TypeError(f"expected the settings of files_csv, found {type(settings).__name__}")
    labels = {LABEL_COLUMN: LABEL_COLUMN, **settings.columns.labels}
    columns = settings.columns.model_copy(update={"path": PATH_COLUMN, "labels": labels})
    collector = Collector(root, dataset, columns, settings)
    found, rows = read_rows(root / settings.info)
    check_columns(settings.info, found, collector.names, collector.groups)
    for number, row in require_rows(settings.info, rows):
        if isinstance(row, Fault):
            yield Rejection(settings.info, row.line, row.reason)
            continue
        path = row[PATH_COLUMN]
        is_absolute = path.startswith(("/", REMOTE))
        below = path if not (path and settings.folder) or is_absolute else f"{settings.folder}/{path}"
        yield from collector.place(settings.info, number, below, row)
    yield from collector.find_unnamed()
