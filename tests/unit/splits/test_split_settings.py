"""Settings of splits and tasks that cannot be meant."""

import pytest
from pydantic import TypeAdapter, ValidationError

from auscult.config import SplitSettings, TaskSettings

SPLIT = TypeAdapter(SplitSettings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "official", "patients_on_both_sides": "keep"}, "keep needs allow_patient_overlap: true"),
        ({"kind": "folds", "fold": 6}, "fold 6 lies beyond n_folds 5"),
        ({"kind": "folds", "fold": 0}, "greater than or equal to 1"),
        ({"kind": "column", "column": "ward", "test": []}, "at least 1 item"),
        ({"kind": "column", "column": "ward", "test": ["a"], "val": ["a"]}, r"\['a'\] stand in both test and val"),
        ({"kind": "leave_site_out", "seed": 1}, "site"),
        ({"kind": "patients", "val_fold": {"n_folds": 3, "fold": 4}}, "fold 4 lies beyond n_folds 3"),
        ({"kind": "folds", "fold": 1, "val_fold": {"n_folds": 3, "fold": 1}}, "every fold has a test set of its own"),
        (
            {"kind": "column", "column": "ward", "test": ["a"], "val": ["b", "c"], "val_fold": {"n_folds": 3}},
            "the values b, c of ward are validation; leave `val` out",
        ),
        (
            {"kind": "patients", "calibration_fraction": 0.3, "val_fold": {"n_folds": 3, "fold": 1}},
            "calibration_fraction with folds of validation",
        ),
        ({"kind": "patients", "calibration_fraction": 1}, "less than 1"),
    ],
)
def test_impossible_splits_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        SPLIT.validate_python(settings)


def test_what_is_not_asked_for_changes_no_key_of_a_split():
    plain = {
        "allow_leaks": {},
        "allow_absent": {},
        "kind": "patients",
        "fractions": {"train": 0.7, "val": 0.15, "test": 0.15},
        "seed": 0,
    }
    assert SPLIT.dump_python(SPLIT.validate_python({"kind": "patients"}), mode="json") == plain
    with_calibration = SPLIT.validate_python({"kind": "patients", "calibration_fraction": 0.3})
    assert SPLIT.dump_python(with_calibration, mode="json") == {**plain, "calibration_fraction": 0.3}
    part = {"kind": "patients", "val_fold": {"n_folds": 5, "fold": None}}
    dumped = SPLIT.dump_python(SPLIT.validate_python(part), mode="json")
    assert dumped == {**plain, "val_fold": {"n_folds": 5, "fold": None}}
    assert SPLIT.validate_python(dumped) == SPLIT.validate_python(part)


def test_numbers_of_sites_and_values_are_labels():
    assert SPLIT.validate_python({"kind": "leave_site_out", "site": 3}).site == "3"
    assert SPLIT.validate_python({"kind": "column", "column": "index", "test": [0, 1]}).test == ("0", "1")


def test_a_multi_class_task_averages():
    task = {"description": "t", "type": "multi_class", "targets": ["a", "b"], "level": "clip"}
    with pytest.raises(ValidationError, match="average predictions of clips"):
        TaskSettings(**task, aggregate={"method": "max"})


def test_targets_do_not_take_the_names_of_a_results_sections():
    with pytest.raises(ValidationError, match=r"cannot be called \['macro'\]"):
        TaskSettings(description="t", type="binary", targets=["macro"], level="clip")
