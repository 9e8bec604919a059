"""ICBHI's names and its files about patients, as pure parsers of text."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from auscult.datasets.readers.reading import (
    SEXES,
    Fault,
    MalformedError,
    parse_age,
    parse_code,
    parse_lines,
    parse_number,
    split_fields,
)

Value = TypeVar("Value")

LOCATIONS = {name: name for name in ("Tc", "Al", "Ar", "Pl", "Pr", "Ll", "Lr")}
"""Trachea; anterior, posterior and lateral, each left and right."""
MODES = {name: name for name in ("sc", "mc")}
"""Sequential (single channel) and simultaneous (multi-channel) acquisition."""
DEVICES = {name: name for name in ("AKGC417L", "LittC2SE", "Litt3200", "Meditron")}
DIAGNOSES = {
    name: name.lower()
    for name in ("Asthma", "Bronchiectasis", "Bronchiolitis", "COPD", "Healthy", "LRTI", "Pneumonia", "URTI")
}
_PATIENT = re.compile(r"[0-9]{1,9}")
_RECORDING = re.compile(r"[0-9][bp][0-9]{1,2}")
_DEVICE = re.compile(r"[A-Za-z0-9]+")


@dataclass(frozen=True)
class IcbhiName:
    """What a stem says. `key` identifies the recording (the device was renamed between copies).

    `odd` holds what could not be understood, as `location 'Xx'`; it is None.
    """

    key: str
    patient: str
    location: str | None
    mode: str | None
    device: str | None
    odd: tuple[str, ...] = ()


def parse_name(stem: str, *, any_device: bool = False) -> IcbhiName:
    """Read a file's stem; a location, mode or device that is no known one is None, and named in `odd`.

    Args:
        stem: The file's name without its suffix.
        any_device: Any word of letters and digits is a device.

    Raises:
        MalformedError: A part is missing, or the patient or the recording is none.

    >>> parse_name("104_1b1_Al_sc_Litt3200").key
    '104_1b1_Al_sc'
    >>> parse_name("104_1b1_Xx_sc_Litt3200").odd
    ("location 'Xx'",)
    """
    parts = stem.split("_")
    if len(parts) != 5:
        raise MalformedError(
            f"name: {stem!r} has {len(parts)} parts, expected 5 (patient_recording_location_mode_device)"
        )
    patient, recording, location, mode, device = parts
    if not _PATIENT.fullmatch(patient):
        raise MalformedError(f"name: patient {patient!r} is no number")
    if not _RECORDING.fullmatch(recording):
        raise MalformedError(f"name: recording {recording!r} is not like 1b1 or 2p3")
    is_known = {
        "location": location in LOCATIONS,
        "mode": mode in MODES,
        "device": _DEVICE.fullmatch(device) is not None if any_device else device in DEVICES,
    }
    facts = dict(zip(is_known, parts[2:], strict=True))
    known = {name: text if is_known[name] else None for name, text in facts.items()}
    odd = tuple(f"{name} {text!r}" for name, text in facts.items() if not is_known[name])
    return IcbhiName("_".join(parts[:4]), patient, known["location"], known["mode"], known["device"], odd)


@dataclass(frozen=True)
class Diagnosis:
    """One line of the diagnosis file; `diagnosis` is None for `NA`."""

    line: int
    patient: str
    diagnosis: str | None


@dataclass(frozen=True)
class Demographics:
    """One line of the demographic file; None for `NA`, and for what `odd` names (as `age 'old'`)."""

    line: int
    patient: str
    age_years: float | None
    sex: str | None
    odd: tuple[str, ...] = ()


@dataclass(frozen=True)
class ListedRecording:
    """One line of the official split list."""

    line: int
    name: IcbhiName
    stem: str
    subset: str


def parse_diagnoses(data: bytes) -> tuple[list[Diagnosis], list[Fault]]:
    r"""Read `patient,diagnosis` or `patient<tab>diagnosis` lines.

    >>> parse_diagnoses(b"101,URTI\r\n102,NA")[0]
    [Diagnosis(line=1, patient='101', diagnosis='urti'), Diagnosis(line=2, patient='102', diagnosis=None)]
    """

    def parse(number: int, text: str) -> Diagnosis:
        patient, diagnosis = _fields(text, ("patient", "diagnosis"))
        known = None if diagnosis == "NA" else parse_code(diagnosis, DIAGNOSES, "diagnosis")
        return Diagnosis(number, _parse_patient(patient), known)

    return parse_lines(data, parse)


def parse_demographics(data: bytes) -> tuple[list[Demographics], list[Fault]]:
    r"""Read lines of patient, age, sex, adult BMI, child weight, child height, separated by blanks, tabs or commas.

    >>> parse_demographics(b"\r\n102 0.75 F NA 9.8 73")[0]
    [Demographics(line=2, patient='102', age_years=0.75, sex='female', odd=())]
    """
    columns = ("patient", "age", "sex", "adult BMI", "child weight", "child height")

    def parse(number: int, text: str) -> Demographics:
        patient, age, sex, *measures = _fields(text, columns)
        # What a study is not about never costs a line; `odd` is noticed.
        odd: list[str] = []
        age_years = _known("age", age, parse_age, odd)
        sex_word = _known("sex", sex, _parse_sex, odd)
        for name, measure in zip(columns[3:], measures, strict=True):
            _known(name, measure, _parse_measure, odd)
        return Demographics(number, _parse_patient(patient), age_years, sex_word, tuple(odd))

    return parse_lines(data, parse)


def parse_official_list(data: bytes) -> tuple[list[ListedRecording], list[Fault]]:
    r"""Read `stem<tab>train|test` lines.

    >>> parse_official_list(b"101_1b1_Al_sc_Meditron\ttest")[0][0].subset
    'test'
    """

    def parse(number: int, text: str) -> ListedRecording:
        stem, subset = _fields(text, ("stem", "subset"))
        if subset not in ("train", "test"):
            raise MalformedError(f"unknown subset: {subset!r}; known: train, test")
        return ListedRecording(number, parse_name(stem), stem, subset)

    return parse_lines(data, parse)


def _known(name: str, text: str, parse: Callable[[str], Value], odd: list[str]) -> Value | None:
    """Return a value; None for `NA`, and for what is none, which is then added to `odd`."""
    try:
        return None if text == "NA" else parse(text)
    except MalformedError:
        odd.append(f"{name} {text!r}")
        return None


def _parse_sex(text: str) -> str:
    return parse_code(text, SEXES, "sex")


def _parse_measure(text: str) -> float:
    value = parse_number(text, "measure")
    if value <= 0:
        raise MalformedError(f"not positive: {text}")
    return value


def _parse_patient(text: str) -> str:
    if not _PATIENT.fullmatch(text):
        raise MalformedError(f"patient: {text!r} is no number")
    return text


def _fields(text: str, columns: tuple[str, ...]) -> list[str]:
    fields = split_fields(text)
    if len(fields) != len(columns):
        raise MalformedError(f"columns: found {len(fields)}, expected {len(columns)} ({', '.join(columns)})")
    return fields
