"""BD: auscultation of children in a pneumococcal vaccine (PCV) study in Bangladesh; the label is the primary endpoint.

Origin: children of a pneumococcal conjugate vaccine study in Bangladesh, with its primary endpoint; given to their
users by the study's owners.
Terms of use: those that the study's owners set when they give a copy; the data is not public.

Layout: `PCV_SEGMENTED_Processed_Files/<HOSP_ID>_SEGMENTED/<HOSP_ID>_<yymmdd>_<nnn>-<k>_F.wav`, some six positions `k`
a patient; `-` also stands for `_`. `Bangladesh_PCV_onlyStudyPatients.xlsx`, anywhere below the root, holds the
columns HOSP_ID and PEP1 (primary endpoint pneumonia): 1, 0 or `Uninterpretable`.

Labels: `pep1` ("1", "0", "uninterpretable"). Attributes: `session` (date and number), `position`. There are no
events.

Known dirt: HOSP_ID is a number in the sheet, so leading zeros are lost: patients are joined, and named, by the
number, and two spellings of one number are one patient. Patients without a row, rows without a folder and folders
with fewer than three recordings occur; they are noticed, not rejected.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from auscult.config import DatasetSettings
from auscult.datasets.folder import is_audio, is_document, split_name, walk_files
from auscult.datasets.readers.reading import Fault, Item, KeyedValues, MalformedError
from auscult.datasets.readers.workbooks import Cells, cell_at, find_columns, read_sheet
from auscult.storage.tables import Notice, Recording, Rejection

LABEL_FILE = "Bangladesh_PCV_onlyStudyPatients.xlsx"
HEADINGS = ("HOSP_ID", "PEP1")
PEP1_VALUES = ("1", "0", "uninterpretable")
FEW_RECORDINGS = 3
"""Six positions a patient are usual; fewer than this many are noticed."""
_FOLDER = re.compile(r"(?P<patient>[0-9]{1,12})[_-]SEGMENTED", re.IGNORECASE)
_STEM = re.compile(
    r"(?P<patient>[0-9]{1,12})[_-](?P<date>[0-9]{6})[_-](?P<number>[0-9]{3})[_-](?P<position>[0-9]{1,2})[_-]F"
)


@dataclass(frozen=True)
class BdName:
    """The parts of a stem; `patient` without leading zeros, `recording` in the one spelling of its separators."""

    recording: str
    patient: str
    session: str
    position: str


def parse_name(stem: str) -> BdName:
    """Read a file's stem.

    Raises:
        MalformedError: It is not like `0012345_190203_001-2_F`.

    >>> name = parse_name("0012345_190203-001-2-F")
    >>> name.recording, name.patient
    ('0012345_190203_001-2_F', '12345')
    """
    match = _STEM.fullmatch(stem)
    if match is None:
        raise MalformedError(f"name: {stem!r} is not like 0012345_190203_001-2_F (patient, yymmdd, number, position)")
    session = f"{match['date']}_{match['number']}"
    recording = f"{match['patient']}_{session}-{match['position']}_F"
    return BdName(recording, _patient_number(match["patient"]), session, str(int(match["position"])))


def parse_folder(name: str) -> str:
    """Return the patient that a folder is named after, without leading zeros.

    Raises:
        MalformedError: It is not like `0012345_SEGMENTED`.

    >>> parse_folder("0012345_SEGMENTED")
    '12345'
    """
    match = _FOLDER.fullmatch(name)
    if match is None:
        raise MalformedError(f"folder: {name!r} is not like 0012345_SEGMENTED")
    return _patient_number(match["patient"])


def _patient_number(text: str) -> str:
    return str(int(text))


@dataclass(frozen=True)
class Endpoint:
    """One row of the sheet; `pep1` is None for an empty cell."""

    row: int
    patient: str
    pep1: str | None


def parse_endpoints(rows: Iterable[tuple[int, Cells]]) -> tuple[list[Endpoint], list[Fault]]:
    """Read the sheet's rows; every row with a HOSP_ID or a PEP1 becomes an endpoint or a fault.

    >>> parse_endpoints([(1, ["HOSP_ID", "PEP1"]), (2, ["12345", "Uninterpretable"])])[0]
    [Endpoint(row=2, patient='12345', pep1='uninterpretable')]
    """
    rows = list(rows)
    try:
        header, columns = find_columns(rows, HEADINGS)
    except MalformedError as error:
        return [], [Fault(None, str(error))]
    endpoints: list[Endpoint] = []
    faults: list[Fault] = []
    for number, cells in rows:
        patient, pep1 = (cell_at(cells, columns[heading]).strip() for heading in HEADINGS)
        if number <= header or not (patient or pep1):
            continue
        if not re.fullmatch(r"[0-9]{1,12}", patient):
            faults.append(Fault(number, f"patient: HOSP_ID is {patient!r}, expected a number"))
        elif pep1 and pep1.lower() not in PEP1_VALUES:
            faults.append(Fault(number, f"unknown label: PEP1 is {pep1!r}; known: 1, 0, Uninterpretable"))
        else:
            endpoints.append(Endpoint(number, _patient_number(patient), pep1.lower() or None))
    return endpoints, faults


def read(root: Path, dataset: str, settings: DatasetSettings) -> Iterator[Item]:
    """Yield the recordings, rejections and notices of BD."""
    files = list(walk_files(root))
    endpoints: KeyedValues[str | None] = KeyedValues("patient")
    yield from _read_endpoints(root, files, endpoints)
    counts: Counter[str] = Counter()
    seen: dict[str, str] = {}
    for file in files:
        if is_document(file) or _is_label_file(file):
            continue
        try:
            name = _place(file)
            recording_id = f"{dataset}/{name.recording}"
            if recording_id in seen:
                raise MalformedError(f"duplicate id: {recording_id} is {seen[recording_id]} already")
        except MalformedError as error:
            yield Rejection(file, None, str(error))
            continue
        seen[recording_id] = file
        counts[name.patient] += 1
        yield Recording(
            recording_id=recording_id,
            patient_id=f"{dataset}/{name.patient}",
            path=file,
            labels={"pep1": endpoints.get(name.patient)},
            attributes={"session": name.session, "position": name.position},
        )
    for patient, count in sorted(counts.items()):
        if patient not in endpoints:
            yield Notice("patient_without_row", patient, f"has {count} recordings and no row in {LABEL_FILE}")
        if count < FEW_RECORDINGS:
            yield Notice("few_recordings", patient, f"has {count} recordings; six are usual")
    for patient in endpoints:
        if patient not in counts:
            yield Notice("row_without_recording", patient, f"has a row in {LABEL_FILE} and no recording")


def _is_label_file(file: str) -> bool:
    return file.rsplit("/", 1)[-1].lower() == LABEL_FILE.lower()


def _place(file: str) -> BdName:
    stem, suffix = split_name(file)
    if not is_audio(file):
        raise MalformedError(f"not part of the layout: {suffix or 'no'} suffix; expected a sound and {LABEL_FILE}")
    name = parse_name(stem)
    folders = file.split("/")[:-1]
    if not folders:
        raise MalformedError("folder: the file lies in no folder like 0012345_SEGMENTED")
    patient = parse_folder(folders[-1])
    if patient != name.patient:
        raise MalformedError(f"folder: {folders[-1]!r} is patient {patient}, the name says patient {name.patient}")
    return name


def _read_endpoints(root: Path, files: list[str], endpoints: KeyedValues[str | None]) -> Iterator[Rejection]:
    found = [file for file in files if _is_label_file(file)]
    if not found:
        yield Rejection(LABEL_FILE, None, "missing label file: not below the root; all labels are unknown")
    for file in found:
        try:
            rows, faults = parse_endpoints(read_sheet(root / file))
        except MalformedError as error:
            yield Rejection(file, None, str(error))
            continue
        for fault in faults:
            yield Rejection(file, fault.line, fault.reason)
        for row in rows:
            rejection = endpoints.add(row.patient, row.pep1, file, row.row)
            if rejection is not None:
                yield rejection
