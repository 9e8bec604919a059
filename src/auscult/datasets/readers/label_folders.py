"""Any collection with a folder per label set: `crackle/a.wav`, `crackle+wheeze/b.wav`, `normal/c.wav`.

Origin: the collection's own.
Terms of use: the collection's own.

Layout: audio files, or with `holds: pictures` pictures (PNG, JPEG, TIFF, BMP, WebP), directly in the folders below the
root; several labels are joined by `+`. Named groups of a pattern on the stem give the patient, site and so on (without
a patient, every recording is a patient of its own).

Labels: `label` (or what `label` in the dataset's YAML says), the folder's name as written, without blanks around the
parts.

Known dirt: files beside or below the folders, folder names with an empty or repeated part, parts that `known_labels`
does not hold, files that are no audio (or no pictures): each is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from auscult.config import DatasetSettings, LabelFoldersDataset
from auscult.config.columns import LabelColumn
from auscult.datasets.folder import (
    is_document,
    is_source,
    looks_like_audio,
    say_other_suffix,
    say_unread,
    walk_files,
)
from auscult.datasets.readers.collection import Collector
from auscult.datasets.readers.reading import Item, MalformedError
from auscult.errors import nearest
from auscult.storage.tables import Rejection

_FOLDER_COLUMN = "/folder"  # no named group can be called so


def parse_label_set(name: str, known: Collection[str]) -> str:
    """Return a folder's labels, joined by `+` in the order written.

    Raises:
        MalformedError: A part is empty, stands twice, or is not in `known` (when that is not empty).

    >>> parse_label_set("crackle + wheeze", ())
    'crackle+wheeze'
    """
    parts = [part.strip() for part in name.split("+")]
    if "" in parts:
        raise MalformedError(f"folder: {name!r} has an empty part; expected labels joined by +")
    if len(set(parts)) < len(parts):
        raise MalformedError(f"folder: {name!r} says a label twice")
    for part in parts:
        if known and part not in known:
            close = nearest(part, known)
            hint = f", did you mean {close!r}?" if close else ";"
            raise MalformedError(f"unknown label: {part!r}{hint} known: {', '.join(known)}")
    return "+".join(parts)


def read(root: Path, dataset: str, settings: DatasetSettings) -> Iterator[Item]:
    """Yield the recordings, events and rejections of a collection."""
    if not isinstance(settings, LabelFoldersDataset):
        raise TypeError(f"expected the settings of label_folders, found {type(settings).__name__}")
    labels = {settings.label: LabelColumn(column=_FOLDER_COLUMN), **settings.columns.labels}
    columns = settings.columns.model_copy(update={"labels": labels})
    collector = Collector(root, dataset, columns, settings)
    for file in walk_files(root):
        if is_document(file) or collector.is_annotation(file):
            continue
        try:
            label_set = _label_set_of(file, settings)
        except MalformedError as error:
            yield Rejection(file, None, str(error))
            continue
        yield from collector.place_file(file, {_FOLDER_COLUMN: label_set})
    yield from collector.finish(has_table=False)


def _label_set_of(file: str, settings: LabelFoldersDataset) -> str:
    of_pictures = settings.holds_pictures
    if looks_like_audio(file) and not of_pictures:
        raise MalformedError(say_unread(file))
    if not is_source(file, of_pictures=of_pictures):
        raise MalformedError(say_other_suffix(file, of_pictures=of_pictures))
    folders = file.split("/")[:-1]
    if len(folders) != 1:
        raise MalformedError(f"folder: the file lies {len(folders)} folders below the root, expected <labels>/<file>")
    return parse_label_set(folders[0], settings.known_labels)
