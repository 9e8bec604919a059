from collections.abc import Callable

import pytest

from auscult.datasets.readers.jordan import HEADINGS, parse_diagnosis, parse_location, parse_name, parse_sounds
from auscult.datasets.readers.reading import MalformedError


@pytest.mark.parametrize(
    ("text", "diagnosis"),
    [
        ("N", "normal"),
        ("Asthma", "asthma"),
        ("asthma ", "asthma"),
        ("copd", "copd"),
        ("BRON", "bron"),
        ("Plueral Effusion", "pleural effusion"),
        ("Lung Fibrosis", "lung fibrosis"),
        ("heart  failure", "heart failure"),
        ("Heart Failure + COPD", "heart failure+copd"),
        ("Heart Failure + Lung Fibrosis ", "heart failure+lung fibrosis"),
        ("Asthma and lung fibrosis", "asthma+lung fibrosis"),
        ("Pneumonia", "pneumonia"),
        ("COPD+copd", "copd"),
    ],
)
def test_every_spelling_of_a_diagnosis(text: str, diagnosis: str) -> None:
    assert parse_diagnosis(text) == diagnosis


@pytest.mark.parametrize("text", ["", "Pnemonia", "COPD +", "N + COPD", "band"])
def test_a_diagnosis_that_is_none_is_never_taken_for_a_negative(text: str) -> None:
    with pytest.raises(MalformedError, match=r"^unknown diagnosis"):
        parse_diagnosis(text)


@pytest.mark.parametrize(
    ("text", "sounds"),
    [
        ("N", "normal"),
        ("E W", "wheeze"),
        ("I E W", "wheeze"),
        ("C", "crackles"),
        ("I C", "crackles"),
        ("I C E W", "crackles+wheeze"),
        ("Crep", "crackles"),
        ("Bronchial", "bronchial"),
        ("I C B", "crackles+unclear"),
        ("B", "unclear"),
        ("E", "unclear"),
        ("I E", "unclear"),
        ("", "unclear"),
        ("N C", "unclear"),
        ("Rub", "unclear"),
        ("W ?", "unclear+wheeze"),
    ],
)
def test_phases_are_no_sounds_and_what_is_unclear_says_so(text: str, sounds: str) -> None:
    assert parse_sounds(text) == sounds


@pytest.mark.parametrize("text", ["", "X L L", "P L L L L", "1"])
def test_an_unknown_location(text: str) -> None:
    with pytest.raises(MalformedError, match=r"^unknown location"):
        parse_location(text)


@pytest.mark.parametrize(
    ("stem", "reason"),
    [
        ("BP1_N,N,P L L,70", "name: .* has 4 parts"),
        ("XP1_N,N,P L L,70,M", "name: 'XP1_N' does not open"),
        ("BP_N,N,P L L,70,M", "name: 'BP_N' does not open"),
        ("BP1 N,N,P L L,70,M", "name: 'BP1 N' does not open"),
    ],
)
def test_a_name_that_cannot_be_placed(stem: str, reason: str) -> None:
    with pytest.raises(MalformedError, match=f"^{reason}"):
        parse_name(stem)


@pytest.fixture
def tree(write_wav: Callable, write_sheet: Callable) -> None:
    for number, letter in enumerate("BDE"):
        write_wav(f"Audio Files/{letter}P1_Asthma,E W,P L L ,70,M.wav", seed=number)
        write_wav(f"Audio_Files/{letter}P2_Heart Failure + COPD,I C B,A R U,64,F.wav", seed=10 + number)
    write_sheet(
        "Data annotation.xlsx",
        [
            [*HEADINGS, None, None, None, None, "Legend"],
            [70, "M", "P L L", "E W", "asthma ", None, None, None, None, "I: inspiratory"],
            [64.0, "F", "A R U", "I C B", "Heart Failure + COPD"],
            [None, None, None, None, None, None, None, None, None, "C: crackles"],
        ],
    )


def test_a_clean_tree_gives_every_fact_and_no_fault(tree: None, run_ingest: Callable) -> None:
    result = run_ingest("jordan")
    assert result.rejected == []
    row = result.row("set/DP2")
    assert (row["patient_id"], row["age_years"], row["sex"]) == ("set/2", 64.0, "female")
    assert (row["label_diagnosis"], row["label_sounds"]) == ("heart failure+copd", "crackles+unclear")
    assert (row["attr_filter"], row["attr_chest_location"]) == ("diaphragm", "A R U")
    assert result.summary["notices"] == {
        "unclear_sound": {
            "count": 3,
            "subjects": [f"Audio_Files/{letter}P2_Heart Failure + COPD,I C B,A R U,64,F.wav" for letter in "BDE"],
        }
    }
    assert len(result.events) == 0


def test_where_the_sheet_says_otherwise_the_name_stands_and_it_is_noticed(
    tree: None, write_sheet: Callable, write_wav: Callable, run_ingest: Callable
) -> None:
    write_sheet(
        "Data annotation.xlsx",
        [
            list(HEADINGS),
            [71, "M", "P L L", "E W", "pneumonia"],
            [64, "F", "A R U", "I C B", "COPD"],
            [50, "F", "P L L", "N", "N"],
        ],
    )
    write_wav("Audio Files/BP4_N,N,P R L,30,F.wav")
    write_wav("Audio Files/DP4_N,N,P R L,31,F.wav")
    result = run_ingest("jordan")
    assert result.rejected == []
    assert result.row("set/BP1")["label_diagnosis"] == "asthma"
    counts = {kind: (notice["count"], notice["subjects"]) for kind, notice in result.summary["notices"].items()}
    assert counts["annotation_differs"] == (3, ["1", "1", "2"])
    assert counts["filters_differ"] == (1, ["4"])
    assert counts["filter_missing"] == (1, ["4"])
    assert counts["patient_without_row"] == (1, ["4"])
    assert counts["row_without_recording"] == (1, ["3"])


def test_every_planted_fault_is_named_and_nothing_else(
    tree: None, write_wav: Callable, write_text: Callable, write_sheet: Callable, run_ingest: Callable
) -> None:
    write_wav("Audio Files/BP3_Pnemonia,C,P L L,40,F.wav")
    write_wav("Audio Files/BP4_N,N,P L L,forty,F.wav")
    write_wav("Audio Files/BP5_N,N,P L L,40.wav")
    write_wav("Audio Files/CP6_N,N,P L L,40,F.wav")
    write_wav("Audio Files/BP7_N,N,somewhere,40,F.wav")
    write_wav("Audio Files/BP8_N,N,P L L,40,?.wav")
    write_text("Audio Files/BP9_N,N,P L L,40,F.wav", b"")
    write_text("Audio Files/DP9_N,N,P L L,40,F.wav", b"text")
    write_wav("Audio Files/BP01_N,N,P L L,40,F.wav")
    write_text("Audio Files/BP1.txt", b"0\t1\t0\t0\n")
    write_text("copy/Data_annotation.xlsx", b"text")
    write_sheet(
        "Data annotation.xlsx",
        [
            ["A table of KAUH"],
            list(HEADINGS),
            [70, "M", "P L L", "E W", "asthma"],
            [64, "F", "A R U", "I C B", "Heart Failure + COPD"],
            [40, "F", "P L L", "C", "Pnemonia"],
            ["Total", 3],
            [None, "M / F"],
        ],
    )
    result = run_ingest("jordan")
    assert result.fault_classes == [
        ("Audio Files/BP1.txt", None, "not part of the layout"),
        ("Audio Files/BP1_Asthma,E W,P L L ,70,M.wav", None, "duplicate id"),
        ("Audio Files/BP3_Pnemonia,C,P L L,40,F.wav", None, "unknown diagnosis"),
        ("Audio Files/BP5_N,N,P L L,40.wav", None, "name"),
        ("Audio Files/BP9_N,N,P L L,40,F.wav", None, "empty"),
        ("Audio Files/CP6_N,N,P L L,40,F.wav", None, "name"),
        ("Audio Files/DP9_N,N,P L L,40,F.wav", None, "no sound file"),
        ("Data annotation.xlsx", 5, "unknown diagnosis"),
        ("Data annotation.xlsx", 6, "not a patient row"),
        ("Data annotation.xlsx", 7, "not a patient row"),
        ("copy/Data_annotation.xlsx", None, "duplicate sheet"),
    ]
    odd = {"age 'forty'", "location 'somewhere'", "sex '?'"}
    assert set(result.summary["notices"]["not_understood"]["subjects"]) == odd
    assert result.row("set/BP4").isna()["age_years"]
    # The recording of the misspelt diagnosis stays, and its diagnosis is unknown, not something other than pneumonia.
    row = result.row("set/BP3")
    assert row.isna()["label_diagnosis"]
    assert row["label_sounds"] == "crackles"


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04broken"])
def test_a_sheet_that_is_none_does_not_stop_the_names(
    tree: None, write_text: Callable, run_ingest: Callable, content: bytes
) -> None:
    write_text("Data annotation.xlsx", content)
    result = run_ingest("jordan")
    assert result.fault_classes == [("Data annotation.xlsx", None, "not a workbook")]
    assert len(result.recordings) == 6


def test_a_missing_sheet_is_noticed(tree: None, root, run_ingest: Callable) -> None:
    (root / "Data annotation.xlsx").unlink()
    result = run_ingest("jordan")
    assert result.rejected == []
    assert "annotation_missing" in result.summary["notices"]


def test_a_sheet_without_the_headings_is_one_fault(tree: None, write_sheet: Callable, run_ingest: Callable) -> None:
    write_sheet("Data annotation.xlsx", [["Age", "Gender"], [70, "M"]])
    result = run_ingest("jordan")
    assert [(file, line) for file, line, _ in result.rejected] == [("Data annotation.xlsx", None)]
    assert "no row holds all of Age, Gender, Location, Sound type, Diagnosis" in result.rejected[0][2]


def test_an_odd_age_or_sex_in_the_sheet_costs_no_row_and_is_no_difference(
    write_wav: Callable, write_sheet: Callable, run_ingest: Callable
) -> None:
    write_wav("Audio Files/BP1_Asthma,E W,P L L,70,M.flac")
    write_sheet("Data annotation.xlsx", [list(HEADINGS), ["seventy", "M", "P L L", "E W", "asthma"]])
    result = run_ingest("jordan")
    assert result.rejected == []
    assert result.row("set/BP1")["age_years"] == 70
    assert set(result.summary["notices"]) == {"filter_missing", "not_understood"}
    assert result.summary["notices"]["not_understood"]["subjects"] == ["age 'seventy'"]
