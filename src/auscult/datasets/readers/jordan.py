"""JORDAN: lung sounds recorded at King Abdullah University Hospital (KAUH); 112 patients, 336 files at 4 kHz, 16 bit.

Origin: Fraiwan et al., "A dataset of lung sounds recorded from the chest wall using an electronic stethoscope", Data
in Brief 35 (2021); Mendeley Data jwyy9np4gv.
Terms of use: CC BY 4.0.

Layout: `Audio Files/{BP|DP|EP}<patient>_<diagnosis>,<sound>,<location>,<age>,<sex>.wav`: B, D and E are the
stethoscope's bell, diaphragm and extended filter of one recording of one patient. `Data annotation.xlsx` repeats it
by row, row i for patient i. The names are what is read; where the sheet, or another filter of the patient, says
otherwise, that is noticed.

Labels: `diagnosis` (normal, asthma, bron, copd, heart failure, lung fibrosis, pleural effusion, pneumonia) and
`sounds` (bronchial, crackles, normal, unclear, wheeze); parts of a compound are joined by `+`. Attributes: `filter`,
`chest_location`. A recording whose diagnosis is no known one stays with an unknown diagnosis and is named among the
rejected.

Known dirt: diagnoses in mixed case and misspelt (`Plueral Effusion`), compound (`Heart Failure + COPD`), with
trailing blanks; folders with `_` for the blank; sounds with breath phases (`E W`: wheeze in expiration); a legend
beside the table in the sheet, and rows below it that are no patients. An age, sex or location that is none is unknown,
and noticed; it costs neither a recording nor a row. Recordings may have any suffix of a sound.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auscult.config import DatasetSettings
from auscult.datasets.folder import is_audio, is_document, split_name, walk_files
from auscult.datasets.readers.reading import SEXES, Fault, Item, MalformedError, not_understood, parse_age, parse_code
from auscult.datasets.readers.workbooks import Cells, cell_at, find_columns, read_sheet
from auscult.storage.tables import Notice, Recording, Rejection

FILTERS = {"B": "bell", "D": "diaphragm", "E": "extended"}
DIAGNOSES = {
    "n": "normal",
    "asthma": "asthma",
    "bron": "bron",  # readers of the set take it for bronchitis or for bronchiectasis; the files do not say
    "copd": "copd",
    "heart failure": "heart failure",
    "lung fibrosis": "lung fibrosis",
    "plueral effusion": "pleural effusion",
    "pleural effusion": "pleural effusion",
    "pneumonia": "pneumonia",
}
SOUNDS = {"n": "normal", "w": "wheeze", "c": "crackles", "crep": "crackles", "bronchial": "bronchial"}
PHASES = ("i", "e")
UNCLEAR = "unclear"
HEADINGS = ("Age", "Gender", "Location", "Sound type", "Diagnosis")
_START = re.compile(r"(?P<filter>[BDE])P(?P<patient>[0-9]{1,4})_(?P<diagnosis>.*)", re.DOTALL)
_LOCATION = re.compile(r"[APLRUM]{1,4}")


@dataclass(frozen=True)
class Annotation:
    """What is said of one patient. `diagnosis` is None when it is not known, then `diagnosis_fault` says why."""

    diagnosis: str | None
    diagnosis_fault: str | None
    sounds: str
    location: str | None
    age_years: float | None
    sex: str | None
    odd: tuple[str, ...] = ()


@dataclass(frozen=True)
class KauhName:
    """The parts of a stem; `patient` without leading zeros, `filter` is bell, diaphragm or extended."""

    filter: str
    patient: str
    annotation: Annotation


def parse_name(stem: str) -> KauhName:
    """Read a file's stem; an age, sex or location that is none is None, and named in `odd`.

    Raises:
        MalformedError: A part is missing.

    >>> name = parse_name("BP7_Heart Failure + COPD,I C E W,P L L ,68,M")
    >>> name.filter, name.patient, name.annotation.diagnosis, name.annotation.sounds
    ('bell', '7', 'heart failure+copd', 'crackles+wheeze')
    """
    fields = [field.strip() for field in stem.split(",")]
    if len(fields) != 5:
        raise MalformedError(
            f"name: {stem!r} has {len(fields)} parts between commas, expected 5 (diagnosis, sound, location, age, sex)"
        )
    start, sounds, location, age, sex = fields
    match = _START.fullmatch(start)
    if match is None:
        raise MalformedError(f"name: {start!r} does not open like BP12_ (filter B, D or E; P; patient)")
    annotation = _parse_annotation(match["diagnosis"], sounds, location, age, sex)
    return KauhName(FILTERS[match["filter"]], str(int(match["patient"])), annotation)


def _parse_annotation(diagnosis: str, sounds: str, location: str, age: str, sex: str) -> Annotation:
    known: str | None = None
    fault: str | None = None
    try:
        known = parse_diagnosis(diagnosis)
    except MalformedError as error:
        fault = str(error)
    facts: dict[str, Any] = {"location": None, "age": None, "sex": None}
    odd: list[str] = []
    for name, text, parse in (
        ("location", location, parse_location),
        ("age", age, parse_age),
        ("sex", sex, _parse_sex),
    ):
        try:
            facts[name] = parse(text)
        except MalformedError:
            # What a study is not about never costs a recording; `odd` is noticed.
            odd.append(f"{name} {text!r}")
    return Annotation(known, fault, parse_sounds(sounds), facts["location"], facts["age"], facts["sex"], tuple(odd))


def _parse_sex(text: str) -> str:
    return parse_code(text, SEXES, "sex")


def parse_diagnosis(text: str) -> str:
    """Return a diagnosis in one spelling; the parts of a compound are joined by `+` in the order written.

    Raises:
        MalformedError: A part is no known diagnosis.

    >>> parse_diagnosis("Asthma and lung fibrosis"), parse_diagnosis("Plueral Effusion")
    ('asthma+lung fibrosis', 'pleural effusion')
    """
    parts = [" ".join(part.split()) for part in re.split(r"\+|\band\b", text.lower())]
    unknown = [part for part in parts if part not in DIAGNOSES]
    if unknown:
        raise MalformedError(f"unknown diagnosis: {text!r}; known: {', '.join(DIAGNOSES)}")
    named = [DIAGNOSES[part] for part in parts]
    if "normal" in named and len(named) > 1:
        raise MalformedError(f"unknown diagnosis: {text!r} is normal and something else")
    return "+".join(dict.fromkeys(named))


def parse_sounds(text: str) -> str:
    """Return the sounds as sorted parts of bronchial, crackles, normal, unclear, wheeze, joined by `+`.

    I and E are breath phases, no sounds; `Crep` (crepitations) are crackles. What has no certain meaning is
    `unclear`: another word (the B of `I C B`), a phase without a sound, nothing at all, or normal together with
    something else.

    >>> [parse_sounds(text) for text in ("N", "E W", "I C E W", "Crep", "I C B", "I E")]
    ['normal', 'wheeze', 'crackles+wheeze', 'crackles', 'crackles+unclear', 'unclear']
    """
    words = text.lower().split()
    sounds = {SOUNDS.get(word, UNCLEAR) for word in words if word not in PHASES} or {UNCLEAR}
    if "normal" in sounds and len(words) > 1:
        return UNCLEAR
    return "+".join(sorted(sounds))


def parse_location(text: str) -> str:
    """Return the chest location as its letters (anterior, posterior; left, right; upper, middle, lower).

    Raises:
        MalformedError: It holds another letter, or none.

    >>> parse_location("P L L "), parse_location("PRU")
    ('P L L', 'P R U')
    """
    letters = "".join(text.split()).upper()
    if not _LOCATION.fullmatch(letters):
        raise MalformedError(f"unknown location: {text!r}; expected letters of A, P, L, R, U, M such as P L L")
    return " ".join(letters)


def parse_sheet(rows: Iterable[tuple[int, Cells]]) -> tuple[dict[str, Annotation], list[Fault]]:
    """Read the annotation sheet: the i-th row below the header is patient i; empty rows are skipped.

    >>> rows = [(1, list(HEADINGS)), (2, ["64", "F", "P L L", "N", "N"]), (3, ["", "", "", "Crep", "means"])]
    >>> annotations, faults = parse_sheet(rows)
    >>> annotations["1"].sex, faults[0].line
    ('female', 3)
    """
    rows = list(rows)
    try:
        header, columns = find_columns(rows, HEADINGS)
    except MalformedError as error:
        return {}, [Fault(None, str(error))]
    annotations: dict[str, Annotation] = {}
    faults: list[Fault] = []
    for number, cells in rows:
        age, sex, location, sounds, diagnosis = (cell_at(cells, columns[heading]).strip() for heading in HEADINGS)
        if number <= header or not any((age, sex, location, sounds, diagnosis)):
            continue
        try:
            if not (age and sex and diagnosis):
                raise MalformedError("age, gender or diagnosis is empty")
            annotation = _parse_annotation(diagnosis, sounds, location, age, sex)
            # A row of neither an age nor a sex is a remark below the table, no patient.
            if {part.split()[0] for part in annotation.odd} >= {"age", "sex"}:
                raise MalformedError(f"not understood: {', '.join(annotation.odd)}")
        except MalformedError as error:
            faults.append(Fault(number, f"not a patient row: {error}"))
            continue
        if annotation.diagnosis_fault is not None:
            faults.append(Fault(number, annotation.diagnosis_fault))
        annotations[str(number - header)] = annotation
    return annotations, faults


SHEET = "Data annotation.xlsx"
_OPTIONAL = ("location", "age_years", "sex")
_COMPARED = ("diagnosis", "sounds", *_OPTIONAL)


def read(root: Path, dataset: str, settings: DatasetSettings) -> Iterator[Item]:
    """Yield the recordings, rejections and notices of JORDAN."""
    files = list(walk_files(root))
    sheets = [file for file in files if _is_sheet(file)]
    seen: dict[str, str] = {}
    patients: dict[str, dict[str, KauhName]] = {}
    for file in files:
        if _is_sheet(file) or is_document(file):
            continue
        stem, suffix = split_name(file)
        try:
            if not is_audio(file):
                raise MalformedError(f"not part of the layout: {suffix or 'no'} suffix; expected a sound and {SHEET}")
            name = parse_name(stem)
            recording_id = f"{dataset}/{name.filter[0].upper()}P{name.patient}"
            if recording_id in seen:
                raise MalformedError(f"duplicate id: {recording_id} is {seen[recording_id]} already")
        except MalformedError as error:
            yield Rejection(file, None, str(error))
            continue
        seen[recording_id] = file
        patients.setdefault(name.patient, {})[name.filter] = name
        yield from _describe(dataset, recording_id, file, name)
    annotations: dict[str, Annotation] = {}
    if not sheets:
        yield Notice("annotation_missing", SHEET, "not below the root; the names alone are read")
    for file in sheets[1:]:
        yield Rejection(file, None, f"duplicate sheet: {sheets[0]} was read")
    for file in sheets[:1]:
        try:
            annotations, faults = parse_sheet(read_sheet(root / file))
        except MalformedError as error:
            yield Rejection(file, None, str(error))
            continue
        for fault in faults:
            yield Rejection(file, fault.line, fault.reason)
        for patient, annotation in annotations.items():
            for odd in annotation.odd:
                yield not_understood(odd, f"of patient {patient} in {file}")
    yield from _compare(patients, annotations)


def _is_sheet(file: str) -> bool:
    return file.rsplit("/", 1)[-1].lower().replace("_", " ") == SHEET.lower()


def _describe(dataset: str, recording_id: str, file: str, name: KauhName) -> Iterator[Item]:
    said = name.annotation
    yield Recording(
        recording_id=recording_id,
        patient_id=f"{dataset}/{name.patient}",
        path=file,
        age_years=said.age_years,
        sex=said.sex,
        labels={"diagnosis": said.diagnosis, "sounds": said.sounds},
        attributes={"filter": name.filter, "chest_location": said.location},
    )
    for odd in said.odd:
        yield not_understood(odd, f"of {file}")
    if said.diagnosis_fault is not None:
        yield Rejection(file, None, f"{said.diagnosis_fault}; the recording stays, its diagnosis is unknown")
    if UNCLEAR in said.sounds.split("+"):
        yield Notice("unclear_sound", file, "the sound's meaning is not certain; what is unclear stays unknown")


def _compare(patients: dict[str, dict[str, KauhName]], annotations: dict[str, Annotation]) -> Iterator[Notice]:
    for patient in sorted(patients, key=int):
        names = list(patients[patient].values())
        missing = sorted(set(FILTERS.values()) - set(patients[patient]))
        if missing:
            yield Notice("filter_missing", patient, f"no recording with {', '.join(missing)}")
        for other in names[1:]:
            yield from _differences("filters_differ", patient, names[0].annotation, other.annotation, other.filter)
        if patient in annotations:
            yield from _differences("annotation_differs", patient, names[0].annotation, annotations[patient], SHEET)
        elif annotations:
            yield Notice("patient_without_row", patient, f"has recordings and no row in {SHEET}")
    for patient in sorted(set(annotations) - set(patients), key=int):
        yield Notice("row_without_recording", patient, f"has a row in {SHEET} and no recording")


def _differences(kind: str, patient: str, first: Annotation, other: Annotation, where: str) -> Iterator[Notice]:
    for part in _COMPARED:
        one, two = getattr(first, part), getattr(other, part)
        is_unknown = part in _OPTIONAL and None in (one, two)
        if one != two and not is_unknown:
            yield Notice(kind, patient, f"{part}: the name says {one!r}, {where} says {two!r}")
