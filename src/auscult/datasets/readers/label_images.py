"""Any collection of pictures with label images: `images/a.jpg` and `labels/a.png`.

Origin: the collection's own.
Terms of use: the collection's own.

Layout: pictures (PNG, JPEG, TIFF, BMP, WebP) in and below the folder `images`, and in and below `labels` a label image
(PNG or TIFF) of the same name for each; with a `suffix` they may also lie in one folder (`a.jpg`, `a_label.png`). Named
groups of a pattern on the picture's stem give the patient, site and so on (without a patient, every picture is a
patient of its own).

A label image is grey (or has a palette, whose numbers count): 0 is background, 1 what was too hard to annotate, and
each object has a value of its own from 2 on. It is as large as its picture.

Labels: `objects`, `present` where there is an object, `absent` where there is none, unknown where there is none and
something was too hard to annotate. Attributes: `label_image` (its path), `label_sha256`, `size_px` (width x height).

Known dirt: pictures without a label image, label images without a picture, two of one name, label images of another
size than their picture or in colours, files elsewhere: each is refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from auscult.config import DatasetSettings
from auscult.config.columns import LabelColumn, TextColumn
from auscult.config.dataset import OBJECTS_LABEL, LabelImagesDataset
from auscult.datasets.folder import PICTURE_SUFFIXES, is_document, is_picture, split_name, walk_files
from auscult.datasets.readers.collection import Collector
from auscult.datasets.readers.reading import Item, MalformedError
from auscult.errors import DataError
from auscult.images.decode import FIRST_OBJECT, TOO_HARD, read_labels
from auscult.images.make_pictures import LABEL_IMAGE, size_text
from auscult.storage.files import sha256_file
from auscult.storage.tables import Recording, Rejection

LABEL_SUFFIXES = (".png", ".tif", ".tiff")
LABEL_SHA256, SIZE_PX = "label_sha256", "size_px"
_ATTRIBUTES = (LABEL_IMAGE, LABEL_SHA256, SIZE_PX)


def read(root: Path, dataset: str, settings: DatasetSettings) -> Iterator[Item]:
    """Yield the pictures and rejections of a collection."""
    if not isinstance(settings, LabelImagesDataset):
        raise TypeError(f"expected the settings of label_images, found {type(settings).__name__}")
    # No named group can be called so.
    columns = settings.columns.model_copy(
        update={
            "labels": {OBJECTS_LABEL: LabelColumn(column=f"/{OBJECTS_LABEL}"), **settings.columns.labels},
            "attributes": {
                **{name: TextColumn(column=f"/{name}") for name in _ATTRIBUTES},
                **settings.columns.attributes,
            },
        }
    )
    collector = Collector(root, dataset, columns, settings)
    pictures, labels, elsewhere = _sort(root, settings)
    joined = {join.table for join in settings.join}
    for file in elsewhere:
        if file not in joined:
            yield Rejection(file, None, _say_elsewhere(file, settings))
    for key in sorted(labels.keys() - pictures.keys()):
        for file in labels[key]:
            yield Rejection(
                file, None, f"missing picture: there is none for this label image; expected {key}.png or so"
            )
    for key, files in sorted(pictures.items()):
        for file in files:
            lost = Recording(f"{dataset}/{split_path(file)}", "", file)
            try:
                found = _describe(root, file, labels.get(key, []), settings)
            except MalformedError as error:
                yield Rejection(file, None, str(error), lost=lost)
                continue
            for item in collector.place_file(file, found):
                yield item if not isinstance(item, Rejection) else Rejection(item.file, None, item.reason, lost=lost)
    yield from collector.finish(has_table=False)


def split_path(file: str) -> str:
    """Return a path without its suffix.

    >>> split_path("images/a.b.png")
    'images/a.b'
    """
    return file[: len(file) - len(split_name(file)[1])]


def _sort(root: Path, settings: LabelImagesDataset) -> tuple[dict[str, list[str]], dict[str, list[str]], list[str]]:
    """Return pictures and label images by what both are called, the picture's path without suffix; and other files."""
    pictures: defaultdict[str, list[str]] = defaultdict(list)
    labels: defaultdict[str, list[str]] = defaultdict(list)
    elsewhere: list[str] = []
    images, of_labels = (_prefix(folder) for folder in (settings.images, settings.labels))
    for file in walk_files(root):
        if is_document(file):
            continue
        stem, suffix = split_path(file), split_name(file)[1]
        is_inside, is_below_labels = file.startswith(images), file.startswith(of_labels)
        # One folder may hold the other: a file belongs to the inner one.
        if is_below_labels and not (is_inside and len(images) > len(of_labels)) and _is_label(stem, suffix, settings):
            labels[images + stem[len(of_labels) : len(stem) - len(settings.suffix)]].append(file)
        elif is_inside and is_picture(file) and not (is_below_labels and len(images) < len(of_labels)):
            pictures[stem].append(file)
        else:
            elsewhere.append(file)
    return pictures, labels, elsewhere


def _is_label(stem: str, suffix: str, settings: LabelImagesDataset) -> bool:
    return suffix in LABEL_SUFFIXES and stem.endswith(settings.suffix)


def _prefix(folder: str) -> str:
    name = folder.strip("/")
    return f"{name}/" if name else ""


def _say_elsewhere(file: str, settings: LabelImagesDataset) -> str:
    images, labels = (f"{folder.strip('/') or 'the root'}" for folder in (settings.images, settings.labels))
    return (
        f"not part of the layout: {split_name(file)[1] or 'no'} suffix; expected pictures "
        f"({', '.join(PICTURE_SUFFIXES)}) in {images}, and label images ({', '.join(LABEL_SUFFIXES)}) named like them"
        f"{f' and {settings.suffix}' if settings.suffix else ''} in {labels}"
    )


def _describe(root: Path, file: str, labels: list[str], settings: LabelImagesDataset) -> dict[str, str]:
    """Return what the label image of a picture says, by column.

    Raises:
        MalformedError: There is none, or several, or it does not fit.
    """
    if not labels:
        name = split_name(file)[0] + settings.suffix
        raise MalformedError(
            f"missing label: no label image {name}.png or {name}.tif in {settings.labels or 'the root'}"
        )
    if len(labels) > 1:
        raise MalformedError(f"ambiguous: {len(labels)} label images for one picture: {', '.join(labels)}; keep one")
    try:
        values = read_labels(root / labels[0])
        with Image.open(root / file) as picture:
            # As it lies in the file, whatever way its camera was held.
            width, height = picture.size
            is_turned = picture.getexif().get(_ORIENTATION, 1) in _ON_ITS_SIDE
    except DataError as error:
        raise MalformedError(f"{labels[0]}: {error}") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise MalformedError(f"unreadable: Pillow cannot decode it ({error})") from error
    shape = (width, height) if is_turned else (height, width)
    if values.shape != shape:
        raise MalformedError(
            f"size: its label image {labels[0]} is {size_text(values.shape)}, the picture {size_text(shape)}; a label "
            "image has a value for each pixel of its picture"
        )
    has_objects, is_hard = bool((values >= FIRST_OBJECT).any()), bool((values == TOO_HARD).any())
    return {
        f"/{OBJECTS_LABEL}": "present" if has_objects else "" if is_hard else "absent",
        f"/{LABEL_IMAGE}": labels[0],
        f"/{LABEL_SHA256}": sha256_file(root / labels[0]),
        f"/{SIZE_PX}": f"{shape[1]}x{shape[0]}",
    }


_ORIENTATION = 0x0112
_ON_ITS_SIDE = (5, 6, 7, 8)
