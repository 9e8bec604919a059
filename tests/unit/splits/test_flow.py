import pandas as pd
import pytest
from pydantic import TypeAdapter

from auscult.config import SplitSettings
from auscult.datasets.flow import account, flow_table
from auscult.logs import stage_log
from auscult.splits.flow import FLOW_COLUMNS, flow_lines, split_flow
from auscult.splits.make_split import make_split
from auscult.storage.files import read_json, write_json
from auscult.storage.flow import FLOW_FILE
from auscult.storage.tables import Recording, Rejection, write_csv

PATIENTS = {"kind": "patients", "seed": 0}


@pytest.fixture
def flow(make_patients):
    """Six recordings of three patients read, one of them of nobody knows whom, and two lost."""
    read = make_patients(3)
    lost = [
        Rejection("a.wav", None, "empty: the file has 0 bytes"),
        Rejection("list.csv", 4, "missing: no such file", lost=Recording("icbhi/x", "icbhi/p0001", "x.wav")),
    ]
    return flow_table(read, lost, {"icbhi/p0002_0"})


def test_every_recording_stands_in_exactly_one_place(flow):
    names = flow.loc[flow["status"] == "read", "recording_id"].tolist()
    split = pd.DataFrame({"recording_id": names[:3], "split": ["train", "val", "test"]})
    counted = split_flow({"icbhi": flow}, split, {"no target is known": names[3:]})
    assert tuple(counted.columns) == FLOW_COLUMNS
    n = counted.groupby("step")["recordings"].sum()
    assert n["found"] == n["lost"] + n["read"] == 8
    assert n["read"] == n["left_out"] + n["used"] == 6
    assert n["used"] == n["train"] + n["val"] + n["test"]
    read = counted[counted["step"] == "read"].iloc[0]
    assert (read["patients"], read["patients_unknown"]) == (3, 1)


def test_the_lines_name_each_reason(flow):
    lines = flow_lines(split_flow({"icbhi": flow}, pd.DataFrame({"recording_id": [], "split": []}), {}))
    assert lines[0] == "icbhi: 8 recordings of 3 patients, 2 without a known patient found"
    assert "  lost: empty: 1 recording, 1 without a known patient" in lines
    assert "  lost: missing: 1 recording of 1 patient" in lines


def test_make_split_writes_the_flow_and_shows_it(make_patients, run_split, pneumonia, tmp_path, capfd):
    table = make_patients(30)
    table.loc[0, "label_diagnosis"] = None
    with stage_log(tmp_path / "log.txt"):
        _, audit = run_split(table, PATIENTS, pneumonia)
    written = pd.read_csv(tmp_path / "split.flow.csv", keep_default_na=False)
    assert written.to_dict("records") == audit["flow"]
    assert written.loc[written["step"] == "left_out", ["reason", "recordings"]].to_numpy().tolist() == [
        ["no target is known", 1]
    ]
    shown = capfd.readouterr().err
    assert "icbhi: 60 recordings of 30 patients found" in shown
    assert "  left out: no target is known: 1 recording of 1 patient" in shown
    assert "icbhi, pneumonia: negative because `others` says so: copd (40)" in shown
    assert audit["warnings"] == []


def test_recordings_of_unknown_patients_are_a_warning_of_the_split_too(make_patients, run_split, pneumonia, tmp_path):
    """The head of the report prints it: intervals are then over recordings, not over patients."""
    table = make_patients(30)
    run_split(table, PATIENTS, pneumonia)
    folder = tmp_path / "tables" / "icbhi"
    flow = flow_table(table, [], set(table["recording_id"]))
    write_csv(folder / FLOW_FILE, flow)
    write_json(folder / "summary.json", read_json(folder / "summary.json") | {"flow": account(flow, "icbhi")})
    settings = TypeAdapter(SplitSettings).validate_python(PATIENTS)
    make_split({"icbhi": folder}, settings, pneumonia, tmp_path / "other.csv", tmp_path / "other.json")
    (said,) = read_json(tmp_path / "other.json")["warnings"]
    assert said.startswith("patients unknown for 60 of 60 recordings of icbhi: each counts as a person of its own")
