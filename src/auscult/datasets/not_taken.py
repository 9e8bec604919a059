"""Sound files below a dataset's root that no table or layout takes: they are named, never passed over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from auscult.config import DatasetSettings, FilesCsvDataset, ManifestDataset
from auscult.datasets.folder import is_source, walk_files
from auscult.datasets.readers import reader_of
from auscult.datasets.readers.collection import FILE_WITHOUT_ROW
from auscult.datasets.readers.reading import Item
from auscult.formatting.numbers import plural
from auscult.storage.tables import Notice, Recording, Rejection

NOT_TAKEN = "not_taken"
NOT_TAKEN_KINDS = {FILE_WITHOUT_ROW: "not in its table", NOT_TAKEN: "not part of its layout"}
"""Kinds of notices, each about one sound file that is not read -> why that is."""
SHOWN = 5


def read_items(root: Path, dataset: str, settings: DatasetSettings) -> Iterator[Item]:
    """Yield what the reader of a dataset yields, and a notice for each sound file below the root that it passes over.

    Where a table says what the recordings are, the reader itself names the files that no row names.

    Args:
        root: The dataset's folder.
        dataset: Its name.
        settings: Its layout.

    Raises:
        DataError: A table is missing, unreadable as a whole, or lacks what the settings name.
    """
    met: set[int] = set()
    for item in reader_of(settings)(root, dataset, settings):
        if isinstance(item, Recording):
            met.add(hash(item.path))
        elif isinstance(item, Rejection):
            met |= {hash(item.file), hash(item.file if item.lost is None else item.lost.path)}
        elif isinstance(item, Notice):
            met.add(hash(item.subject.removesuffix("/")))  # it may be about all that a folder holds
        yield item
    if isinstance(settings, FilesCsvDataset) or (isinstance(settings, ManifestDataset) and settings.manifest):
        return
    for file in walk_files(root):
        if is_source(file, of_pictures=settings.holds_pictures) and not any(
            hash(place) in met for place in _places(file)
        ):
            what = "picture" if settings.holds_pictures else "sound file"
            yield Notice(NOT_TAKEN, file, f"not taken: the layout has no place for this {what}; it is not read")


def _places(file: str) -> Iterator[str]:
    """Yield a file and the folders that it lies in.

    >>> list(_places("a/b/c.wav"))
    ['a/b/c.wav', 'a/b', 'a']
    """
    while file:
        yield file
        file = file.rpartition("/")[0]


def say_not_taken(dataset: str, kind: str, files: Sequence[str], what: str = "sound file") -> str:
    """Return in one line how many sound files (or `what`) are not taken, and the first of them.

    >>> say_not_taken("clinic", "file_without_row", ["a.wav", "b.wav"])
    'clinic: 2 sound files are not in its table and not read: a.wav, b.wav'
    """
    shown = ", ".join(files[:SHOWN]) + (", ..." if len(files) > SHOWN else "")
    verb = "is" if len(files) == 1 else "are"
    return f"{dataset}: {plural(len(files), what)} {verb} {NOT_TAKEN_KINDS[kind]} and not read: {shown}"
