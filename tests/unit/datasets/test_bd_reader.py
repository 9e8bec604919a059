from collections.abc import Callable

import pytest

from auscult.datasets.readers.bd import LABEL_FILE, parse_endpoints, parse_folder, parse_name
from auscult.datasets.readers.reading import MalformedError

AUDIO = "PCV_SEGMENTED_Processed_Files"


@pytest.mark.parametrize("stem", ["0012345_190203_001-2_F", "0012345-190203-001-2-F", "0012345_190203-001_2_F"])
def test_both_separators_name_one_recording(stem: str) -> None:
    name = parse_name(stem)
    assert (name.recording, name.patient, name.position) == ("0012345_190203_001-2_F", "12345", "2")


@pytest.mark.parametrize("stem", ["12345_190203_001-2", "12345_1902_001-2_F", "x_190203_001-2_F", "12345_190203_001_F"])
def test_a_name_that_cannot_be_placed(stem: str) -> None:
    with pytest.raises(MalformedError, match="is not like 0012345_190203_001-2_F"):
        parse_name(stem)


@pytest.mark.parametrize("name", ["12345", "12345_SEGMENTED_2", "x_SEGMENTED"])
def test_a_folder_that_cannot_be_placed(name: str) -> None:
    with pytest.raises(MalformedError, match=r"^folder"):
        parse_folder(name)


def test_endpoints_are_found_by_their_headings_wherever_they_stand() -> None:
    rows = [(1, ["Study of 2015"]), (2, ["SL", " pep1 ", "Hosp_id"]), (3, ["1", "1", "007"]), (4, ["2", "", "8"])]
    endpoints, faults = parse_endpoints(rows)
    assert [(row.patient, row.pep1) for row in endpoints] == [("7", "1"), ("8", None)]
    assert faults == []


@pytest.fixture
def tree(write_wav: Callable, write_sheet: Callable) -> None:
    for patient, number in (("0012345", 1), ("23456", 2), ("34567", 3)):
        for position in range(1, 4):
            write_wav(f"{AUDIO}/{patient}_SEGMENTED/{patient}_190203_001-{position}_F.wav", seed=10 * number + position)
    write_sheet(
        LABEL_FILE,
        [
            ["SL", "HOSP_ID", "SEX", "PEP1"],
            [1, 12345, "M", 1],
            [2, "23456", "F", 0.0],
            [3, 34567.0, "F", " Uninterpretable"],
        ],
    )


def test_a_clean_tree_joins_labels_in_spite_of_lost_zeros(tree: None, run_ingest: Callable) -> None:
    result = run_ingest("bd")
    assert result.rejected == []
    assert result.summary["notices"] == {}
    labels = result.recordings.groupby("patient_id")["label_pep1"].first()
    assert labels.to_dict() == {"set/12345": "1", "set/23456": "0", "set/34567": "uninterpretable"}
    row = result.row("set/0012345_190203_001-2_F")
    assert (row["attr_session"], row["attr_position"]) == ("190203_001", "2")


def test_every_planted_fault_is_named_and_nothing_else(
    tree: None, write_wav: Callable, write_text: Callable, write_sheet: Callable, run_ingest: Callable
) -> None:
    folder = f"{AUDIO}/0012345_SEGMENTED"
    write_wav(f"{folder}/0012345-190203-001-1-F.wav")
    write_wav(f"{folder}/99999_190203_001-4_F.wav")
    write_wav(f"{folder}/0012345_1902_001-4_F.wav")
    write_text(f"{folder}/0012345_190203_001-5_F.wav", b"")
    write_text(f"{folder}/0012345_190203_001-6_F.wav", b"text")
    write_text(f"{folder}/notes.txt", b"text")
    write_wav(f"{AUDIO}/elsewhere/0012345_190203_002-1_F.wav")
    write_wav("0012345_190203_003-1_F.wav")
    write_wav(f"{AUDIO}/45678_SEGMENTED/45678_190203_001-1_F.wav")
    write_sheet(
        LABEL_FILE,
        [
            ["SL", "HOSP_ID", "PEP1"],
            [1, 12345, 1],
            [2, 23456, 0],
            [3, 34567, "maybe"],
            [4, "no id", 1],
            [5, None, 1],
            [6, 23456, 1],
            [7, 12345, 1],
            [8, 56789, 0],
            [None, None, None],
            [9, 12.5, 1],
        ],
    )
    result = run_ingest("bd")
    assert result.fault_classes == [
        ("0012345_190203_003-1_F.wav", None, "folder"),
        (LABEL_FILE, 4, "unknown label"),
        (LABEL_FILE, 5, "patient"),
        (LABEL_FILE, 6, "patient"),
        (LABEL_FILE, 7, "duplicate patient"),
        (LABEL_FILE, 8, "duplicate patient"),
        (LABEL_FILE, 11, "patient"),
        (f"{folder}/0012345_190203_001-1_F.wav", None, "duplicate id"),
        (f"{folder}/0012345_190203_001-5_F.wav", None, "empty"),
        (f"{folder}/0012345_190203_001-6_F.wav", None, "no sound file"),
        (f"{folder}/0012345_1902_001-4_F.wav", None, "name"),
        (f"{folder}/99999_190203_001-4_F.wav", None, "folder"),
        (f"{folder}/notes.txt", None, "not part of the layout"),
        (f"{AUDIO}/elsewhere/0012345_190203_002-1_F.wav", None, "folder"),
    ]
    labels = result.recordings.groupby("patient_id")["label_pep1"].first()
    assert labels["set/12345"] == "1", "said twice, both times alike"
    assert labels.isna().to_dict() == {
        "set/12345": False,
        "set/23456": True,
        "set/34567": True,
        "set/45678": True,
    }
    notices = {kind: notice["subjects"] for kind, notice in result.summary["notices"].items()}
    assert notices == {
        "few_recordings": ["45678"],
        "patient_without_row": ["34567", "45678"],
        "row_without_recording": ["56789"],
    }


def test_without_the_sheet_all_labels_are_unknown_and_it_is_said(tree: None, root, run_ingest: Callable) -> None:
    (root / LABEL_FILE).unlink()
    result = run_ingest("bd")
    assert result.fault_classes == [(LABEL_FILE, None, "missing label file")]
    assert result.summary["labels"] == {"pep1": {"counts": {}, "missing": 9}}
