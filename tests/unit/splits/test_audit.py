"""The audit finds leaks by itself, whoever made the split."""

import json

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter, ValidationError

from auscult.audio.fingerprint import Fingerprinter
from auscult.config import SplitSettings
from auscult.errors import DataError
from auscult.splits.leaks import Declared, find_leaks, refuse_leaks

PATIENTS = {"kind": "patients"}


def split_of(table, subsets):
    columns = table[["recording_id", "patient_id", "dataset"]]
    return columns.assign(split=subsets).astype({"split": "str"})


def test_a_patient_on_two_sides_is_found(make_patients):
    table = make_patients(2)
    split = split_of(table, ["train", "test", "val", "val"])
    found = find_leaks(table, split, declared=Declared())
    assert [(finding.kind, finding.severity, finding.ids) for finding in found] == [
        ("patient_overlap", "error", ["icbhi/p0000"])
    ]
    with pytest.raises(DataError, match=r"patient_overlap: 1 of 2 patients.*icbhi/p0000\n    To fix it: divide by"):
        refuse_leaks(found)
    declared = find_leaks(table, split, declared=Declared(patient_overlap=True))
    assert [finding.severity for finding in declared] == ["declared"]
    refuse_leaks(declared)


CONFLICT = "icbhi/p0000_0 (label_diagnosis: pneumonia) = icbhi/p0001_0 (label_diagnosis: copd)"


def test_equal_sound_of_different_patients_across_sides_is_a_leak_even_when_overlap_is_declared(make_patients):
    table = make_patients(3, per_patient=1, sha256=["same", "same", "other"])
    for allowed in (False, True):
        found = find_leaks(table, split_of(table, ["train", "test", "val"]), declared=Declared(patient_overlap=allowed))
        assert [(finding.kind, finding.severity, finding.ids) for finding in found] == [
            ("byte_equal_audio", "error", ["icbhi/p0000_0", "icbhi/p0001_0"]),
            ("conflicting_labels", "note", [CONFLICT]),
        ]
    with pytest.raises(DataError, match="remove the copies from the raw folder"):
        refuse_leaks(found)


def test_equal_sound_of_one_patient_across_sides_is_declared_with_the_overlap(make_patients):
    table = make_patients(2, sha256=["same", "same", "a", "b"])
    found = find_leaks(table, split_of(table, ["train", "test", "val", "val"]), declared=Declared(patient_overlap=True))
    assert [(finding.kind, finding.severity) for finding in found] == [
        ("patient_overlap", "declared"),
        ("byte_equal_audio", "declared"),
    ]


def test_equal_sound_on_one_side_is_a_note(make_patients):
    table = make_patients(4, per_patient=1, sha256=["same", "same", "a", "b"])
    found = find_leaks(table, split_of(table, ["train", "train", "val", "test"]), declared=Declared())
    assert [(finding.severity, finding.ids) for finding in found] == [
        ("note", ["icbhi/p0000_0", "icbhi/p0001_0"]),
        ("note", [CONFLICT]),
    ]
    assert "of another patient in the same subset" in found[0].text
    refuse_leaks(found)
    table = make_patients(3, sha256=["same", "same", "a", "b", "c", "d"])
    found = find_leaks(table, split_of(table, ["train"] * 2 + ["val"] * 2 + ["test"] * 2), declared=Declared())
    assert "of the same patient and subset" in found[0].text


def test_filtered_copies_are_checked(make_patients):
    table = make_patients(2, per_patient=3, attr_filter=["bell", "diaphragm", "extended"] * 2)
    together = find_leaks(table, split_of(table, ["train"] * 3 + ["test"] * 3), declared=Declared())
    assert [(finding.kind, finding.severity) for finding in together] == [("sibling_recordings", "note")]
    assert "2 patients stay together" in together[0].text
    apart = find_leaks(table, split_of(table, ["train"] * 2 + ["test"] * 4), declared=Declared())
    assert [(finding.kind, finding.severity, finding.ids) for finding in apart] == [
        ("patient_overlap", "error", ["icbhi/p0000"]),
        ("sibling_recordings", "error", ["icbhi/p0000"]),
    ]


def test_without_filtered_copies_nothing_is_said_of_them(make_patients):
    table = make_patients(3, per_patient=1, attr_filter=[None] * 3)
    assert find_leaks(table, split_of(table, ["train", "val", "test"]), declared=Declared()) == []


def test_a_split_of_other_tables_is_refused(make_patients):
    table = make_patients(3, per_patient=1)
    split = split_of(table, ["train", "val", "test"])
    with pytest.raises(DataError, match="icbhi/p0002_0"):
        find_leaks(table[:2], split, declared=Declared())
    # Of the patient of the table's last row, too.
    with pytest.raises(DataError, match="icbhi/p0009_0"):
        named = split.assign(recording_id=split["recording_id"].replace("icbhi/p0002_0", "icbhi/p0009_0"))
        find_leaks(table, named, declared=Declared())
    moved = split.assign(patient_id=pd.Series(["icbhi/p0000", "icbhi/p0000", "icbhi/p0002"], dtype="str"))
    with pytest.raises(DataError, match="icbhi/p0001_0"):
        find_leaks(table, moved, declared=Declared())


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
            "groups": [],
        }
    ]
    json.dumps(audit, allow_nan=False)


@pytest.fixture(scope="module")
def sounds():
    """Fingerprints of three sounds, and of a cut copy of the first."""

    def fingerprint(sound):
        made = Fingerprinter(4000, 1)
        made.add(sound)
        return made.text()

    noise = [np.random.default_rng(seed).standard_normal((32_000, 1)).astype(np.float32) for seed in range(3)]
    return [*map(fingerprint, noise), fingerprint(noise[0][3333:20_000])]


def with_fingerprints(table, prints):
    return table.assign(fingerprint=prints).astype({"fingerprint": "str"})


class TestNearDuplicates:
    def test_across_sides_they_are_a_leak_with_ids_and_remedy(self, make_patients, sounds):
        table = with_fingerprints(make_patients(4, per_patient=1), sounds)
        split = split_of(table, ["train", "val", "test", "test"])
        found = find_leaks(table, split, Declared())
        assert [(finding.kind, finding.severity, finding.ids) for finding in found] == [
            ("near_duplicate_audio", "error", ["icbhi/p0000_0", "icbhi/p0003_0"])
        ]
        with pytest.raises(
            DataError,
            match=r"2 recordings hold the same sound.*in a different subset: icbhi/p0000_0, icbhi/p0003_0\n.*fix",
        ):
            refuse_leaks(found)

    def test_on_one_side_they_are_a_note_where_the_patients_differ(self, make_patients, sounds):
        table = with_fingerprints(make_patients(4, per_patient=1), sounds)
        found = find_leaks(table, split_of(table, ["train", "val", "test", "train"]), Declared())
        assert [(finding.kind, finding.severity) for finding in found] == [("near_duplicate_audio", "note")]
        assert "of another patient in the same subset" in found[0].text
        table = with_fingerprints(make_patients(2, per_patient=2), [sounds[0], sounds[3], *sounds[1:3]])
        assert find_leaks(table, split_of(table, ["train"] * 2 + ["test"] * 2), Declared()) == []

    def test_a_reason_in_the_experiment_declares_them(self, make_patients, sounds):
        table = with_fingerprints(make_patients(4, per_patient=1), sounds)
        split = split_of(table, ["train", "val", "test", "test"])
        declared = Declared(leaks={"near_duplicate_audio": "one patient, two ids"})
        found = find_leaks(table, split, declared)
        assert [(finding.severity, finding.ids) for finding in found] == [
            ("declared", ["icbhi/p0000_0", "icbhi/p0003_0"])
        ]
        assert found[0].text.endswith("in a different subset; declared: one patient, two ids")
        refuse_leaks(found)
        # The reason for one kind is none for another.
        with pytest.raises(DataError, match="near_duplicate_audio"):
            refuse_leaks(find_leaks(table, split, Declared(leaks={"byte_equal_audio": "known"})))

    def test_a_declared_overlap_covers_copies_of_one_patient_only(self, make_patients, sounds):
        table = with_fingerprints(make_patients(2, per_patient=2), [sounds[0], sounds[3], *sounds[1:3]])
        found = find_leaks(table, split_of(table, ["train", "test", "val", "val"]), Declared(patient_overlap=True))
        assert [(finding.kind, finding.severity) for finding in found] == [
            ("patient_overlap", "declared"),
            ("near_duplicate_audio", "declared"),
        ]

    def test_equal_files_are_told_once(self, make_patients, sounds):
        prints = [sounds[0], sounds[0], sounds[1], sounds[2]]
        table = with_fingerprints(make_patients(4, per_patient=1, sha256=["same", "same", "a", "b"]), prints)
        split = split_of(table, ["train", "test", "val", "val"])
        kinds = [finding.kind for finding in find_leaks(table, split, Declared())]
        assert kinds == ["byte_equal_audio", "conflicting_labels"]
        table = with_fingerprints(table, [sounds[0], sounds[0], sounds[3], sounds[2]])
        found = find_leaks(table, split, Declared())
        assert [(finding.kind, finding.ids) for finding in found] == [
            ("byte_equal_audio", ["icbhi/p0000_0", "icbhi/p0001_0"]),
            ("near_duplicate_audio", ["icbhi/p0000_0", "icbhi/p0001_0", "icbhi/p0002_0"]),
            ("conflicting_labels", [CONFLICT, f"{CONFLICT} = icbhi/p0002_0 (label_diagnosis: copd)"]),
        ]

    def test_a_reason_without_a_leak_is_noted(self, make_patients):
        table = make_patients(3, per_patient=1)
        declared = Declared(leaks={"byte_equal_audio": "known"})
        found = find_leaks(table, split_of(table, ["train", "val", "test"]), declared)
        assert [(finding.kind, finding.severity) for finding in found] == [("unused_exception", "note")]


def test_every_kind_of_split_may_declare_leaks_and_the_audit_holds_the_reason(make_patients, pneumonia, run_split):
    table = make_patients(30, per_patient=1, sha256=["same"] * 2 + [f"{k}" for k in range(28)])
    table["attr_ward"] = pd.Series(["a", "b", "c"] * 10, dtype="str")
    table["label_diagnosis"] = pd.Series([("pneumonia", "copd")[k // 3 % 2] for k in range(30)], dtype="str")
    kind = {"kind": "column", "column": "ward", "test": ["b"], "val": ["c"]}
    with pytest.raises(DataError, match=r"allow_leaks: \{byte_equal_audio: REASON\}"):
        run_split(table, kind, pneumonia)
    _, audit = run_split(table, {**kind, "allow_leaks": {"byte_equal_audio": "a test tone"}}, pneumonia)
    assert audit["declared"] == ["2 recordings are byte for byte another in a different subset; declared: a test tone"]
    for other in ({"kind": "patients"}, {"kind": "folds", "fold": 1}, {"kind": "leave_site_out", "site": "x"}):
        settings = TypeAdapter(SplitSettings).validate_python({**other, "allow_leaks": {"near_duplicate_audio": "why"}})
        assert settings.allow_leaks == {"near_duplicate_audio": "why"}
    with pytest.raises(ValidationError):
        TypeAdapter(SplitSettings).validate_python({"kind": "patients", "allow_leaks": {"patient_overlap": "why"}})
    with pytest.raises(ValidationError):
        TypeAdapter(SplitSettings).validate_python({"kind": "patients", "allow_leaks": {"byte_equal_audio": ""}})


def test_ids_that_differ_in_case_or_unicode_form_alone_are_one_person_until_declared(make_recordings):
    ids = ["P01", "p01", "M\u00fcller", "Mu\u0308ller", "P02"]
    table = make_recordings([(f"r{number}", patient, "copd") for number, patient in enumerate(ids)])
    split = split_of(table, ["train", "test", "val", "val", "train"])
    found = find_leaks(table, split, Declared())
    assert [(finding.kind, finding.severity) for finding in found] == [
        ("similar_patient_ids", "error"),
        ("similar_patient_ids", "note"),
    ]
    assert found[0].ids == ["icbhi/P01 = icbhi/p01"]
    with pytest.raises(DataError, match=r"icbhi/P01 = icbhi/p01\n    To fix it: write each person's id in one way"):
        refuse_leaks(found)
    declared = find_leaks(table, split, Declared(leaks={"similar_patient_ids": "two persons"}))
    assert [finding.severity for finding in declared] == ["declared", "note"]
    refuse_leaks(declared)
    assert found[1].ids == [" = ".join(sorted(["icbhi/M\u00fcller", "icbhi/Mu\u0308ller"]))]


def test_recordings_that_cannot_be_compared_are_counted(make_recordings):
    table = make_recordings([("a_0", "P01", "copd"), ("b_0", "P02", "copd")])
    table["fingerprint"] = table["fingerprint"].where(table["recording_id"] != "icbhi/a_0")
    found = find_leaks(table, split_of(table, ["train", "test"]), Declared())
    assert [(finding.kind, finding.severity) for finding in found] == [("not_compared", "note")]
    assert found[0].text.startswith("1 of 2 recordings hold too little changing sound")


@pytest.mark.parametrize(
    ("one", "other"), [("7", "07"), ("P-1", "P\u20111"), ("P 1", "P\u00a01"), ("7", "7.0"), ("A1", "A\u200b01")]
)
def test_spellings_of_one_id_are_named_as_a_pair(make_recordings, one, other):
    table = make_recordings([("r0", one, "copd"), ("r1", other, "copd"), ("r2", "70", "copd")])
    found = find_leaks(table, split_of(table, ["train", "test", "val"]), Declared())
    assert [(finding.kind, finding.severity) for finding in found] == [("similar_patient_ids", "error")]
    assert found[0].ids == [" = ".join(sorted([f"icbhi/{one}", f"icbhi/{other}"]))]


def test_one_sound_under_two_labels_is_named_with_both(make_recordings, make_patients, sounds):
    table = make_recordings([("BP100", "100", "normal"), ("BP101", "101", "asthma"), ("BP102", "102", "Asthma")])
    table["sha256"] = pd.Series(["same"] * 2 + ["other"], dtype="str")
    found = find_leaks(table, split_of(table, ["train"] * 3), Declared())
    conflict = next(finding for finding in found if finding.kind == "conflicting_labels")
    said = "icbhi/BP100 (label_diagnosis: normal) = icbhi/BP101 (label_diagnosis: asthma)"
    assert (conflict.severity, conflict.ids) == ("note", [said])
    equal = next(finding for finding in found if finding.kind == "byte_equal_audio")
    assert [entry["patient"] for entry in equal.groups[0]] == ["icbhi/100", "icbhi/101"]
    # Nothing contradicts where one of them says nothing, or the same in other letters.
    table["label_diagnosis"] = pd.Series(["asthma", "ASTHMA", "x"], dtype="str")
    kinds = {finding.kind for finding in find_leaks(table, split_of(table, ["train"] * 3), Declared())}
    assert kinds == {"byte_equal_audio"}


def test_equal_sounds_stand_whole_in_the_audit_and_contradicting_labels_on_the_terminal(
    make_patients, pneumonia, run_split, caplog
):
    table = make_patients(60, per_patient=1)
    first = table["recording_id"].tolist()[:2]
    table["sha256"] = pd.Series(["same"] * 2 + [f"{k}" for k in range(58)], dtype="str")
    labels = ["pneumonia", "copd"] * 30
    table["label_diagnosis"] = pd.Series(labels, dtype="str")
    _, audit = run_split(table, {"kind": "patients", "allow_leaks": {"byte_equal_audio": "a test tone"}}, pneumonia)
    equal = [group for group in audit["duplicates"] if group["kind"] == "byte_equal_audio"]
    assert [[entry["recording"] for entry in group["recordings"]] for group in equal] == [first]
    assert {key for group in equal for entry in group["recordings"] for key in entry} == {
        "recording",
        "patient",
        "subset",
    }
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warned) == 1
    for said in (*first, "pneumonia", "copd"):
        assert said in warned[0]


def test_every_group_of_copies_stands_whole_in_the_audit_with_patients_and_subsets(
    make_patients, pneumonia, run_split, sounds
):
    """The message of a run names twenty; the audit is where the whole list is."""
    table = make_patients(60, per_patient=1)
    table["sha256"] = pd.Series([f"{k}" for k in range(60)], dtype="str")
    table["fingerprint"] = pd.Series([sounds[0], sounds[3]] * 15 + [sounds[1], sounds[2]] * 15, dtype="str")
    allowed = {"kind": "patients", "allow_leaks": {"near_duplicate_audio": "one tape"}}
    split, audit = run_split(table, allowed, pneumonia)
    groups = [group["recordings"] for group in audit["duplicates"] if group["kind"] == "near_duplicate_audio"]
    assert sorted(map(len, groups)) == [15, 15, 30]
    entries = [entry for group in groups for entry in group]
    assert {entry["recording"]: entry["subset"] for entry in entries} == split["split"].to_dict()
    assert {entry["recording"]: entry["patient"] for entry in entries} == split["patient_id"].to_dict()
