"""Any collection: a table (CSV, TSV, Parquet) with a column of paths, or files whose names say it all.

Origin: the collection's own.
Terms of use: the collection's own.

Layout: as the dataset's YAML says (`config.dataset.ManifestDataset`): which column, or named group of the pattern on
the stem, holds the patient, site, device, age, sex, labels, attributes, and the start, end and kind of events. Rows
that share a path share the recording; they must agree on it.

The recording's id is its path without suffix. Labels keep their text as written; an empty cell, NA, N/A, NaN, null,
<NA> or ? (in any case) is unknown, here and in every other column. Without a patient column every recording is a
patient of its own.

Known dirt, each refused with its line: rows that are not UTF-8, with too few or too many cells, or with broken
quotes; paths that are absolute, lead out of the root by `..` or by a link (see `follow_links`), or do not exist;
ages, times and sexes that are none; one path with two different descriptions; files that the pattern does not match.
Audio files that no row names are noticed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from auscult.config import DatasetSettings, ManifestDataset
from auscult.datasets.folder import is_audio, matches, walk_files
from auscult.datasets.readers.collection import Collector
from auscult.datasets.readers.reading import Fault, Item
from auscult.datasets.readers.tables import check_columns, read_rows, require_rows
from auscult.storage.tables import Rejection


def read(root: Path, dataset: str, settings: DatasetSettings) -> Iterator[Item]:
    """Yield the recordings, events and rejections of a collection.

    Raises:
        DataError: The manifest is missing, unreadable as a whole, or lacks a column that the settings name.
    """
    if not isinstance(settings, ManifestDataset):
        raise TypeError(f"expected the settings of a manifest, found {type(settings).__name__}")
    collector = Collector(root, dataset, settings.columns, settings)
    if settings.manifest is None:
        for file in walk_files(root):
            if is_audio(file) if settings.files is None else matches(file, settings.files):
                yield from collector.place(file, None, file, {})
        return
    columns, rows = read_rows(root / settings.manifest)
    check_columns(settings.manifest, columns, collector.names, collector.groups)
    path_column = settings.columns.path
    if path_column is None:
        raise TypeError("the settings of a manifest name no path column")
    for number, row in require_rows(settings.manifest, rows):
        if isinstance(row, Fault):
            yield Rejection(settings.manifest, row.line, row.reason)
        else:
            yield from collector.place(settings.manifest, number, row[path_column], row)
    yield from collector.find_unnamed()
