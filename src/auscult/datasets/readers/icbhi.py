"""ICBHI 2017 Respiratory Sound Database: 920 recordings of 126 patients, 6898 breathing cycles.

Origin: Rocha et al., "An open access database for the evaluation of respiratory sound classification algorithms",
Physiological Measurement 40 (2019), recorded in Portugal and Greece; bhichallenge.med.auth.gr.
Terms of use: freely available for research, as its page says; cite the paper above.

Layout, in any folder below the root:

- `<patient>_<recording>_<location>_<mode>_<device>.wav` and, with the same stem, a `.txt` of cycles (see `cycles`);
- `patient_diagnosis.csv` (comma, CRLF) or `ICBHI_Challenge_diagnosis.txt` (tab);
- `demographic_info.txt` (blanks, empty first line) or `ICBHI_Challenge_demographic_information.txt` (tab);
- `ICBHI_challenge_train_test.txt`, the official split; it is joined on the first four parts of the name, because 91
  stems differ in the device between distributions (`filename_differences.txt`).

Labels: `diagnosis` (asthma, bronchiectasis, bronchiolitis, copd, healthy, lrti, pneumonia, urti). Attributes:
`official_split` (train, test), `chest_location`, `acquisition`. Events: cycle, crackle, wheeze.

Known dirt: 16, 24 and 32 bit at 4, 10 and 44.1 kHz; `NA` in the demographics (patient 223 throughout); patients 156
and 218 in both subsets of the official list; all pneumonia patients in its train subset; partial copies, whose absent
recordings are noticed. A location, mode, device, age or sex that is no known one is unknown, and noticed; it costs no
recording. Recordings may have any suffix of a sound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar

from auscult.config import DatasetSettings
from auscult.datasets.folder import split_name, walk_files
from auscult.datasets.readers.annotations import read_cycle_folder
from auscult.datasets.readers.icbhi_files import (
    Demographics,
    Diagnosis,
    IcbhiName,
    ListedRecording,
    parse_demographics,
    parse_diagnoses,
    parse_name,
    parse_official_list,
)
from auscult.datasets.readers.reading import Fault, Item, KeyedValues, MalformedError, not_understood, read_file
from auscult.storage.tables import Notice, Recording, Rejection

DIAGNOSIS_FILES = ("patient_diagnosis.csv", "icbhi_challenge_diagnosis.txt")
DEMOGRAPHIC_FILES = ("demographic_info.txt", "icbhi_challenge_demographic_information.txt")
OFFICIAL_FILES = ("icbhi_challenge_train_test.txt",)
_EXPLANATIONS = ("filename_format.txt", "filename_differences.txt")


def read(root: Path, dataset: str, settings: DatasetSettings) -> Iterator[Item]:
    """Yield the recordings, events, rejections and notices of ICBHI 2017."""
    yield from read_layout(root, dataset, parse_name, source="icbhi", is_icbhi=True)


def read_layout(
    root: Path, dataset: str, name_of: Callable[[str], IcbhiName], *, source: str, is_icbhi: bool
) -> Iterator[Item]:
    """Read any dataset in ICBHI's layout.

    Args:
        root: The dataset's folder.
        dataset: Its name, the first part of every id.
        name_of: Reads a stem, or raises MalformedError.
        source: Who marked the cycles.
        is_icbhi: Whether a diagnosis file and the official list belong to the dataset.
    """
    files = list(walk_files(root))
    facts = PatientFacts()
    yield from facts.read(root, files, diagnoses_expected=is_icbhi)
    named: dict[str, tuple[IcbhiName, str]] = {}
    odd: list[Notice] = []

    def describe(file: str) -> Recording:
        stem, _ = split_name(file)
        name = name_of(stem)
        if name.key in named and named[name.key][1] != file and split_name(named[name.key][1])[0] != stem:
            raise MalformedError(f"duplicate id: {named[name.key][1]} is the same recording under another device")
        named.setdefault(name.key, (name, file))
        odd.extend(not_understood(text, f"of {file}") for text in name.odd)
        age_years, sex = facts.person(name.patient)
        return Recording(
            recording_id=f"{dataset}/{stem}",
            patient_id=f"{dataset}/{name.patient}",
            path=file,
            device=name.device,
            age_years=age_years,
            sex=sex,
            labels={"diagnosis": facts.diagnosis(name.patient)} if is_icbhi or facts.has_diagnoses else {},
            attributes={
                **({"official_split": facts.subset(name.key)} if is_icbhi else {}),
                "chest_location": name.location,
                "acquisition": name.mode,
            },
        )

    own = [file for file in files if not facts.owns(file)]
    yield from read_cycle_folder(root, own, describe, source)
    yield from odd
    yield from facts.compare({key: name for key, (name, _) in named.items()}, is_icbhi=is_icbhi)


class _Row(Protocol):
    @property
    def line(self) -> int: ...


Row = TypeVar("Row", bound=_Row)
_Parser = Callable[[bytes], tuple[list[Row], list[Fault]]]


class PatientFacts:
    """What the files beside the recordings say of patients and of the official split."""

    def __init__(self) -> None:
        self._diagnoses: KeyedValues[str | None] = KeyedValues("patient")
        self._persons: KeyedValues[tuple[float | None, str | None]] = KeyedValues("patient")
        self._listed: KeyedValues[tuple[str, str]] = KeyedValues("recording")
        self._subsets: dict[str, set[str]] = {}
        self._files: set[str] = set()
        self._odd: list[Notice] = []
        self.has_diagnoses = False

    def owns(self, file: str) -> bool:
        """Tell whether `file` is one of the files about patients, or one that explains names."""
        return file in self._files

    def diagnosis(self, patient: str) -> str | None:
        """Return the diagnosis, None when it is unknown."""
        return self._diagnoses.get(patient)

    def person(self, patient: str) -> tuple[float | None, str | None]:
        """Return age in years and sex, each None when it is unknown."""
        return self._persons.get(patient) or (None, None)

    def subset(self, key: str) -> str | None:
        """Return the official subset of a recording, None when the list does not hold it."""
        listed = self._listed.get(key)
        return None if listed is None else listed[0]

    def read(self, root: Path, files: list[str], *, diagnoses_expected: bool) -> Iterator[Rejection]:
        """Read the files about patients among `files`, yielding what could not be placed."""
        for file in files:
            name = file.rsplit("/", 1)[-1].lower()
            if name in DIAGNOSIS_FILES:
                self.has_diagnoses = True
                yield from self._read_file(root, file, parse_diagnoses, self._add_diagnosis)
            elif name in DEMOGRAPHIC_FILES:
                yield from self._read_file(root, file, parse_demographics, self._add_person)
            elif name in OFFICIAL_FILES:
                yield from self._read_file(root, file, parse_official_list, self._add_listed)
            elif name in _EXPLANATIONS:
                self._files.add(file)
        if diagnoses_expected and not self.has_diagnoses:
            yield Rejection(
                "patient_diagnosis.csv",
                None,
                f"missing diagnosis file: none of {', '.join(DIAGNOSIS_FILES)}; all diagnoses are unknown",
            )

    def _read_file(
        self, root: Path, file: str, parse: _Parser[Row], add: Callable[[str, Row], Rejection | None]
    ) -> Iterator[Rejection]:
        self._files.add(file)
        try:
            rows, faults = parse(read_file(root / file))
        except MalformedError as error:
            yield Rejection(file, None, str(error))
            return
        for fault in faults:
            yield Rejection(file, fault.line, fault.reason)
        for row in rows:
            rejection = add(file, row)
            if rejection is not None:
                yield rejection

    def _add_diagnosis(self, file: str, row: Diagnosis) -> Rejection | None:
        return self._diagnoses.add(row.patient, row.diagnosis, file, row.line)

    def _add_person(self, file: str, row: Demographics) -> Rejection | None:
        where = f"of patient {row.patient}, {file}:{row.line}"
        self._odd.extend(not_understood(text, where) for text in row.odd)
        return self._persons.add(row.patient, (row.age_years, row.sex), file, row.line)

    def _add_listed(self, file: str, row: ListedRecording) -> Rejection | None:
        self._subsets.setdefault(row.name.patient, set()).add(row.subset)
        return self._listed.add(row.name.key, (row.subset, row.stem), file, row.line)

    def compare(self, present: dict[str, IcbhiName], *, is_icbhi: bool) -> Iterator[Notice]:
        """Yield notices on what the files say oddly, and where they and the recordings that are there differ."""
        yield from self._odd
        patients = {name.patient for name in present.values()}
        for key in self._listed:
            subset, stem = self._listed.get(key) or (None, key)
            if key not in present:
                yield Notice("official_list_absent", stem, f"on the official list ({subset}), not in the folder")
            elif present[key].device not in (None, stem.rsplit("_", 1)[-1]):
                yield Notice("official_list_other_device", key, f"listed as {stem}, here {present[key].device}")
        for patient, subsets in sorted(self._subsets.items()):
            if len(subsets) > 1:
                yield Notice("official_list_both_sides", patient, "in both subsets of the official list")
        if self._listed:
            for key in sorted(set(present) - set(self._listed)):
                yield Notice("not_on_official_list", key, "not on the official list")
        if is_icbhi or self.has_diagnoses:
            for patient in sorted(patients):
                if patient not in self._diagnoses:
                    yield Notice("patient_without_diagnosis", patient, "no line in the diagnosis file")
            for patient in self._diagnoses:
                if patient not in patients:
                    yield Notice("patient_without_recording", patient, "has a diagnosis, no recording is in the folder")
