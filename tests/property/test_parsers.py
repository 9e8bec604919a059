"""Every parser of raw text: it never breaks, and never takes in silence what it cannot place.

The default run draws 80 examples a parser, always the same; `make fuzz` draws 200,000 in all, new ones each time.
"""

import atexit
import io
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auscult.audio.probe import probe
from auscult.config.columns import TableFile
from auscult.datasets.readers import bd, hf_lung, icbhi_files, perch, sprsound, uid_json
from auscult.datasets.readers import jordan as jordan_names
from auscult.datasets.readers.annotations import OVERLAP_TOLERANCE_S, parse_cycles
from auscult.datasets.readers.label_folders import parse_label_set
from auscult.datasets.readers.locate import relative_path
from auscult.datasets.readers.reading import (
    Fault,
    MalformedError,
    decoded_lines,
    parse_age,
    parse_number,
    parse_object,
    split_fields,
)
from auscult.datasets.readers.tables import open_table
from auscult.datasets.readers.workbooks import read_sheet
from auscult.errors import DataError

SLOW_EXAMPLES = 200_000
DEFAULT_EXAMPLES = 80

ODD = [
    "",
    "0",
    "1",
    "2",
    "0.5",
    "1.5",
    "-1",
    "+1",
    "1e3",
    "1e999",
    "1.",
    ".5",
    "nan",
    "inf",
    "NA",
    "1_0",
    "0x1",
    "\u0663",
]
ODD += [" ", "\u00a0", "\x00", "\x85", "\u2028", "\ufeff", '"', "'", "\\", "é", "1,5", "00", "999999999999999999999"]
TIMES = ["00:00:01.000", "00:00:02.5", "00:61:00", "1:2:3", "00:00:02.500"]
CODES = [
    "101",
    "104",
    "Al",
    "Tc",
    "sc",
    "mc",
    "1b1",
    "2p3",
    "Meditron",
    "URTI",
    "COPD",
    "Pneumonia",
    "train",
    "test",
    "F",
    "M",
]
STEMS = ["101_1b1_Al_sc_Meditron", "Z02666-08.wav_F", "BP1_Asthma,I C E W,P L L ,70,M", "65101170_0.4_1_p3_3246"]
STEMS += ["0012345_190203_001-2_F", "0012345_SEGMENTED", "steth_20180814_09_37_11", "trunc_2019-07-31-11-20-43-L8_12"]
WORDS = ["N", "E", "I", "W", "C", "B", "Crep", "Bronchial", "Heart Failure", "COPD", "+", "and", "P L L", "asthma"]


def tokens(*known: str) -> st.SearchStrategy[str]:
    return st.sampled_from([*known, *ODD]) | st.sampled_from(known or ODD) | st.text(max_size=6)


def documents(*known: str, width: int = 4) -> st.SearchStrategy[bytes]:
    """Lines that are nearly right: usual and odd fields, any separator and line end, some bytes that fit nowhere."""
    row = st.lists(tokens(*known), min_size=width, max_size=width) | st.lists(tokens(*known), max_size=width + 2)
    line = st.tuples(row, st.sampled_from(["\t", ",", " ", ", "])).map(lambda parts: parts[1].join(parts[0]).encode())
    noise = st.sampled_from([b"", b"", b"", b"\xff", b"\xe9", b"\x00", b"\xef\xbb\xbf", b"\xff\xfe", b"\r", b"\x0b"])
    lines = st.lists(st.tuples(line, noise).map(b"".join), max_size=6)
    ends = st.sampled_from([b"\n", b"\r\n", b"\r"])
    near = st.tuples(noise, lines, ends).map(lambda parts: parts[0] + parts[2].join(parts[1]))
    return near | st.binary(max_size=60)


def mutated(examples: Iterable[str]) -> st.SearchStrategy[str]:
    """Real names with a piece replaced, and any text."""

    def replace(parts: tuple[str, int, int, str]) -> str:
        text, start, length, piece = parts
        return text[: start % (len(text) + 1)] + piece + text[start % (len(text) + 1) + length :]

    pieces = st.sampled_from(["", *ODD, "_", "-", "+", "/", "..", *CODES]) | st.text(max_size=3)
    near = st.tuples(st.sampled_from(list(examples)), st.integers(0, 60), st.integers(0, 4), pieces).map(replace)
    return near | st.sampled_from(list(examples)) | st.text(max_size=30)


def check_reason(reason: str) -> None:
    assert re.match(r"[a-zA-Z0-9 -]{2,30}: .", reason, re.DOTALL), f"no class opens the reason {reason!r}"


def n_filled_lines(data: bytes) -> int:
    """Count independently of the parsers."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return 1
    return sum(bool(line.strip(b" \t")) for line in data.removeprefix(b"\xef\xbb\xbf").splitlines())


def placed(parse: Callable[[bytes], tuple[list[Any], list[Fault]]], data: bytes) -> list[tuple[Any, bytes]]:
    """Return the rows with the lines that they stand on; every line is placed once, or is a fault with its class."""
    rows, faults = parse(data)
    for fault in faults:
        check_reason(fault.reason)
    assert len(rows) + len(faults) == n_filled_lines(data)
    lines = data.removeprefix(b"\xef\xbb\xbf").splitlines()
    numbers = [row.line for row in rows] + [fault.line for fault in faults if fault.line is not None]
    assert len(set(numbers)) == len(numbers)
    return [(row, lines[row.line - 1]) for row in rows]


def pieces_of(line: bytes) -> list[str]:
    return [piece for piece in re.split(r"[\t, ]+", line.decode().strip("\t ,")) if piece]


def check_cycles(data: bytes) -> None:
    rows = placed(parse_cycles, data)
    for cycle, line in rows:
        start, end, crackle, wheeze = pieces_of(line)
        assert (float(start), float(end)) == (cycle.start_s, cycle.end_s)
        assert 0 <= cycle.start_s < cycle.end_s < math.inf
        assert (crackle, wheeze) == (str(int(cycle.has_crackle)), str(int(cycle.has_wheeze)))
    for (before, _), (after, _) in pairwise(rows):
        assert after.start_s >= before.end_s - OVERLAP_TOLERANCE_S


def check_diagnoses(data: bytes) -> None:
    for row, line in placed(icbhi_files.parse_diagnoses, data):
        patient, diagnosis = pieces_of(line)
        assert patient == row.patient
        assert diagnosis.lower() == row.diagnosis or (diagnosis == "NA" and row.diagnosis is None)


def check_demographics(data: bytes) -> None:
    for row, line in placed(icbhi_files.parse_demographics, data):
        patient, age, sex, *_ = pieces_of(line)
        assert patient == row.patient
        if row.age_years is None:
            assert age == "NA" or f"age {age!r}" in row.odd
        else:
            assert float(age) == row.age_years
            assert 0 <= row.age_years <= 130
        assert row.sex == {"F": "female", "M": "male"}.get(sex)
        assert row.sex is not None or sex == "NA" or f"sex {sex!r}" in row.odd


def check_official_list(data: bytes) -> None:
    for row, line in placed(icbhi_files.parse_official_list, data):
        assert pieces_of(line) == [row.stem, row.subset]
        assert row.subset in ("train", "test")


def check_hf_labels(data: bytes) -> None:
    for row, line in placed(hf_lung.parse_labels, data):
        assert 0 <= row.start_s < row.end_s < 360_000
        assert hf_lung.KINDS[pieces_of(line)[0]] == row.kind


def check_target_names(data: bytes) -> None:
    names, faults = uid_json.parse_target_names(data)
    assert len(names) + len(faults) == n_filled_lines(data)
    assert len(set(names)) == len(names)
    assert all(name.isprintable() and name.strip(" \t") == name for name in names)


def check_lines(data: bytes) -> None:
    found = list(decoded_lines(data))
    assert len(found) == n_filled_lines(data)
    for _, text in found:
        if isinstance(text, Fault):
            check_reason(text.reason)
        else:
            assert all("\t" not in field for field in split_fields(text))


def parsed(parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except MalformedError as error:
        check_reason(str(error))
        return None


def check_names(stem: str) -> None:
    if name := parsed(icbhi_files.parse_name, stem):
        assert stem.startswith(f"{name.key}_")
        assert name.device is not None or f"device {stem.rpartition('_')[2]!r}" in name.odd
    if name := parsed(perch.parse_name, stem):
        assert f"{name.patient}-{name.position}.wav_F" == stem
    if name := parsed(sprsound.parse_name, stem):
        assert name.patient in (None, stem.split("_", maxsplit=1)[0])
    if name := parsed(hf_lung.parse_name, stem):
        assert stem.startswith(name.patient)
        assert re.fullmatch("[0-9]{8}", name.date)
    if name := parsed(bd.parse_name, stem):
        assert name.recording.replace("-", "_") == stem.replace("-", "_")
        assert name.patient == (stem.replace("-", "_").split("_")[0].lstrip("0") or "0")
    if patient := parsed(bd.parse_folder, stem):
        assert stem.lstrip("0").startswith(patient) or patient == "0"
    if name := parsed(jordan_names.parse_name, stem):
        assert re.match(rf"{name.filter[0].upper()}P0*{name.patient}_", stem.strip())
        assert (name.annotation.diagnosis is None) is (name.annotation.diagnosis_fault is not None)


def check_words(text: str) -> None:
    diagnosis = parsed(jordan_names.parse_diagnosis, text)
    if diagnosis is not None:
        assert set(diagnosis.split("+")) <= set(jordan_names.DIAGNOSES.values())
    sounds = jordan_names.parse_sounds(text).split("+")
    assert sounds == sorted(set(sounds))
    assert set(sounds) <= {"bronchial", "crackles", "normal", "unclear", "wheeze"}
    known = {*jordan_names.SOUNDS, *jordan_names.PHASES}
    assert "unclear" in sounds or set(text.lower().split()) <= known, "a word that is not known is unclear"
    assert "normal" not in sounds or text.lower().split() == ["n"]
    location = parsed(jordan_names.parse_location, text)
    assert location is None or set(location.split()) <= set("APLRUM")
    labels = parsed(lambda name: parse_label_set(name, ()), text)
    assert labels is None or all(part and part == part.strip() for part in labels.split("+"))


def check_numbers(text: str) -> None:
    number = parsed(lambda given: parse_number(given, "x"), text)
    if number is not None:
        assert text.isascii()
        assert number == float(text)
        assert math.isfinite(number)
    age_years = parsed(parse_age, text)
    assert age_years is None or 0 <= age_years <= 130


Sheet = list[list[str]]


def sheets(headings: tuple[str, ...], *known: str) -> st.SearchStrategy[Sheet]:
    row = st.lists(tokens(*known), max_size=len(headings) + 1)
    header = st.sampled_from([list(headings), [*headings[::-1], "x"], [*headings, headings[0]], [*headings[1:]], []])
    return st.tuples(st.lists(row, max_size=2), header, st.lists(row, max_size=5)).map(
        lambda parts: [*parts[0], parts[1], *parts[2]]
    )


def rows_below(sheet: Sheet, headings: tuple[str, ...]) -> list[int] | None:
    """Return the numbers of the filled rows below the header, found independently; None without a header."""
    for start, cells in enumerate(sheet, start=1):
        found = [cell.strip().lower() for cell in cells]
        if all(found.count(heading.lower()) >= 1 for heading in headings):
            if any(found.count(heading.lower()) > 1 for heading in headings):
                return None
            columns = [found.index(heading.lower()) for heading in headings]
            below = enumerate(sheet[start:], start=start + 1)
            return [n for n, row in below if any(row[c].strip() for c in columns if c < len(row))]
    return None


def check_jordan_sheet(sheet: Sheet) -> None:
    annotations, faults = jordan_names.parse_sheet(list(enumerate(sheet, start=1)))
    check_sheet(sheet, jordan_names.HEADINGS, len(annotations), faults)
    for annotation in annotations.values():
        assert 0 <= annotation.age_years <= 130
        assert (annotation.diagnosis is None) is (annotation.diagnosis_fault is not None)


def check_bd_sheet(sheet: Sheet) -> None:
    endpoints, faults = bd.parse_endpoints(list(enumerate(sheet, start=1)))
    check_sheet(sheet, bd.HEADINGS, len(endpoints), faults)
    assert {row.pep1 for row in endpoints} <= {"1", "0", "uninterpretable", None}
    for row in endpoints:
        assert row.patient in [cell.strip().lstrip("0") or "0" for cell in sheet[row.row - 1]]


def check_sheet(sheet: Sheet, headings: tuple[str, ...], n_placed: int, faults: list[Fault]) -> None:
    for fault in faults:
        check_reason(fault.reason)
    filled = rows_below(sheet, headings)
    if filled is None:
        assert (n_placed, [fault.line for fault in faults]) == (0, [None])
        return
    # A row with an unknown diagnosis is both: placed without it, and named.
    named = {fault.line for fault in faults}
    assert named <= set(filled)
    assert n_placed + len(named) >= len(filled)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | tokens("500", "900", "Wheeze", "Normal", "CAS", "WAV"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(tokens("start", "end", "type"), inner, max_size=3),
    max_leaves=8,
)
EVENT = st.fixed_dictionaries({"start": JSON, "end": JSON, "type": JSON | st.sampled_from(["Wheeze", "Fine Crackle"])})
ANNOTATION = st.fixed_dictionaries(
    {"record_annotation": st.sampled_from(["Normal", "CAS & DAS"]) | JSON},
    optional={"event_annotation": st.lists(EVENT | JSON, max_size=4) | JSON, "recording_annotation": JSON},
)
METADATA = st.fixed_dictionaries({"encoding": st.sampled_from(["WAV", "wav"]) | JSON, "sample_rate_hz": JSON})


def as_bytes(values: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    cut = st.tuples(values.map(lambda value: json.dumps(value).encode()), st.integers(0, 30))
    return values.map(lambda value: json.dumps(value).encode()) | cut.map(lambda parts: parts[0][: -parts[1] or None])


def check_sprsound(data: bytes) -> None:
    annotation, faults = sprsound.parse_annotation(data)
    for fault in faults:
        check_reason(fault.reason)
    assert annotation.record in {None, *sprsound.RECORD_LABELS.values()}
    assert annotation.record is not None or faults
    for event in annotation.events:
        assert 0 <= event.start_s < event.end_s <= 1e6
        assert event.kinds in sprsound.EVENT_KINDS.values()
    if not any(fault.reason.startswith(("not JSON", "not UTF-8")) for fault in faults):
        written = json.loads(data).get("event_annotation")
        n_written = len(written) if isinstance(written, list) else 0
        assert len(annotation.events) + len(faults) >= n_written


def check_metadata(data: bytes) -> None:
    for parse in (parse_object, uid_json.parse_metadata):
        try:
            metadata = parse(data)
        except MalformedError as error:
            check_reason(str(error))
            continue
        document = json.loads(data)
        assert isinstance(document, dict)
        if isinstance(metadata, uid_json.Metadata):
            assert f".{document['encoding'].lower()}" == metadata.suffix
            assert document["sample_rate_hz"] == metadata.sample_rate_hz > 0


TABLES = Path(tempfile.mkdtemp())
atexit.register(shutil.rmtree, TABLES)


def check_table(data: bytes) -> None:
    (TABLES / "list.csv").write_bytes(data)
    try:
        table = open_table(TABLES, "list.csv", TableFile())
        rows = list(table.rows())
    except DataError as error:
        assert "list.csv: " in str(error)
        return
    assert all(column and column.isprintable() for column in table.columns)
    numbers = [number for number, _ in rows]
    assert numbers == sorted(set(numbers))
    for number, row in rows:
        if isinstance(row, Fault):
            assert row.line == number
            check_reason(row.reason)
        else:
            assert list(row) == table.columns
            assert all("\0" not in cell for cell in row.values())
            "".join(row.values()).encode("utf-8")


def check_path(text: str) -> None:
    path = parsed(lambda given: relative_path("/nowhere/root", given, follow_links=False), text)
    if path is not None:
        whole = os.path.normpath(f"/nowhere/root/{path}")
        assert whole.startswith("/nowhere/root/")
        assert whole == os.path.normpath(f"/nowhere/root/{text}")


def damaged(whole: bytes) -> st.SearchStrategy[bytes]:
    """A file with bytes overwritten, and cut somewhere."""

    def damage(parts: tuple[list[tuple[int, bytes]], int]) -> bytes:
        content = bytearray(whole)
        for place, piece in parts[0]:
            content[place : place + len(piece)] = piece
        return bytes(content[: parts[1]])

    place = st.integers(0, min(len(whole), 80)) | st.integers(0, len(whole))
    pieces = st.lists(st.tuples(place, st.binary(min_size=1, max_size=4)), max_size=4)
    return st.tuples(pieces, st.just(len(whole)) | st.integers(0, len(whole))).map(damage)


def make_wav() -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.linspace(-0.5, 0.5, 200), 4000, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


def make_workbook() -> bytes:
    book = openpyxl.Workbook()
    book.active.append(["HOSP_ID", "PEP1"])
    book.active.append([12345, 1])
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


PATHS = ["a.wav", "sub/../a.wav", "../a.wav", "./a.wav", "/a.wav", "a//b.wav", "sub/../../root/a.wav", "..", ".", "..."]
CHECKS: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], None]]] = {
    "lines": (documents(*CODES), check_lines),
    "cycles": (documents("0", "1", "0.5", "1.5", "2.5", "3"), check_cycles),
    "diagnoses": (documents("101", "URTI", "COPD", "NA", width=2), check_diagnoses),
    "demographics": (documents("101", "3", "F", "M", "NA", "19.5", width=6), check_demographics),
    "official list": (documents("101_1b1_Al_sc_Meditron", "train", "test", width=2), check_official_list),
    "HF labels": (documents("I", "E", "D", "Wheeze", *TIMES, width=3), check_hf_labels),
    "target names": (documents("crackle", "wheeze", width=1), check_target_names),
    "names": (mutated(STEMS), check_names),
    "words": (st.lists(tokens(*WORDS), max_size=5).map(" ".join) | st.text(max_size=20), check_words),
    "numbers": (tokens("0.5", "130", "131", "-0", "1e2") | st.from_regex(r"[0-9.eE+-]{1,8}"), check_numbers),
    "JORDAN's sheet": (sheets(jordan_names.HEADINGS, "70", "F", "P L L", "N", "asthma"), check_jordan_sheet),
    "BD's sheet": (sheets(bd.HEADINGS, "12345", "007", "1", "Uninterpretable"), check_bd_sheet),
    "SPRSound's json": (as_bytes(ANNOTATION | JSON) | st.binary(max_size=40), check_sprsound),
    "metadata": (as_bytes(METADATA | JSON) | st.binary(max_size=40), check_metadata),
    "delimited": (documents("path", "label", "a.wav", '"', '"a', width=2), check_table),
    "paths": (mutated(PATHS), check_path),
}


@pytest.mark.parametrize("name", CHECKS)
def test_no_text_breaks_a_parser_or_passes_unplaced(name: str) -> None:
    strategy, check = CHECKS[name]
    settings(max_examples=DEFAULT_EXAMPLES, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))(
        given(strategy)(check)
    )()


@pytest.mark.fuzz
@pytest.mark.parametrize("name", CHECKS)
def test_no_text_breaks_a_parser_in_two_hundred_thousand(name: str) -> None:
    strategy, check = CHECKS[name]
    n_examples = SLOW_EXAMPLES // len(CHECKS)
    settings(max_examples=n_examples, database=None, deadline=None, suppress_health_check=list(HealthCheck))(
        given(strategy)(check)
    )()


@pytest.mark.parametrize(
    ("whole", "n_examples"),
    [
        pytest.param(make_wav(), 150, id="wav"),
        pytest.param(make_workbook(), 40, id="workbook"),
        pytest.param(make_wav(), 10_000, id="wav-slow", marks=pytest.mark.fuzz),
        pytest.param(make_workbook(), 3_000, id="workbook-slow", marks=pytest.mark.fuzz),
    ],
)
def test_a_damaged_file_is_read_or_refused(whole: bytes, n_examples: int, tmp_path: Path) -> None:
    is_wav = whole[:4] == b"RIFF"
    path = tmp_path / ("a.wav" if is_wav else "a.xlsx")

    @settings(max_examples=n_examples, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(damaged(whole))
    def check(data: bytes) -> None:
        path.write_bytes(data)
        try:
            if is_wav:
                assert probe(path).duration_s > 0
            else:
                assert all(isinstance(cell, str) for _, cells in read_sheet(path) for cell in cells)
        except (DataError, MalformedError) as error:
            check_reason(str(error))

    check()
