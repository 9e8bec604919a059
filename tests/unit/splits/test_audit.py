"""The audit finds leaks by itself, whoever made the split."""

import json

import pandas as pd
import pytest

from auscult.errors import DataError
from auscult.splits.audit import find_leaks, refuse_leaks

PATIENTS = {"kind": "patients"}


def split_of(table, sides):
    columns = table[["recording_id", "patient_id", "dataset"]]
    return columns.assign(split=sides).astype({"split": "str"})


def test_a_patient_on_two_sides_is_found(make_patients):
    table = make_patients(2)
    split = split_of(table, ["train", "test", "val", "val"])
    found = find_leaks(table, split, overlap_allowed=False)
    assert [(finding.kind, finding.severity, finding.ids) for finding in found] == [
        ("patient_overlap", "error", ["icbhi/p0000"])
    ]
    with pytest.raises(DataError, match=r"patient_overlap: 1 of 2 patients.*icbhi/p0000\n    To mend it: divide by"):
        refuse_leaks(found)
    declared = find_leaks(table, split, overlap_allowed=True)
    assert [finding.severity for finding in declared] == ["declared"]
    refuse_leaks(declared)


def test_equal_sound_of_different_patients_across_sides_is_a_leak_even_when_overlap_is_declared(make_patients):
    table = make_patients(3, per_patient=1, sha256=["same", "same", "other"])
    for allowed in (False, True):
        found = find_leaks(table, split_of(table, ["train", "test", "val"]), overlap_allowed=allowed)
        assert [(finding.kind, finding.severity, finding.ids) for finding in found] == [
            ("byte_equal_audio", "error", ["icbhi/p0000_0", "icbhi/p0001_0"])
        ]
    with pytest.raises(DataError, match="remove the copies from the raw folder"):
        refuse_leaks(found)


def test_equal_sound_of_one_patient_across_sides_is_declared_with_the_overlap(make_patients):
    table = make_patients(2, sha256=["same", "same", "a", "b"])
    found = find_leaks(table, split_of(table, ["train", "test", "val", "val"]), overlap_allowed=True)
    assert [(finding.kind, finding.severity) for finding in found] == [
        ("patient_overlap", "declared"),
        ("byte_equal_audio", "declared"),
    ]


def test_equal_sound_on_one_side_is_a_note(make_patients):
    table = make_patients(4, per_patient=1, sha256=["same", "same", "a", "b"])
    found = find_leaks(table, split_of(table, ["train", "train", "val", "test"]), overlap_allowed=False)
    assert [(finding.severity, finding.ids) for finding in found] == [("note", ["icbhi/p0000_0", "icbhi/p0001_0"])]
    assert "of another patient on the same side" in found[0].text
    refuse_leaks(found)
    table = make_patients(3, sha256=["same", "same", "a", "b", "c", "d"])
    found = find_leaks(table, split_of(table, ["train"] * 2 + ["val"] * 2 + ["test"] * 2), overlap_allowed=False)
    assert "of the same patient and side" in found[0].text


def test_filtered_copies_are_checked(make_patients):
    table = make_patients(2, per_patient=3, attr_filter=["bell", "diaphragm", "extended"] * 2)
    together = find_leaks(table, split_of(table, ["train"] * 3 + ["test"] * 3), overlap_allowed=False)
    assert [(finding.kind, finding.severity) for finding in together] == [("sibling_recordings", "note")]
    assert "2 patients stay together" in together[0].text
    apart = find_leaks(table, split_of(table, ["train"] * 2 + ["test"] * 4), overlap_allowed=False)
    assert [(finding.kind, finding.severity, finding.ids) for finding in apart] == [
        ("patient_overlap", "error", ["icbhi/p0000"]),
        ("sibling_recordings", "error", ["icbhi/p0000"]),
    ]


def test_a_split_of_other_tables_is_refused(make_patients):
    table = make_patients(3, per_patient=1)
    split = split_of(table, ["train", "val", "test"])
    with pytest.raises(DataError, match="icbhi/p0002_0"):
        find_leaks(table[:2], split, overlap_allowed=False)
    moved = split.assign(patient_id=pd.Series(["icbhi/p0000", "icbhi/p0000", "icbhi/p0002"], dtype="str"))
    with pytest.raises(DataError, match="icbhi/p0001_0"):
        find_leaks(table, moved, overlap_allowed=False)


def test_a_leak_stops_the_stage_and_nothing_is_written(make_patients, pneumonia, run_split, tmp_path):
    table = make_patients(30, per_patient=1, sha256=["same"] * 30)
    with pytest.raises(DataError, match="byte_equal_audio"):
        run_split(table, PATIENTS, pneumonia)
    assert not (tmp_path / "split.csv").exists()
    assert not (tmp_path / "audit.json").exists()


def test_jordans_filters_stay_together_and_the_audit_says_so(make_patients, pneumonia, run_split):
    table = make_patients(30, per_patient=3, dataset="jordan", attr_filter=["bell", "diaphragm", "extended"] * 30)
    split, audit = run_split(table, PATIENTS, pneumonia)
    assert split.groupby("patient_id")["split"].nunique().max() == 1
    assert audit["findings"] == [
        {
            "kind": "sibling_recordings",
            "severity": "note",
            "text": "the filtered copies of 30 patients stay together",
            "ids": [],
        }
    ]
    json.dumps(audit, allow_nan=False)
