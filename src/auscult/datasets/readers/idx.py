"""Pictures and labels in idx files, plain or gzip, as MNIST and FashionMNIST are published.

Origin: the collection's own (MNIST: LeCun et al. 1998; FashionMNIST: Xiao et al. 2017).
Terms of use: the collection's own.

Layout: pairs of files at the root or below, of pictures and of their labels: `train-images-idx3-ubyte.gz` and
`train-labels-idx1-ubyte.gz`, `t10k-images-idx3-ubyte.gz` and `t10k-labels-idx1-ubyte.gz`; also without `.gz`, and with
a dot for the hyphen before `idx`. What stands before `images` names the pair. Each row of a file of pictures is a
picture, `<dataset>/train/00017`, and a patient of its own; no file is written for it. Its path is
`train-images-idx3-ubyte.gz#17`.

Labels: `label` (or what `label` in the dataset's YAML says), a name of `classes`, or the digits as text. Attributes:
`official_split`, `train` for a pair whose name ends in train, `test` for t10k and test, else unknown.

Known dirt: files that are cut, go on behind their end, or hold other values than bytes, a wrong magic number, pictures
without labels, another number of labels than of pictures, labels that `classes` does not name: the reading stops.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from auscult.config import DatasetSettings
from auscult.config.dataset import IdxDataset
from auscult.datasets.folder import is_document, walk_files
from auscult.datasets.readers.reading import Item, patient_unknown
from auscult.errors import DataError
from auscult.images.idx import check_idx, read_labels, row_path
from auscult.storage.tables import Recording, Rejection

_NAME = re.compile(r"(?P<pair>(?:.*/)?[^/]*?)[-_.]?(?P<kind>images|labels)[-_.]idx[0-9]-ubyte(?:\.gz)?", re.IGNORECASE)
_SUBSETS = {"train": "train", "t10k": "test", "test": "test"}
_KINDS = ("images", "labels")
_EXPECTED = "train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and so on"


def read(root: Path, dataset: str, settings: DatasetSettings) -> Iterator[Item]:
    """Yield the pictures of a collection.

    Raises:
        DataError: A file is damaged, or pictures and labels do not belong together.
    """
    if not isinstance(settings, IdxDataset):
        raise TypeError(f"expected the settings of idx, found {type(settings).__name__}")
    pairs: defaultdict[str, dict[str, list[str]]] = defaultdict(lambda: {kind: [] for kind in _KINDS})
    for file in walk_files(root):
        match = _NAME.fullmatch(file)
        if match is not None:
            pairs[match["pair"].strip("/")][match["kind"].lower()].append(file)
        elif not is_document(file):
            yield Rejection(file, None, f"not part of the layout: expected {_EXPECTED}")
    for pair, files in sorted(pairs.items()):
        for kind in _KINDS:
            if len(files[kind]) != 1:
                raise DataError(
                    f"{root}: {len(files[kind])} files of {kind} for {pair or 'the pair without a name'!r} "
                    f"({', '.join(files['images'] + files['labels'])}); expected one of each: {_EXPECTED}"
                )
        yield from _read_pair(root, dataset, pair, (files["images"][0], files["labels"][0]), settings)


def _read_pair(root: Path, dataset: str, pair: str, files: tuple[str, str], settings: IdxDataset) -> Iterator[Item]:
    images, labels = (check_idx(root / file, n) for file, n in zip(files, (3, 1), strict=True))
    if images.n_rows != labels.n_rows:
        raise DataError(
            f"{root}: {files[0]} has {images.n_rows:,} pictures, {files[1]} {labels.n_rows:,} labels; expected one "
            "label a picture: are both of one download?"
        )
    subset = next((name for end, name in _SUBSETS.items() if re.search(rf"(^|[-_./]){end}$", pair.lower())), None)
    n_digits = len(str(images.n_rows - 1))
    for row, number in enumerate(read_labels(root / files[1])):
        if settings.classes and number >= len(settings.classes):
            raise DataError(
                f"{root / files[1]}: label {number} of row {row}; `classes` names {len(settings.classes)}, from 0 "
                f"({settings.classes[0]}) to {len(settings.classes) - 1} ({settings.classes[-1]}): name the others too"
            )
        name = f"{dataset}/{pair}/{row:0{n_digits}}" if pair else f"{dataset}/{row:0{n_digits}}"
        yield Recording(
            recording_id=name,
            patient_id=name,
            path=row_path(files[0], row),
            labels={settings.label: settings.classes[number] if settings.classes else str(number)},
            attributes={"official_split": subset},
        )
        yield patient_unknown(name, "idx files do not say whose a picture is")
