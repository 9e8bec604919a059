from collections.abc import Callable

import pytest
from pydantic import TypeAdapter, ValidationError

from auscult.config import DatasetSettings
from auscult.datasets.readers.perch import parse_name
from auscult.datasets.readers.reading import MalformedError

CYCLES = b"0.5\t1.5\t0\t1\n1.5\t2.5\t1\t0\n"


@pytest.mark.parametrize("layout", ["antwerp", "antwerp_sim"])
def test_antwerp_is_icbhis_layout_with_any_device(
    layout: str, write_wav: Callable, write_text: Callable, run_ingest: Callable
) -> None:
    write_wav("301_1b1_Al_sc_Eko500.wav")
    write_text("301_1b1_Al_sc_Eko500.txt", CYCLES)
    result = run_ingest(layout)
    assert result.rejected == []
    assert result.summary["notices"] == {}
    assert result.row("set/301_1b1_Al_sc_Eko500")["device"] == "Eko500"
    assert not [column for column in result.recordings if column.startswith("label_")]
    assert set(result.events["source"]) == {layout}
    assert result.summary["events"]["cycle"]["count"] == 2


def test_antwerp_takes_labels_from_a_diagnosis_file_beside(
    write_wav: Callable, write_text: Callable, run_ingest: Callable
) -> None:
    write_wav("301_1b1_Al_sc_Eko500.wav")
    write_text("301_1b1_Al_sc_Eko500.txt", CYCLES)
    write_text("patient_diagnosis.csv", b"301,COPD\n")
    assert run_ingest("antwerp").row("set/301_1b1_Al_sc_Eko500")["label_diagnosis"] == "copd"


def test_antwerp_reads_other_names_by_a_pattern(
    write_wav: Callable, write_text: Callable, run_ingest: Callable
) -> None:
    for number, stem in enumerate(("P07-left-1", "P07-left-2", "P08-right-1", "unnamed")):
        write_wav(f"{stem}.wav", seed=number)
        write_text(f"{stem}.txt", CYCLES)
    result = run_ingest("antwerp", pattern=r"(?P<patient>P[0-9]+)-(?P<location>[a-z]+)-[0-9]+")
    assert result.fault_classes == [("unnamed.wav", None, "name")]
    assert list(result.recordings["patient_id"]) == ["set/P07", "set/P07", "set/P08"]
    assert list(result.recordings["attr_chest_location"]) == ["left", "left", "right"]
    assert result.summary["events"]["cycle"]["count"] == 6


@pytest.mark.parametrize(
    ("layout", "pattern", "reason"),
    [
        ("antwerp", "(?P<who>.+)", "must name the group patient"),
        ("antwerp", "(?P<patient>.+)(?P<age>x)", "may name location, mode, device"),
        ("antwerp", "(", "no regular expression"),
        ("icbhi", "(?P<patient>.+)", "pattern belongs to the layouts antwerp"),
    ],
)
def test_a_pattern_that_cannot_work_is_refused(layout: str, pattern: str, reason: str) -> None:
    raw = {"description": "a test", "root": "x", "layout": layout, "pattern": pattern}
    with pytest.raises(ValidationError, match=reason):
        TypeAdapter(DatasetSettings).validate_python(raw)


def test_the_faults_of_antwerp_are_named(write_wav: Callable, write_text: Callable, run_ingest: Callable) -> None:
    good = "301_1b1_Al_sc_Eko500"
    write_wav(f"{good}.wav")
    write_text(
        f"{good}.txt", b"0.5\t1.5\t0\t1\n1.5\t1.0\t1\t0\n2\t2\t0\t0\n1\t3\t0\t0\n0\t0.4\t5\t0\n0 0.4 1\n9\t10\t0\t0\n"
    )
    write_text("302_1b1_Al_sc_Eko500.wav", b"RIFF")
    write_wav("303_1b1_Al_sc_Eko-500.wav")
    write_wav("303_1b1_Al_sc.wav")
    write_wav("304_1b1_Al_sc_Eko500.wav")
    write_text("305_1b1_Al_sc_Eko500.txt", CYCLES)
    write_text("sheet.xlsx", b"")
    assert run_ingest("antwerp").fault_classes == [
        (f"{good}.txt", 2, "reversed"),
        (f"{good}.txt", 3, "zero length"),
        (f"{good}.txt", 4, "overlap"),
        (f"{good}.txt", 5, "flag"),
        (f"{good}.txt", 6, "columns"),
        (f"{good}.txt", 7, "beyond the end"),
        ("302_1b1_Al_sc_Eko500.wav", None, "missing cycle file"),
        ("302_1b1_Al_sc_Eko500.wav", None, "unreadable"),
        ("303_1b1_Al_sc.wav", None, "name"),
        ("303_1b1_Al_sc_Eko-500.wav", None, "missing cycle file"),
        ("304_1b1_Al_sc_Eko500.wav", None, "missing cycle file"),
        ("305_1b1_Al_sc_Eko500.txt", None, "missing wav"),
        ("sheet.xlsx", None, "not part of the layout"),
    ]


@pytest.mark.parametrize(
    "stem", ["Z02666-08", "z02666-08.wav_F", "Z2666-08.wav_F", "Z02666_08.wav_F", "Z02666-8.wav_F"]
)
def test_a_perch_name_that_cannot_be_placed(stem: str) -> None:
    with pytest.raises(MalformedError, match="is not like Z02666-08"):
        parse_name(stem)


def test_perch_reads_patient_site_and_position_and_names_its_faults(
    write_wav: Callable, write_text: Callable, run_ingest: Callable
) -> None:
    for position in ("01", "08"):
        write_wav(f"sub/Z02666-{position}.wav_F.wav", seed=int(position))
        write_text(f"sub/Z02666-{position}.wav_F.txt", CYCLES)
    write_text("sub/Z02666-02.wav_F.txt", CYCLES)
    write_text("sub/Z02667-01.wav_F.wav", b"")
    write_text("sub/Z02667-01.wav_F.txt", CYCLES)
    write_text("sub/Z02668-01.wav_F.wav", b"not audio")
    write_text("sub/Z02668-01.wav_F.txt", CYCLES)
    write_wav("sub/Z02669-01.wav_F.wav")
    write_wav("sub/Z02669-02.wav_F.wav", duration_s=1.0)
    write_text(
        "sub/Z02669-02.wav_F.txt", b"-1\t0.5\t0\t0\nNaN\t0.5\t0\t0\n0.1\t0.5\t0\n0.5\t0.99\t0\t0\n1.5\t2\t1\t1\n"
    )
    write_wav("sub/other.wav")
    write_wav("twin/Z02666-08.wav_F.wav")
    write_text("sub/labels.json", b"{}")
    result = run_ingest("perch")
    row = result.row("set/Z02666-08.wav_F")
    assert (row["patient_id"], row["site"], row["attr_position"]) == ("set/Z02666", "Z", "08")
    assert result.fault_classes == [
        ("sub/Z02666-02.wav_F.txt", None, "missing wav"),
        ("sub/Z02667-01.wav_F.wav", None, "empty"),
        ("sub/Z02668-01.wav_F.wav", None, "no sound file"),
        ("sub/Z02669-01.wav_F.wav", None, "missing cycle file"),
        ("sub/Z02669-02.wav_F.txt", 1, "negative time"),
        ("sub/Z02669-02.wav_F.txt", 2, "not a number"),
        ("sub/Z02669-02.wav_F.txt", 3, "columns"),
        ("sub/Z02669-02.wav_F.txt", 5, "beyond the end"),
        ("sub/labels.json", None, "not part of the layout"),
        ("sub/other.wav", None, "name"),
        ("twin/Z02666-08.wav_F.wav", None, "duplicate id"),
    ]
    assert len(result.recordings) == 4
    assert result.summary["sites"] == {"Z": 4}
