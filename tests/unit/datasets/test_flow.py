import logging
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from pydantic import TypeAdapter

from auscult.config import DatasetSettings
from auscult.datasets.flow import account, account_lines, flow_table, is_a_recording, status_of
from auscult.datasets.ingest import ingest
from auscult.logs import stage_log
from auscult.storage.files import read_json
from auscult.storage.flow import FLOW_COLUMNS, FLOW_FILE, read_flow
from auscult.storage.tables import Recording, Rejection, read_recordings

COLUMNS = {"path": "file", "patient": "who", "sex": "sex", "age_years": "age", "site": "site", "labels": {"ill": "ill"}}


def settings(layout: str = "manifest", **options: object) -> DatasetSettings:
    return TypeAdapter(DatasetSettings).validate_python(
        {"description": "a test", "root": "data/set", "layout": layout, **options}
    )


def flow_of(
    lost: int, kept: int, *, lost_sex: str = "female", kept_sex: str = "male", **columns: object
) -> pd.DataFrame:
    """A flow of `lost` and `kept` patients with a recording each."""
    n = lost + kept
    return pd.DataFrame(
        {
            "recording_id": [f"set/{k}" for k in range(n)],
            "file": [f"{k}.wav" for k in range(n)],
            "line": pd.array([None] * n, dtype="Int64"),
            "patient_id": [f"set/p{k}" for k in range(n)],
            "patient_is_known": [True] * n,
            "sex": [lost_sex] * lost + ["male"] * kept,
            "age_years": [40.0 + k % 7 for k in range(n)],
            "site": [None] * n,
            "status": ["unreadable"] * lost + ["read"] * kept,
            "reason": ["empty: the file has 0 bytes"] * lost + [None] * kept,
            **columns,
        }
    )


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("missing: there is no file 'a.wav'", "no_audio"),
        ("missing folder: there is no folder 'a'", "no_audio"),
        ("empty: the file has 0 bytes", "unreadable"),
        ("truncated: the last Ogg page is cut", "unreadable"),
        ("duplicate id: set/a is a.wav already", "copy"),
        ("patient: who is empty or unknown", "rejected"),
    ],
)
def test_the_class_of_a_reason_gives_the_status(reason: str, status: str) -> None:
    assert status_of(Rejection("a.wav", None, reason)) == status


def test_what_stands_for_a_recording_and_what_does_not() -> None:
    manifest, fixed = settings(manifest="list.csv", columns=COLUMNS), settings("icbhi")
    assert is_a_recording(Rejection("a/b.WAV", None, "name: strange"), fixed)
    assert is_a_recording(Rejection("b.txt", None, "missing wav: no b.wav for this cycle file"), fixed)
    assert is_a_recording(Rejection("list.csv", 3, "fields: 4 found"), manifest)
    assert is_a_recording(Rejection("x.csv", 3, "x: y", lost=Recording("", "", "a.wav")), manifest)
    assert not is_a_recording(Rejection("b.txt", 2, "not a number: start"), fixed)
    assert not is_a_recording(Rejection("b.txt", None, "unreadable: no"), fixed)
    assert not is_a_recording(Rejection("a.wav", None, "unplaced: no", event_of="set/a"), manifest)


def test_every_row_of_a_collection_is_read_or_lost_with_its_reason(
    root: Path, write_wav: Callable, write_text: Callable, run_ingest: Callable
) -> None:
    for name in ("x/a.wav", "b.wav", "c.wav"):
        write_wav(name)
    write_text("broken.wav", b"")
    rows = ["file,who,sex,age,site,ill", "x/a.wav,1,M,40,north,yes", "b.wav,2,F,50,south,no"]
    rows += ["broken.wav,3,F,60,south,yes", "gone.wav,2,F,50,south,no", "c.wav,,F,50,south,no", ",4,M,20,north,no"]
    write_text("list.csv", "\n".join(rows).encode())

    found = run_ingest("manifest", manifest="list.csv", columns=COLUMNS)

    flow = read_flow(root.parent / "tables" / FLOW_FILE)
    assert tuple(flow.columns) == (*FLOW_COLUMNS, "label_ill")
    assert sorted(flow["status"]) == ["no_audio", "read", "read", "rejected", "rejected", "unreadable"]
    lost = flow[flow["status"] == "no_audio"].iloc[0]
    assert (lost["file"], lost["line"], lost["patient_id"], lost["sex"], lost["label_ill"]) == (
        "list.csv",
        5,
        "set/2",
        "female",
        "no",
    )
    said = found.summary["flow"]
    assert said["found"]["recordings"] == said["read"]["recordings"] + sum(row["recordings"] for row in said["lost"])
    assert said["patients_lost"] == 2, "patients 3 and 4 have no recording that is read"
    assert {row["reason"]: row["recordings"] for row in said["lost"]} == {
        "empty": 1,
        "missing": 1,
        "path": 1,
        "patient": 1,
    }
    folders = found.recordings.set_index("recording_id")["attr_folder"].to_dict()
    assert folders == {"set/x/a": "x", "set/b": "."}


def test_a_file_without_annotations_is_read_and_not_lost(write_wav: Callable, run_ingest: Callable) -> None:
    write_wav("101_1b1_Al_sc_Meditron.wav")
    said = run_ingest("icbhi").summary
    assert said["rejected"]["total"] > 0
    assert said["flow"]["lost"] == []


def test_recordings_of_unknown_patients_are_counted_and_warned_of(write_wav: Callable, run_ingest: Callable) -> None:
    for name in ("P1/visit1/a.wav", "P2/visit1/a.wav"):
        write_wav(name)
    said = run_ingest("manifest").summary["flow"]
    assert said["read"] == {"recordings": 2, "patients": 0, "patients_unknown": 2}
    assert said["warnings"] == [
        "patients unknown for 2 of 2 recordings of set: each counts as a person of its own; split and intervals are "
        "over recordings"
    ]


def test_the_terminal_shows_what_is_lost_at_the_end_of_ingest(
    root: Path, write_wav: Callable, write_text: Callable, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    write_wav("a.wav")
    write_text("b.wav", b"")
    with stage_log(tmp_path / "log.txt"):
        ingest(root, "set", settings(), tmp_path / "out")
        logging.getLogger("auscult").info("only for the file")
    shown = capfd.readouterr().err
    assert "set: 2 recordings, 2 without a known patient found, 1 read" in shown
    assert "  lost: empty: 1 recording, 1 without a known patient" in shown
    assert "WARNING: 1 of 2 (50.0%) recordings of set are lost; rejected.csv beside its tables names each" in shown
    assert "only for the file" not in shown


def test_a_name_that_is_no_utf8_is_in_the_flow_too(root: Path, write_wav: Callable, tmp_path: Path) -> None:
    write_wav("a.wav")
    with open(bytes(root) + b"/caf\xe9.wav", "wb") as stream:
        stream.write((root / "a.wav").read_bytes())
    ingest(root, "set", settings(), tmp_path / "out")
    flow = read_flow(tmp_path / "out" / FLOW_FILE)
    assert flow.loc[flow["status"] == "rejected", "file"].tolist() == ["caf\\xe9.wav"]


def test_a_loss_of_all_women_is_told() -> None:
    said = account(flow_of(lost=12, kept=40), "set")
    assert [(row["by"], row["lost"], row["n_lost"], row["kept"]) for row in said["differences"]][:1] == [
        ("sex", 12, 12, 0)
    ]
    assert any(
        "the lost of set differ from the kept by sex: 'female' holds for 12 of 12 (100.0%) against 0 of 40 (0.0%)"
        in text
        for text in said["warnings"]
    )
    assert account_lines(said, "set")[0] == "set: 52 recordings of 52 patients found, 40 read"


@pytest.mark.parametrize("lost", [0, 4])
def test_few_lost_say_nothing_about_whom_the_loss_strikes(lost: int) -> None:
    assert account(flow_of(lost=lost, kept=100), "set")["differences"] == []


def test_a_patient_counts_once_on_a_side() -> None:
    """A hundred lost recordings of one woman are one patient, which is no pattern."""
    flow = flow_of(lost=100, kept=40)
    flow.loc[flow["status"] != "read", "patient_id"] = "set/one"
    assert account(flow, "set")["differences"] == []


def test_ages_are_compared_by_rank_and_labels_by_value() -> None:
    flow = flow_of(10, 40, lost_sex="male", label_ill=["yes"] * 10 + ["no"] * 40)
    flow.loc[flow["status"] != "read", "age_years"] = 80.0
    assert {row["by"] for row in account(flow, "set")["differences"]} == {"age", "label ill"}


def test_a_recording_that_two_rows_describe_is_lost_once(
    tmp_path: Path, write_wav: Callable, run_ingest: Callable
) -> None:
    write_wav("a.wav")
    run_ingest("manifest")
    gone = Recording("set/b", "set/2", "b.wav")
    rejections = [Rejection("list.csv", line, "missing: no file", lost=gone) for line in (3, 4)]
    flow = flow_table(read_recordings(tmp_path / "tables" / "recordings.parquet"), rejections, set())
    assert flow["line"].dropna().tolist() == [3]


def test_the_summary_and_the_flow_agree(root: Path, write_wav: Callable, tmp_path: Path) -> None:
    write_wav("a.wav")
    ingest(root, "set", settings(), tmp_path / "out")
    flow = read_flow(tmp_path / "out" / FLOW_FILE)
    assert account(flow, "set") == read_json(tmp_path / "out" / "summary.json")["flow"]


@pytest.mark.parametrize(("kept", "is_warned"), [(99, False), (98, True)])
def test_more_than_one_in_a_hundred_lost_is_a_warning_of_recordings_and_of_patients(kept: int, is_warned: bool) -> None:
    warnings = account(flow_of(lost=1, kept=kept), "set")["warnings"]
    assert [text.split(";")[0].split(":")[0] for text in warnings] == is_warned * [
        "1 of 99 (1.0%) recordings of set are lost",
        "1 of 99 (1.0%) patients of set are lost",
    ]


def test_a_loss_of_one_site_is_told() -> None:
    flow = flow_of(lost=12, kept=40, lost_sex="male", site=["north"] * 12 + ["south"] * 40)
    (found,) = account(flow, "set")["differences"]
    assert (found["by"], found["value"], found["lost"], found["kept"]) == ("site", "north", 12, 0)
