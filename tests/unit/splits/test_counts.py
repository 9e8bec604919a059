"""What a recording holds at the level of clips, and what every part of a split must hold."""

import pandas as pd
import pytest

from auscult.config.task import EventRule, OverlapRule, TaskSettings
from auscult.errors import InfeasibleError
from auscult.splits.counts import recording_facts


@pytest.mark.parametrize(
    ("annotated_by", "events", "expected"),
    [
        ("recording", [], (False, True)),
        ("recording", [(0.0, 20.0, "crackle")], (True, False)),
        # Of ten parts of 2 s the last alone is negative.
        ("recording", [(0.0, 18.0, "crackle")], (True, True)),
        ("cycle", [(0.0, 20.0, "cycle"), (0.0, 12.1, "crackle"), (13.0, 18.0, "speech")], (True, False)),
        ("cycle", [(0.0, 10.0, "cycle"), (10.0, 20.0, "cycle"), (0.0, 10.0, "crackle")], (True, True)),
        ("cycle", [(0.0, 20.0, "speech")], (False, False)),
    ],
)
def test_a_recording_holds_what_its_parts_hold(annotated_by, events, expected):
    task = TaskSettings(
        description="t",
        type="binary",
        targets=("crackle",),
        level="clip",
        datasets={"icbhi": {"crackle": EventRule(events=("crackle",), annotated_by=(annotated_by,))}},
        overlap=OverlapRule(min_fraction=0.6, of="clip"),
    )
    recordings = pd.DataFrame({"recording_id": ["r"], "patient_id": ["p"], "dataset": ["icbhi"], "duration_s": [20.0]})
    table = pd.DataFrame(events, columns=["start_s", "end_s", "kind"]).assign(recording_id="r")
    facts = recording_facts(recordings, table, task)
    assert (bool(facts.positive[0, 0]), bool(facts.negative[0, 0])) == expected


def test_a_part_without_a_negative_is_refused(make_patients, pneumonia, run_split):
    ill = make_patients(6, dataset="jordan")
    ill["label_diagnosis"] = "pneumonia"
    settings = {"kind": "leave_dataset_out", "dataset": "jordan"}
    with pytest.raises(InfeasibleError, match="test holds no patient with a negative of 'pneumonia'"):
        run_split([make_patients(40), ill], settings, pneumonia)
