"""Any collection with a folder per recording: `<uid>/waveform.<ext>` and `<uid>/metadata.json`.

Origin: the collection's own.
Terms of use: the collection's own.

Layout: `metadata.json` holds `encoding` (the extension in capitals, `WAV`) and `sample_rate_hz`. Beside the folders
lie `train.csv` and `test.csv`: a row a recording, with a column `uid`, perhaps one of the patient, and the target
columns, which a text file names one a line (`targets.txt`). `uid`, `patient` and `targets` in the dataset's YAML say
otherwise.

Labels: one for each target column, as written; an empty cell (or NA, as in `manifest`), and a recording without a
row, is unknown. Attributes: `official_split` (train, test).

Known dirt: a folder without metadata or waveform; a sample rate that is not the file's (then neither is believed);
rows without a folder; a uid in both tables, or twice in one: each is refused. Folders without a row are noticed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import soundfile

from auscult.config import DatasetSettings, UidJsonDataset
from auscult.config.columns import TableFile
from auscult.datasets.folder import AUDIO_SUFFIXES, is_document, walk_files
from auscult.datasets.readers.cells import known_text, tidy_id
from auscult.datasets.readers.reading import (
    Fault,
    Item,
    KeyedValues,
    MalformedError,
    decoded_lines,
    parse_object,
    patient_unknown,
    read_file,
)
from auscult.datasets.readers.tables import check_columns, open_table
from auscult.errors import DataError
from auscult.storage.tables import Notice, Recording, Rejection

METADATA = "metadata.json"
SUBSETS = {"train.csv": "train", "test.csv": "test"}


@dataclass(frozen=True)
class Metadata:
    """What `metadata.json` says of the waveform; `suffix` is that of the file."""

    suffix: str
    sample_rate_hz: int


@dataclass(frozen=True)
class Described:
    """A row of `train.csv` or `test.csv`."""

    subset: str | None
    patient: str | None
    targets: tuple[str | None, ...]


def parse_metadata(data: bytes) -> Metadata:
    """Read `metadata.json`; keys that are not needed may hold anything.

    Raises:
        MalformedError: It is no JSON object, or lacks a known encoding or a whole, positive sample rate.

    >>> parse_metadata(b'{"encoding": "FLAC", "sample_rate_hz": 8000}')
    Metadata(suffix='.flac', sample_rate_hz=8000)
    """
    document = parse_object(data)
    encoding = document.get("encoding")
    known = [suffix[1:].upper() for suffix in AUDIO_SUFFIXES]
    if encoding not in known:
        raise MalformedError(f"unknown encoding: {_show(encoding)}; known: {', '.join(known)}")
    rate = document.get("sample_rate_hz")
    whole = int(rate) if isinstance(rate, float) and rate.is_integer() else rate
    if not isinstance(whole, int) or isinstance(whole, bool) or not 0 < whole <= 10_000_000:
        raise MalformedError(f"not a number: sample_rate_hz is {_show(rate)}, expected a whole number above 0")
    return Metadata(f".{str(encoding).lower()}", whole)


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def parse_target_names(data: bytes) -> tuple[list[str], list[Fault]]:
    r"""Read one name a line; a repeated one is a fault.

    >>> parse_target_names(b"crackle\nfine wheeze\n\ncrackle\n")[0]
    ['crackle', 'fine wheeze']
    """
    names: list[str] = []
    faults: list[Fault] = []
    for number, text in decoded_lines(data):
        if isinstance(text, Fault):
            faults.append(text)
        elif text in names:
            faults.append(Fault(number, f"duplicate target: {text!r} is named already"))
        elif not text.isprintable():
            faults.append(Fault(number, f"not text: the name {text!r} holds characters that cannot be printed"))
        else:
            names.append(text)
    return names, faults


def read(root: Path, dataset: str, settings: DatasetSettings) -> Iterator[Item]:
    """Yield the recordings, rejections and notices of a collection.

    Raises:
        DataError: The file of target names is missing or names none, or a table lacks a column.
    """
    if not isinstance(settings, UidJsonDataset):
        raise TypeError(f"expected the settings of uid_json, found {type(settings).__name__}")
    targets, faults = _read_targets(root, settings)
    for fault in faults:
        yield Rejection(settings.targets, fault.line, fault.reason)
    rows = _Rows(targets, settings)
    for file in SUBSETS:
        yield from rows.read(root, file)
    found: set[str] = set()
    beside = {*SUBSETS, settings.targets}
    for uid, files in groupby(walk_files(root), key=lambda file: file.split("/")[0] if "/" in file else ""):
        if not uid:
            for file in files:
                if file not in beside and not is_document(file):
                    yield Rejection(file, None, "not part of the layout: expected folders, train.csv and test.csv")
            continue
        found.add(uid)
        try:
            folder = _read_folder(root, uid, list(files))
        except MalformedError as error:
            yield Rejection(f"{uid}/{METADATA}", None, str(error), lost=rows.lost(dataset, uid))
            continue
        yield from _described(rows, dataset, uid, folder.waveform)
        for file in folder.others:
            yield Rejection(file, None, f"not part of the layout: expected {METADATA} and one waveform")
        if rows.by_uid.get(uid) is None:
            yield Notice("folder_without_row", uid, "in neither train.csv nor test.csv; its labels are unknown")
    for uid in rows.by_uid:
        if uid not in found:
            file, line = rows.by_uid.where(uid)
            yield Rejection(file, line, f"missing folder: there is no folder {uid!r}", lost=rows.lost(dataset, uid))


def _described(rows: _Rows, dataset: str, uid: str, waveform: str) -> Iterator[Item]:
    yield rows.describe(dataset, uid, waveform)
    if not rows.has_patient(uid):
        yield patient_unknown(f"{dataset}/{uid}", "no table says whose it is")


def _read_targets(root: Path, settings: UidJsonDataset) -> tuple[list[str], list[Fault]]:
    path = root / settings.targets
    try:
        names, faults = parse_target_names(read_file(path))
    except MalformedError as error:
        raise DataError(f"{path}: {error}; it must name the target columns, one a line") from None
    if not names:
        raise DataError(f"{path}: it names no target column; expected one a line")
    return names, faults


class _Rows:
    """The rows of train.csv and test.csv by uid."""

    def __init__(self, targets: list[str], settings: UidJsonDataset) -> None:
        self._targets = targets
        self._settings = settings
        self.by_uid: KeyedValues[Described] = KeyedValues("uid")

    def read(self, root: Path, file: str) -> Iterator[Item]:
        """Take the rows of one table, yielding those that could not be placed."""
        if not (root / file).is_file():
            yield Rejection(file, None, f"missing table: the subset {SUBSETS[file]} is empty")
            return
        settings = self._settings
        needed = [settings.uid, *self._targets, *([settings.patient] if settings.patient else [])]
        table = open_table(root, file, TableFile(), needed)
        check_columns(file, table.columns, needed, ())
        yield from table.notices
        for number, row in table.rows():
            if isinstance(row, Fault):
                yield Rejection(file, row.line, row.reason)
                continue
            uid = row[settings.uid].strip()
            patient = None if settings.patient is None else known_text(row[settings.patient])
            if not uid or "/" in uid:
                yield Rejection(file, number, f"uid: {uid!r} is not the name of a folder")
            elif settings.patient is not None and patient is None:
                reason = f"patient: {settings.patient} is empty or unknown; no split could keep patients apart"
                yield Rejection(file, number, reason)
            else:
                targets = tuple(known_text(row[target]) for target in self._targets)
                rejection = self.by_uid.add(uid, Described(SUBSETS[file], patient, targets), file, number)
                if rejection is not None:
                    yield rejection

    def has_patient(self, uid: str) -> bool:
        """Tell whether a row says whose recording it is."""
        row = self.by_uid.get(uid)
        return row is not None and row.patient is not None

    def lost(self, dataset: str, uid: str) -> Recording:
        """Return what is known of a recording that is not read; its patient is empty where no row names one."""
        known = self.describe(dataset, uid, uid)
        return known if self.has_patient(uid) else replace(known, patient_id="")

    def describe(self, dataset: str, uid: str, waveform: str) -> Recording:
        """Return the recording of one folder; without a row, all that a row says is unknown."""
        row = self.by_uid.get(uid) or Described(None, None, (None,) * len(self._targets))
        return Recording(
            recording_id=f"{dataset}/{uid}",
            patient_id=f"{dataset}/{uid if row.patient is None else tidy_id(row.patient)}",
            path=waveform,
            labels=dict(zip(self._targets, row.targets, strict=True)),
            attributes={"official_split": row.subset},
        )


@dataclass(frozen=True)
class _Folder:
    """A folder's waveform, and the files that do not belong there."""

    waveform: str
    others: list[str]


def _read_folder(root: Path, uid: str, files: list[str]) -> _Folder:
    metadata_file = f"{uid}/{METADATA}"
    if metadata_file not in files:
        raise MalformedError("missing metadata: without it the encoding is not known")
    metadata = parse_metadata(read_file(root / metadata_file))
    waveform = f"{uid}/waveform{metadata.suffix}"
    if waveform not in files:
        raise MalformedError(f"missing waveform: there is no {waveform}")
    _check_rate(root / waveform, metadata)
    return _Folder(
        waveform, [file for file in files if file not in (metadata_file, waveform) and not is_document(file)]
    )


def _check_rate(path: Path, metadata: Metadata) -> None:
    try:
        rate_hz = soundfile.info(path).samplerate
    except (OSError, soundfile.LibsndfileError):
        return  # a file that cannot be read is named when it is decoded
    if rate_hz != metadata.sample_rate_hz:
        raise MalformedError(f"sample rate: metadata says {metadata.sample_rate_hz} Hz, the file {rate_hz} Hz")
