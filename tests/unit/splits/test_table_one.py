"""Table 1: who took part, by subset."""

import numpy as np
import pandas as pd
import pytest

from auscult.config import TaskSettings
from auscult.splits.counts import RecordingFacts
from auscult.splits.table_one import FEWEST_PATIENTS, MOST_CATEGORIES, table_one

TASK = TaskSettings(
    description="Is somebody ill?",
    type="binary",
    targets=("ill",),
    level="patient",
    datasets={"a": {"ill": {"column": "diagnosis", "positive": ["yes"], "negative": "others"}}},
)
CLASSES = TaskSettings(
    description="Which?",
    type="multi_class",
    targets=("x", "y"),
    level="recording",
    classes_from={"a": {"column": "kind"}},
)


def table(rows, task=TASK):
    """Rows: patient, subset, age, sex, site, device, targets."""
    frame = pd.DataFrame(rows, columns=["patient_id", "subset", "age_years", "sex", "site", "device", "targets"])
    frame = frame.assign(dataset="a", age_years=frame["age_years"].astype(float))
    targets = np.array(frame["targets"].tolist(), dtype=np.float32).reshape(len(frame), -1)
    patients, datasets = (frame[name].to_numpy(dtype=object) for name in ("patient_id", "dataset"))
    facts = RecordingFacts(patients, datasets, targets, targets == 1, targets == 0, task.level)
    found = table_one(frame, frame["subset"].to_numpy(dtype=object), facts, task)
    return {(row["characteristic"], row["category"]): row for row in found}


def n(row):
    return [row[name]["n"] for name in ("all", "train", "val", "test")]


def test_patients_recordings_and_their_facts_are_counted_by_subset():
    found = table(
        [
            ("p1", "train", 40, "male", "north", "m", [1]),
            ("p1", "train", 42, None, "north", None, [0]),
            ("p2", "train", None, "female", None, None, [0]),
            ("p3", "val", 10, None, None, None, [np.nan]),
            ("p4", "test", 70, "female", None, "m", [0]),
        ]
    )

    assert n(found["patients", ""]) == [4, 2, 1, 1]
    assert n(found["recordings", ""]) == [5, 3, 1, 1]
    assert found["recordings a patient", ""]["train"] == {
        "median": 1.5, "low": 1.25, "high": 1.75, "mean": 1.5, "deviation": pytest.approx(0.5**0.5), "missing": 0
    }  # fmt: skip
    assert found["age (years)", ""]["train"] == {
        "median": 41.0, "low": 41.0, "high": 41.0, "mean": 41.0, "deviation": None, "missing": 1
    }  # fmt: skip
    assert found["age (years)", ""]["all"]["median"] == 41.0
    assert n(found["sex", "male"]) == [1, 1, 0, 0], "what one recording states holds for the patient"
    assert n(found["sex", "female"]) == [2, 1, 0, 1]
    assert n(found["sex", "not stated"]) == [1, 0, 1, 0]
    assert found["sex", "female"]["train"]["of"] == 2
    assert n(found["ill", "positive, patients"]) == [1, 1, 0, 0]
    assert n(found["ill", "negative, patients"]) == [2, 1, 0, 1]
    assert n(found["ill", "unknown, patients"]) == [1, 0, 1, 0]
    assert n(found["ill", "negative, recordings"]) == [3, 2, 0, 1]
    assert n(found["ill", "unknown, recordings"]) == [1, 0, 1, 0]


def test_a_subset_without_patients_has_zeros_and_no_median():
    found = table([("p1", "test", 40, "male", "north", "m", [1])])

    assert n(found["patients", ""]) == [1, 0, 0, 1]
    assert found["age (years)", ""]["train"] == {
        "median": None, "low": None, "high": None, "mean": None, "deviation": None, "missing": 0
    }  # fmt: skip
    assert found["recordings a patient", ""]["val"]["median"] is None


def test_a_patient_counts_on_every_device_and_once_as_of_several_sexes():
    rows = [(f"p{k}", "train", 30, "male", "north", device, [0]) for k in range(6) for device in ("m", "l")]
    rows.append(("p0", "train", 30, "female", "north", "m", [0]))
    found = table(rows)

    assert n(found["device", "m"])[0] == n(found["device", "l"])[0] == 6
    assert n(found["sex", "several"])[0] == 1
    assert n(found["sex", "male"])[0] == 5


def test_small_sites_are_summed_up_and_unnamed():
    rows = [(f"p{k}", "train", 30, "male", "large", None, [0]) for k in range(FEWEST_PATIENTS)]
    rows += [("q1", "train", 30, "male", "tiny 1", None, [0]), ("q2", "test", 30, "male", "tiny 2", None, [0])]
    found = table(rows)

    assert [category for name, category in found if name == "site"] == ["large", "2 other"]
    assert n(found["site", "2 other"]) == [2, 1, 0, 1]


def test_of_many_sites_the_rarest_are_summed_up():
    rows = [
        (f"s{site}p{k}", "train", 30, "male", f"site {site:02d}", None, [0])
        for site in range(MOST_CATEGORIES + 3)
        for k in range(FEWEST_PATIENTS + 20 - site)
    ]
    found = table(rows)

    names = [category for name, category in found if name == "site"]
    assert names == [*(f"site {site:02d}" for site in range(MOST_CATEGORIES - 1)), "4 other"]
    assert sum(n(found["site", name])[0] for name in names) == n(found["patients", ""])[0]


def test_classes_have_patients_and_recordings():
    found = table(
        [
            ("p1", "train", 1, None, None, None, [1, 0]),
            ("p1", "train", 1, None, None, None, [0, 1]),
            ("p2", "test", 1, None, None, None, [0, 1]),
            ("p3", "test", 1, None, None, None, [np.nan, np.nan]),
        ],
        CLASSES,
    )

    assert n(found["x", "patients"]) == [1, 1, 0, 0]
    assert n(found["y", "patients"]) == [2, 1, 0, 1]
    assert n(found["y", "recordings"]) == [2, 1, 0, 1]
    assert n(found["class unknown", "patients"]) == [1, 0, 0, 1]


@pytest.mark.parametrize("unit", ["patients", "recordings"])
def test_labels_add_up(unit):
    rng = np.random.default_rng(2)
    rows = [
        (f"p{k // 3}", ("train", "val", "test")[k // 3 % 3], 30, None, None, None, [rng.choice([0, 1, np.nan])])
        for k in range(90)
    ]
    found = table(rows)

    cells = [n(found["ill", f"{kind}, {unit}"]) for kind in ("positive", "negative", "unknown")]
    assert np.sum(cells, axis=0).tolist() == n(found[unit, ""])
