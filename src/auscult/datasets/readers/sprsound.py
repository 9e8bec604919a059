"""SPRSound: paediatric respiratory sounds, Shanghai; 292 patients of 1 month to 18 years in the first release.

Origin: Zhang et al., "SPRSound: open-source SJTU paediatric respiratory sound database", IEEE Transactions on
Biomedical Circuits and Systems 16 (2022); the repository SJTU-YONGFU-RESEARCH-GRP/SPRSound.
Terms of use: those of that repository (CC BY 4.0).

Layout, in any folders below the root: `<patient>_<age>_<sex 0|1>_p<location>_<recording>` with any suffix of a sound
and, with the same stem, a `.json`: `{"record_annotation": "Normal", "event_annotation": [{"start": "5778", "end":
"7419", "type": "Normal"}, ...]}` with times in milliseconds. Sex 0 is male, 1 female; p1 to p4 are left posterior, left
lateral, right posterior, right lateral; other places (p5 to p8 of later releases) keep their code. A name without these
parts (later, anonymised releases) is taken where it has an annotation: its patient is unknown.

Labels: `record` (normal, cas, das, cas+das, poor quality; CAS and DAS are continuous and discontinuous adventitious
sounds).
Attributes: `chest_location`; `official_split` (train, test) and `part` (train, inter, intra) by the folders
`train_wav`, `test_wav`, `train_json`, `inter_test_json`, `intra_test_json`. Events: each marked one is a `cycle` and,
unless it is normal, one of rhonchus, wheeze, stridor, coarse_crackle, fine_crackle; `Wheeze+Crackle` gives a wheeze and
a crackle.

Known dirt: times are strings or integers, events are not in order; `recording_annotation` for `record_annotation` in
some copies, no label of the record in others; recordings of poor quality have no events. An age or sex that is none is
unknown, and noticed. `example/` (recordings of train again) and `test_clip/` (cut-outs of test) are known copies: they
are left out with one notice each, where their originals are there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auscult.config import DatasetSettings
from auscult.datasets.folder import is_audio, split_name, walk_files
from auscult.datasets.readers.annotations import Placed, check_interval, read_pairs
from auscult.datasets.readers.reading import (
    Fault,
    Item,
    MalformedError,
    not_understood,
    parse_age,
    parse_code,
    parse_object,
    patient_unknown,
    read_file,
)
from auscult.storage.tables import Event, Notice, Recording, Rejection

SEX_CODES = {"0": "male", "1": "female"}
LOCATIONS = {"p1": "left posterior", "p2": "left lateral", "p3": "right posterior", "p4": "right lateral"}
RECORD_LABELS = {
    "Normal": "normal",
    "CAS": "cas",
    "DAS": "das",
    "CAS & DAS": "cas+das",
    "Poor Quality": "poor quality",
}
EVENT_KINDS: dict[str, tuple[str, ...]] = {
    "Normal": (),
    "Rhonchi": ("rhonchus",),
    "Wheeze": ("wheeze",),
    "Stridor": ("stridor",),
    "Coarse Crackle": ("coarse_crackle",),
    "Fine Crackle": ("fine_crackle",),
    "Wheeze+Crackle": ("wheeze", "crackle"),
}
_RECORD_KEYS = ("record_annotation", "recording_annotation")
_MILLISECONDS = re.compile(r"[0-9]{1,9}")
_NUMBER = re.compile(r"[0-9]{1,12}")
_PLACE = re.compile(r"p[0-9]{1,2}")
_PARTS = {"train_json": "train", "inter_test_json": "inter", "intra_test_json": "intra"}
_COPIES = {"example": "recordings that lie elsewhere too", "test_clip": "cut-outs of recordings that lie elsewhere"}
"""Folders of the published releases that repeat what is in others."""
_CUT_OUT = re.compile(r"(?P<stem>.+)_[0-9]+")


@dataclass(frozen=True)
class SprName:
    """The parts of a stem, None where it does not say; `odd` holds what could not be understood, as `age 'x'`."""

    patient: str | None = None
    age_years: float | None = None
    sex: str | None = None
    location: str | None = None
    odd: tuple[str, ...] = ()


@dataclass(frozen=True)
class MarkedEvent:
    """One event: its interval, and what it is beside a cycle."""

    start_s: float
    end_s: float
    kinds: tuple[str, ...]


@dataclass(frozen=True)
class Annotation:
    """A `.json` file: the record's label (None when it is not known) and its events."""

    record: str | None
    events: list[MarkedEvent]


def parse_name(stem: str) -> SprName:
    """Read a file's stem; what it does not say, or says oddly, is None.

    >>> parse_name("65101170_0.4_1_p3_3246").location, parse_name("65101170_0.4_1_p7_3246").location
    ('right posterior', 'p7')
    >>> parse_name("65101170_young_1_p3_3246").odd
    ("age 'young'",)
    """
    parts = stem.split("_")
    if len(parts) != 5 or not _NUMBER.fullmatch(parts[0]):
        place = next((part for part in parts if _PLACE.fullmatch(part)), None)
        return SprName(location=None if place is None else LOCATIONS.get(place, place))
    patient, age, sex, location, _ = parts
    odd: list[str] = []
    age_years: float | None = None
    try:
        age_years = parse_age(age)
    except MalformedError:
        odd.append(f"age {age!r}")
    if sex not in SEX_CODES:
        odd.append(f"sex {sex!r}")
    if not _PLACE.fullmatch(location):
        odd.append(f"location {location!r}")
    return SprName(patient, age_years, SEX_CODES.get(sex), LOCATIONS.get(location, location), tuple(odd))


def parse_annotation(data: bytes) -> tuple[Annotation, list[Fault]]:
    """Read a `.json` file; each event is placed or a fault, and so is the record's label.

    >>> event = b'{"start": "500", "end": 900, "type": "Wheeze"}'
    >>> parse_annotation(b'{"record_annotation": "CAS & DAS", "event_annotation": [%s]}' % event)[0]
    Annotation(record='cas+das', events=[MarkedEvent(start_s=0.5, end_s=0.9, kinds=('wheeze',))])
    """
    try:
        document = parse_object(data)
    except MalformedError as error:
        return Annotation(None, []), [Fault(None, str(error))]
    faults: list[Fault] = []
    record: str | None = None
    try:
        record = _parse_record(document)
    except MalformedError as error:
        faults.append(Fault(None, str(error)))
    written = document.get("event_annotation")
    if not isinstance(written, list):
        faults.append(Fault(None, f"columns: event_annotation is {_show(written)}, expected a list"))
        written = []
    events: list[MarkedEvent] = []
    for number, event in enumerate(written, start=1):
        try:
            events.append(_parse_event(event))
        except MalformedError as error:
            faults.append(Fault(None, f"{error} (event {number})"))
    strange = sorted(set(document) - {*_RECORD_KEYS, "event_annotation"})
    if strange:
        faults.append(Fault(None, f"columns: unknown keys {_show(strange)}"))
    return Annotation(record, events), faults


def _parse_record(document: dict[str, Any]) -> str | None:
    given = [document[key] for key in _RECORD_KEYS if key in document]
    if not given and "event_annotation" in document:
        return None  # later releases label events alone
    if len(given) != 1:
        raise MalformedError(f"columns: found {len(given)} of the keys {', '.join(_RECORD_KEYS)}, expected one")
    if not isinstance(given[0], str):
        raise MalformedError(f"unknown label: the record is {_show(given[0])}, expected text")
    return parse_code(given[0].strip(), RECORD_LABELS, "label")


def _parse_event(event: object) -> MarkedEvent:
    if not isinstance(event, dict) or set(event) != {"start", "end", "type"}:
        raise MalformedError(f"columns: found {_show(event)}, expected start, end and type")
    start_s, end_s = (_parse_milliseconds(event[name], name) for name in ("start", "end"))
    check_interval(start_s, end_s)
    kind = event["type"]
    if not isinstance(kind, str) or kind.strip() not in EVENT_KINDS:
        raise MalformedError(f"unknown event: {_show(kind)}; known: {', '.join(EVENT_KINDS)}")
    return MarkedEvent(start_s, end_s, EVENT_KINDS[kind.strip()])


def _parse_milliseconds(value: object, name: str) -> float:
    # A bool is an int to Python, a float could hide a unit: milliseconds are whole.
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _MILLISECONDS.fullmatch(text):
        raise MalformedError(f"not a number: {name} is {_show(value)}, expected whole milliseconds")
    return int(text) / 1000


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def read(root: Path, dataset: str, settings: DatasetSettings) -> Iterator[Item]:
    """Yield the recordings, events and rejections of SPRSound."""

    def place(file: str, annotation_file: str | None) -> Placed:
        stem, _ = split_name(file)
        name = parse_name(stem)
        recording_id = f"{dataset}/{stem}"
        if name.patient is None and annotation_file is None:
            raise MalformedError(
                f"name: {stem!r} is not patient_age_sex_location_recording, and no annotation speaks for it"
            )
        annotation, items = Annotation(None, []), list[Item]()
        items += [not_understood(odd, f"of {file}") for odd in name.odd]
        if name.patient is None:
            items.append(patient_unknown(recording_id, "its name tells no patient"))
        if annotation_file is not None:
            annotation, faults = _read_annotation(root / annotation_file)
            items += [Rejection(annotation_file, fault.line, fault.reason) for fault in faults]
            items += _events(recording_id, annotation, annotation_file)
        part = _part_of(file, annotation_file)
        recording = Recording(
            recording_id=recording_id,
            patient_id=f"{dataset}/{name.patient or stem}",
            path=file,
            age_years=name.age_years,
            sex=name.sex,
            labels={"record": annotation.record},
            attributes={
                "chest_location": name.location,
                "official_split": "test" if part in ("inter", "intra") else _split_of(file),
                "part": part,
            },
        )
        return Placed(recording, items)

    files, copies = _without_copies(list(walk_files(root)))
    yield from copies
    yield from read_pairs(files, ".json", "annotation file", place)


def _split_of(file: str) -> str | None:
    folders = file.split("/")[:-1]
    return next((folder.removesuffix("_wav") for folder in folders if folder in ("train_wav", "test_wav")), None)


def _part_of(file: str, annotation_file: str | None) -> str | None:
    """Return the part of the published split that a recording is in, by its folder or that of its annotation."""
    folders = (annotation_file or "").split("/")[:-1]
    found = next((_PARTS[folder] for folder in folders if folder in _PARTS), None)
    return found or ("train" if _split_of(file) == "train" else None)


def _without_copies(files: list[str]) -> tuple[list[str], list[Notice]]:
    """Leave out the folders that repeat recordings of other folders; what is not elsewhere stays."""
    elsewhere = {split_name(file)[0] for file in files if is_audio(file) and _copy_folder(file) is None}
    copies: dict[str, list[str]] = {}
    kept: list[str] = []
    for file in files:
        folder, stem = _copy_folder(file), split_name(file)[0]
        cut_out = _CUT_OUT.fullmatch(stem)
        is_copy = stem in elsewhere or (cut_out is not None and cut_out["stem"] in elsewhere)
        if folder is not None and is_copy:
            copies.setdefault(folder, []).append(file)
        else:
            kept.append(file)
    notices = [
        Notice("copy", f"{folder}/", f"{sum(map(is_audio, of))} {_COPIES[folder]}, with their annotations: left out")
        for folder, of in sorted(copies.items())
    ]
    return kept, notices


def _copy_folder(file: str) -> str | None:
    return next((folder for folder in file.split("/")[:-1] if folder in _COPIES), None)


def _read_annotation(path: Path) -> tuple[Annotation, list[Fault]]:
    try:
        return parse_annotation(read_file(path))
    except MalformedError as error:
        return Annotation(None, []), [Fault(None, str(error))]


def _events(recording_id: str, annotation: Annotation, file: str) -> Iterator[Event]:
    for event in sorted(annotation.events, key=lambda event: (event.start_s, event.end_s)):
        for kind in ("cycle", *event.kinds):
            yield Event(recording_id, event.start_s, event.end_s, kind, "sprsound", file)
