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
beside the table in the sheet, and rows below it that are no patients.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from auscult.config import DatasetSettings
from auscult.corpora.folder import is_document, split_name, walk_files
from auscult.corpora.jordan_names import FILTERS, UNCLEAR, Annotation, KauhName, parse_name, parse_sheet
from auscult.corpora.reading import Item, MalformedError
from auscult.corpora.sheets import read_sheet
from auscult.tables import Notice, Recording, Rejection

SHEET = "Data annotation.xlsx"
_COMPARED = ("diagnosis", "sounds", "location", "age_years", "sex")


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
            if suffix != ".wav":
                raise MalformedError(f"not part of the layout: {suffix or 'no'} suffix; expected .wav and {SHEET}")
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
        if one != two:
            yield Notice(kind, patient, f"{part}: the name says {one!r}, {where} says {two!r}")
