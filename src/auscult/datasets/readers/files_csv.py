"""Any collection with an `info.csv` of the columns `files` (a path each) and `type` (its label).

Origin: the collection's own.
Terms of use: the collection's own.

Layout: `info.csv` at the root (or what `info` in the dataset's YAML names), paths relative to `folder`, of audio files
or, with `holds: pictures`, of pictures (PNG, JPEG, TIFF, BMP, WebP). Further columns, and named groups of a pattern on
the stem, give the patient, site and so on as in the layout `manifest`.

Labels: `type`, as written; an empty cell (or NA, as in `manifest`) is unknown.

Known dirt: as for `manifest`, each fault refused with its line.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from auscult.config import DatasetSettings, FilesCsvDataset
from auscult.config.columns import LabelColumn, PathColumn
from auscult.datasets.readers.collection import Collector
from auscult.datasets.readers.reading import Item

PATH_COLUMN = "files"
LABEL_COLUMN = "type"


def read(root: Path, dataset: str, settings: DatasetSettings) -> Iterator[Item]:
    """Yield the recordings, events and rejections of a collection.

    Raises:
        DataError: The table is missing, unreadable as a whole, or lacks a column.
    """
    if not isinstance(settings, FilesCsvDataset):
        raise TypeError(f"expected the settings of files_csv, found {type(settings).__name__}")
    labels = {LABEL_COLUMN: LabelColumn(column=LABEL_COLUMN), **settings.columns.labels}
    path = PathColumn(column=PATH_COLUMN)
    collector = Collector(root, dataset, settings.columns.model_copy(update={"path": path, "labels": labels}), settings)
    yield from collector.read_table(settings.info, settings.table, settings.folder)
    yield from collector.finish(has_table=True)
