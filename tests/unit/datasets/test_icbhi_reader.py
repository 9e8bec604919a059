from collections.abc import Callable

import numpy as np
import pytest

from auscult.datasets.readers.icbhi_files import (
    Demographics,
    Diagnosis,
    parse_demographics,
    parse_diagnoses,
    parse_name,
    parse_official_list,
)
from auscult.datasets.readers.reading import MalformedError

STEM = "101_1b1_Al_sc_Meditron"
CYCLES = b"0.5\t1.5\t0\t1\n1.5\t2.5\t1\t0\n2.5\t3.5\t0\t0\n"


@pytest.mark.parametrize(
    ("stem", "reason"),
    [
        ("101_1b1_Al_sc", "name: .* has 4 parts"),
        ("x01_1b1_Al_sc_Meditron", "name: patient 'x01'"),
        ("101_1x1_Al_sc_Meditron", "name: recording '1x1'"),
        ("101_1b1_Al_sc_Meditron_events", "name: .* has 6 parts"),
    ],
)
def test_a_name_that_cannot_be_placed(stem: str, reason: str) -> None:
    with pytest.raises(MalformedError, match=reason):
        parse_name(stem)


def test_both_distributions_of_the_diagnoses_read_the_same() -> None:
    expected = [Diagnosis(1, "101", "urti"), Diagnosis(2, "102", "copd")]
    assert parse_diagnoses(b"101,URTI\r\n102,COPD") == (expected, [])
    assert parse_diagnoses(b"101\tURTI\n102\tCOPD\n") == (expected, [])


@pytest.mark.parametrize("separator", [" ", "\t", ","])
def test_both_distributions_of_the_demographics_read_the_same(separator: str) -> None:
    lines = [["101", "3", "F", "NA", "19", "99"], ["223", *["NA"] * 5]]
    data = "\r\n" + "\r\n".join(separator.join(line) for line in lines)
    assert parse_demographics(data.encode()) == (
        [Demographics(2, "101", 3.0, "female"), Demographics(3, "223", None, None)],
        [],
    )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"101 3 F NA 19", "columns: found 5, expected 6"),
        (b"x 3 F NA 19 99", "patient: 'x'"),
    ],
)
def test_a_bad_line_of_demographics(line: bytes, reason: str) -> None:
    rows, faults = parse_demographics(line)
    assert rows == []
    assert faults[0].reason.startswith(reason)


@pytest.mark.parametrize(
    ("line", "age_years", "sex", "odd"),
    [
        (b"101 131 F NA 19 99", None, "female", "age '131'"),
        (b"101 -1 F NA 19 99", None, "female", "age '-1'"),
        (b"101 nan F NA 19 99", None, "female", "age 'nan'"),
        (b"101 3 X NA 19 99", 3.0, None, "sex 'X'"),
        (b"101 3 F NA 0 99", 3.0, "female", "child weight '0'"),
        (b"101 3 F NA 19 tall", 3.0, "female", "child height 'tall'"),
    ],
)
def test_an_odd_age_sex_or_measure_is_unknown_and_the_rest_of_the_line_stays(
    line: bytes, age_years: float | None, sex: str | None, odd: str
) -> None:
    assert parse_demographics(line) == ([Demographics(1, "101", age_years, sex, (odd,))], [])


def test_an_odd_location_mode_device_age_or_sex_costs_no_recording_and_is_named(
    write_wav: Callable, write_text: Callable, run_ingest: Callable
) -> None:
    for number, stem in enumerate(("101_1b1_Xx_sc_Meditron", "101_1b2_Al_zz_Meditron", "102_1b1_Al_sc_iPhone")):
        write_wav(f"{stem}.wav", seed=number)
        write_text(f"{stem}.txt", CYCLES)
    write_text("patient_diagnosis.csv", b"101,URTI\r\n102,Pneumonia")
    write_text("demographic_info.txt", b"101 old F NA 19 99\n102 3 ? NA NA NA\n")
    result = run_ingest("icbhi")
    assert result.rejected == []
    assert result.summary["notices"]["not_understood"]["count"] == 5
    odd = {"location 'Xx'", "mode 'zz'", "device 'iPhone'", "age 'old'", "sex '?'"}
    assert set(result.summary["notices"]["not_understood"]["subjects"]) == odd
    row = result.row("set/101_1b1_Xx_sc_Meditron")
    assert (row["sex"], row["device"], row["attr_acquisition"]) == ("female", "Meditron", "sc")
    assert result.recordings[["attr_chest_location", "attr_acquisition", "device"]].isna().sum().tolist() == [1, 1, 1]


def test_one_stem_in_two_suffixes_is_a_named_duplicate(
    write_wav: Callable, write_text: Callable, run_ingest: Callable
) -> None:
    write_wav(f"{STEM}.wav")
    write_wav(f"{STEM}.flac", seed=1)
    write_text(f"{STEM}.txt", CYCLES)
    write_text("patient_diagnosis.csv", b"101,URTI")
    result = run_ingest("icbhi")
    assert result.fault_classes == [(f"{STEM}.wav", None, "duplicate id")]
    assert result.row(f"set/{STEM}")["path"] == f"{STEM}.flac"
    assert (result.events["kind"] == "cycle").sum() == 3


def test_a_bad_line_of_the_official_list() -> None:
    rows, faults = parse_official_list(f"{STEM}\tvalidation\n{STEM}\n{STEM}\ttest".encode())
    assert [(row.line, row.subset) for row in rows] == [(3, "test")]
    assert [fault.reason.split(":")[0] for fault in faults] == ["unknown subset", "columns"]


@pytest.fixture
def tree(write_wav: Callable, write_text: Callable) -> None:
    for number, stem in enumerate((STEM, "101_1b1_Pr_sc_Meditron", "102_2p3_Tc_mc_Litt3200")):
        write_wav(f"audio/{stem}.wav", seed=number)
        write_text(f"audio/{stem}.txt", CYCLES)
    write_text("patient_diagnosis.csv", b"101,URTI\r\n102,Pneumonia")
    write_text("demographic_info.txt", b"\r\n101 3 F NA 19 99\r\n102 0.75 M NA NA NA\r\n")
    write_text("filename_format.txt", b"an explanation")


def test_a_clean_tree_gives_every_fact_and_no_fault(tree: None, run_ingest: Callable) -> None:
    result = run_ingest("icbhi")
    assert result.rejected == []
    row = result.row(f"set/{STEM}")
    assert row["patient_id"] == "set/101"
    assert row["path"] == f"audio/{STEM}.wav"
    assert (row["device"], row["age_years"], row["sex"]) == ("Meditron", 3.0, "female")
    assert (row["label_diagnosis"], row["attr_chest_location"], row["attr_acquisition"]) == ("urti", "Al", "sc")
    assert result.kinds_of(f"set/{STEM}") == [
        (0.5, 1.5, "cycle"),
        (0.5, 1.5, "wheeze"),
        (1.5, 2.5, "cycle"),
        (1.5, 2.5, "crackle"),
        (2.5, 3.5, "cycle"),
    ]
    assert set(result.events["source"]) == {"icbhi"}
    assert result.summary["labels"]["diagnosis"] == {"counts": {"pneumonia": 1, "urti": 2}, "missing": 0}


def test_every_planted_fault_is_named_and_nothing_else(
    tree: None, write_wav: Callable, write_text: Callable, run_ingest: Callable, root
) -> None:
    whole = (root / f"audio/{STEM}.wav").read_bytes()
    write_text("audio/103_1b1_Al_sc_Meditron.wav", whole[:2000])
    write_text("audio/103_1b1_Al_sc_Meditron.txt", CYCLES)
    write_text("audio/103_1b1_Ar_sc_Meditron.wav", b"")
    write_text("audio/103_1b1_Ar_sc_Meditron.txt", CYCLES)
    write_text("audio/103_1b1_Pl_sc_Meditron.wav", b"this is text")
    write_text("audio/103_1b1_Pl_sc_Meditron.txt", CYCLES)
    write_wav("audio/104_1b1_Al_sc_Meditron.wav", duration_s=3.0)
    write_text("audio/104_1b1_Al_sc_Meditron.txt", b"0\t1\t0\t0\n2.5\t3.02\t1\t1\n3.1\t4\t1\t1\n1\t2.0\xff\t0\t0\n")
    write_wav("audio/104_1b1_Ar_sc_Meditron.wav")
    write_text("audio/105_1b1_Ar_sc_Meditron.txt", CYCLES)
    write_wav("copy/101_1b1_Al_sc_Meditron.wav", seed=9)
    write_text("copy/101_1b1_Al_sc_Meditron.txt", CYCLES)
    write_wav("audio/101_1b1_Al_sc_LittC2SE.wav")
    write_text("audio/101_1b1_Al_sc_LittC2SE.txt", CYCLES)
    write_wav("audio/104_1b1_Zz_sc_Meditron.wav")
    write_wav("audio/float.wav", subtype="FLOAT")
    write_text("audio/notes.doc", b"?")
    write_text("audio/README.txt", b"a document is no fault")
    write_text("patient_diagnosis.csv", b"101,URTI\n102,Pneumonia\n104,Flu\n102,COPD\n104\xe9,COPD\n")
    write_text("ICBHI_challenge_train_test.txt", f"{STEM}\ttrain\n{STEM}\ttrain\nnot a stem\ttest".encode())
    result = run_ingest("icbhi")
    assert result.fault_classes == [
        ("ICBHI_challenge_train_test.txt", 2, "duplicate recording"),
        ("ICBHI_challenge_train_test.txt", 3, "name"),
        ("audio/101_1b1_Al_sc_Meditron.wav", None, "duplicate id"),
        ("audio/103_1b1_Al_sc_Meditron.wav", None, "truncated"),
        ("audio/103_1b1_Ar_sc_Meditron.wav", None, "empty"),
        ("audio/103_1b1_Pl_sc_Meditron.wav", None, "no sound file"),
        ("audio/104_1b1_Al_sc_Meditron.txt", 3, "beyond the end"),
        ("audio/104_1b1_Al_sc_Meditron.txt", 4, "not UTF-8"),
        ("audio/104_1b1_Ar_sc_Meditron.wav", None, "missing cycle file"),
        ("audio/104_1b1_Zz_sc_Meditron.wav", None, "missing cycle file"),
        ("audio/105_1b1_Ar_sc_Meditron.txt", None, "missing wav"),
        ("audio/float.wav", None, "name"),
        ("audio/notes.doc", None, "not part of the layout"),
        ("copy/101_1b1_Al_sc_Meditron.txt", None, "duplicate cycle file"),
        ("copy/101_1b1_Al_sc_Meditron.wav", None, "duplicate id"),
        ("patient_diagnosis.csv", 3, "unknown diagnosis"),
        ("patient_diagnosis.csv", 4, "duplicate patient"),
        ("patient_diagnosis.csv", 5, "not UTF-8"),
    ]
    # The first of the two devices in the order of names is read; the other is the same recording.
    assert sorted(result.recordings["recording_id"]) == [
        "set/101_1b1_Al_sc_LittC2SE",
        "set/101_1b1_Pr_sc_Meditron",
        "set/102_2p3_Tc_mc_Litt3200",
        "set/104_1b1_Al_sc_Meditron",
        "set/104_1b1_Ar_sc_Meditron",
        "set/104_1b1_Zz_sc_Meditron",
    ]
    assert np.isnan(result.row("set/104_1b1_Ar_sc_Meditron")["age_years"])
    assert result.kinds_of("set/104_1b1_Ar_sc_Meditron") == []
    assert result.kinds_of("set/104_1b1_Al_sc_Meditron") == [
        (0.0, 1.0, "cycle"),
        (2.5, 3.0, "cycle"),
        (2.5, 3.0, "crackle"),
        (2.5, 3.0, "wheeze"),
    ]
    assert result.summary["notices"]["event_cut_at_end"]["count"] == 3
    # Patient 102 has two diagnoses in the file, 104 none that is known: both are unknown, neither is negative.
    assert result.summary["labels"]["diagnosis"] == {"counts": {"urti": 2}, "missing": 4}


def test_the_official_list_is_joined_without_the_device(tree: None, write_text: Callable, run_ingest: Callable) -> None:
    lines = [
        "101_1b1_Al_sc_LittC2SE\ttrain",
        "101_1b1_Pr_sc_Meditron\ttest",
        "156_1b1_Al_sc_Meditron\ttrain",
        "156_1b1_Pr_sc_Meditron\ttest",
    ]
    write_text("ICBHI_challenge_train_test.txt", "\n".join(lines).encode())
    result = run_ingest("icbhi")
    assert result.rejected == []
    sides = result.recordings.set_index("recording_id")["attr_official_split"]
    assert sides[f"set/{STEM}"] == "train"
    assert sides["set/101_1b1_Pr_sc_Meditron"] == "test"
    assert sides.isna()["set/102_2p3_Tc_mc_Litt3200"]
    notices = {kind: notice["subjects"] for kind, notice in result.summary["notices"].items()}
    assert notices == {
        "not_on_official_list": ["102_2p3_Tc_mc"],
        "official_list_absent": ["156_1b1_Al_sc_Meditron", "156_1b1_Pr_sc_Meditron"],
        "official_list_both_sides": ["101", "156"],
        "official_list_other_device": ["101_1b1_Al_sc"],
    }


def test_a_dataset_without_diagnoses_says_so_once(tree: None, root, run_ingest: Callable) -> None:
    (root / "patient_diagnosis.csv").unlink()
    result = run_ingest("icbhi")
    assert result.fault_classes == [("patient_diagnosis.csv", None, "missing diagnosis file")]
    assert result.summary["labels"]["diagnosis"] == {"counts": {}, "missing": 3}
    assert result.recordings["label_diagnosis"].dtype == "str"


def test_two_diagnosis_files_that_agree_are_no_fault(tree: None, write_text: Callable, run_ingest: Callable) -> None:
    write_text("ICBHI_Challenge_diagnosis.txt", b"101\tURTI\n102\tCOPD\n")
    result = run_ingest("icbhi")
    assert result.fault_classes == [("patient_diagnosis.csv", 2, "duplicate patient")]
    assert result.summary["labels"]["diagnosis"] == {"counts": {"urti": 2}, "missing": 1}
