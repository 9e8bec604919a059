"""Any collection: a table (CSV, TSV, Parquet) with a column of paths, or files whose names say it all.

Origin: the collection's own.
Terms of use: the collection's own.

Layout: as the dataset's YAML says (`config.dataset.ManifestDataset`): which column, or named group of the pattern on
the stem or the path, holds the patient, site, device, age, sex, labels, attributes, and the start, end and kind of
events; which further tables are joined, and which annotation file lies beside each recording. Rows that share a path
share the recording. How a table is written (workbook, separator, encoding, header row) is found out.

The recording's id is its path without suffix. Labels keep their text as written; an empty cell, NA, N/A, NaN, null,
<NA> or ? (in any case) is unknown, here and in every other column. Without a patient column every recording is a
patient of its own, and a notice says so.

Known dirt: what is odd in an optional column (age, sex, site, device) is unknown, and counted. Rows that are not UTF-8,
with too few or too many cells, or with broken quotes, and paths that are absolute, lead out of the root by `..` or by a
link (see `follow_links`), or do not exist are refused with their line; an event whose times are none leaves its
recording unknown. Where several rows of one file differ, what they differ in is unknown (see `raters`). Audio files
that no row names are noticed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from auscult.config import DatasetSettings, ManifestDataset
from auscult.datasets.folder import is_audio, looks_like_audio, matches, say_unread, walk_files
from auscult.datasets.readers.collection import Collector
from auscult.datasets.readers.reading import Item
from auscult.storage.tables import Rejection


def read(root: Path, dataset: str, settings: DatasetSettings) -> Iterator[Item]:
    """Yield the recordings, events and rejections of a collection.

    Raises:
        DataError: A table is missing, unreadable as a whole, or lacks a column or value that the settings name.
    """
    if not isinstance(settings, ManifestDataset):
        raise TypeError(f"expected the settings of a manifest, found {type(settings).__name__}")
    collector = Collector(root, dataset, settings.columns, settings)
    if settings.manifest is None:
        for file in walk_files(root):
            if is_audio(file) if settings.files is None else matches(file, settings.files):
                yield from collector.place_file(file)
            elif looks_like_audio(file):
                yield Rejection(file, None, say_unread(file))
    else:
        yield from collector.read_table(settings.manifest, settings.table)
    yield from collector.finish(has_table=settings.manifest is not None)
