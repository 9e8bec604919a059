import json

import numpy as np
import pandas as pd
import pytest

from auscult.config.split import ColumnSplit
from auscult.evaluation.slices import MIN_PATIENTS, slice_metrics
from auscult.formatting.published import TEST_PART
from auscult.metrics.score_intervals import undefined
from auscult.metrics.summary import summarise
from auscult.storage.tables import probabilities_of, read_predictions, read_recordings, truth_of


def _slices(world, folder):
    entries = json.loads((folder / "metrics.json").read_text())["slices"]
    test = read_predictions(folder / "predictions.parquet", world.task)
    test = test[test["split"] == "test"].reset_index(drop=True)
    recordings = read_recordings(world.tables["toy"] / "recordings.parquet").set_index("recording_id")
    return {(entry["by"], entry["value"]): entry for entry in entries}, test, recordings


def test_what_has_one_value_only_is_not_sliced_by(judged):
    entries, _, _ = _slices(*judged)

    assert {by for by, _ in entries} == {"device", "age group"}


def test_a_slice_is_judged_as_if_it_were_the_test_part(judged):
    world, folder = judged
    entries, test, recordings = _slices(world, folder)
    entry = entries["device", "open"]
    part = test[(recordings.loc[test["recording_id"], "device"] == "open").to_numpy()]

    thresholds = [] if world.kind == "multi_class" else [0.5] * len(world.task.targets)
    whole = summarise(
        truth_of(part, world.task),
        probabilities_of(part, world.task),
        part,
        world.task,
        thresholds,
        np.random.default_rng(0),
        0,
    )[world.task.level]

    expected = {
        "binary": lambda: {name: whole["ill"][name] for name in ("auroc", "sensitivity", "specificity")},
        "multi_label": lambda: {
            "icbhi_score": whole["four_class"]["score"],
            "crackle_auroc": whole["crackle"]["auroc"],
            "wheeze_auroc": whole["wheeze"]["auroc"],
        },
        "multi_class": lambda: {name: whole["multi_class"][name] for name in ("accuracy", "balanced_accuracy")},
    }[world.kind]()
    assert {name: found["value"] for name, found in entry["metrics"].items()} == pytest.approx(
        {name: found["value"] for name, found in expected.items()}
    )
    assert all(
        found["low"] <= found["value"] <= found["high"]
        for found in entry["metrics"].values()
        if found["low"] is not None
    )
    assert entry["n"]["clips"] == len(part)
    assert entry["n"]["patients"] == part["patient_id"].nunique()


def test_a_patient_heard_with_two_devices_stands_in_both_slices(judged_binary):
    entries, test, _ = _slices(*judged_binary)

    n_patients = test["patient_id"].nunique()
    assert entries["device", "contact"]["n"]["patients"] == entries["device", "open"]["n"]["patients"] == n_patients


def test_parts_of_the_test_set_are_judged_apart(judged_binary):
    world, _ = judged_binary
    entries, test, _ = _slices(*judged_binary)
    split = ColumnSplit(kind="column", column="device", test={"inter": ["open"], "intra": ["contact"]})
    found = slice_metrics(
        test, world.tables, task=world.task, thresholds={"ill": 0.5},
        generator=np.random.default_rng(0), resamples=0, split=split,
    )  # fmt: skip
    parts = {entry["value"]: entry for entry in found if entry["by"] == TEST_PART}
    assert found[0]["by"] == TEST_PART
    for part, device in (("inter", "open"), ("intra", "contact")):
        assert parts[part]["n"] == entries["device", device]["n"]
        for name, value in parts[part]["metrics"].items():
            assert value["value"] == entries["device", device]["metrics"][name]["value"]


def test_small_cells_are_counted_and_not_judged(judged_binary):
    world, folder = judged_binary
    entries, _, _ = _slices(world, folder)

    ages = [entry for (by, _), entry in entries.items() if by == "age group"]

    assert [entry["value"] for entry in ages] == ["18 to 64", "not stated"]
    assert ages[0]["n"]["patients"] >= MIN_PATIENTS
    assert ages[1] == {"by": "age group", "value": "not stated", "n": {"clips": 4, "patients": 1}, "metrics": None}
    assert "left out, fewer than 5 patients: age group not stated" in (folder / "report.txt").read_text()


@pytest.mark.parametrize(("n_patients", "is_judged"), [(4, False), (5, True)])
def test_a_slice_of_exactly_five_patients_is_judged(judged_binary, n_patients, is_judged):
    world, folder = judged_binary
    _, test, _ = _slices(world, folder)
    few = test[test["patient_id"].isin(test["patient_id"].unique()[:n_patients])].reset_index(drop=True)

    entries = slice_metrics(
        few, world.tables, task=world.task, thresholds={"ill": 0.5}, generator=np.random.default_rng(0), resamples=2
    )

    of_devices = [entry for entry in entries if entry["by"] == "device"]
    assert [entry["n"]["patients"] for entry in of_devices] == [n_patients] * 2
    assert [entry["metrics"] is not None for entry in of_devices] == [is_judged] * 2


def test_a_slice_of_one_class_is_undefined(judged_binary):
    world, folder = judged_binary
    _, test, recordings = _slices(world, folder)
    is_open = (recordings.loc[test["recording_id"], "device"] == "open").to_numpy()
    one_class = test.assign(target_ill=np.where(is_open, 0.0, test["target_ill"]))

    entries = slice_metrics(
        pd.DataFrame(one_class),
        world.tables,
        task=world.task,
        thresholds={"ill": 0.5},
        generator=np.random.default_rng(0),
        resamples=20,
    )

    found = next(entry for entry in entries if entry["value"] == "open")
    assert found["metrics"]["auroc"] == undefined()
    assert found["n"]["ill"] == {"positive": 0, "negative": found["n"]["patients"]}
