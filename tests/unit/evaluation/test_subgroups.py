"""Gaps of subgroups and heterogeneity of sites, on made-up predictions."""

import numpy as np
import pandas as pd
import pytest

from auscult.config import TaskSettings
from auscult.evaluation.subgroups import GAPS, heterogeneity, subgroup_gaps
from auscult.metrics.multiplicity import holm
from auscult.storage.tables import predictions_table

TASK = TaskSettings(
    description="Is somebody ill?",
    type="binary",
    targets=("ill",),
    level="patient",
    datasets={"a": {"ill": {"column": "diagnosis", "positive": ["yes"], "negative": "others"}}},
)


def made_up(n_patients, *, miss=(), separation=2.0, seed=0):
    """Return predictions of two clips a patient; patients whose site is in `miss` are predicted by chance."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(n_patients), 2)
    site = np.array(["north", "south", "west", "tiny"], dtype=object)[np.where(patient < 3, 3, patient % 3)]
    truth = (patient % 2).astype(np.float32)
    drawn = np.repeat(rng.normal(size=n_patients), 2)
    logits = drawn + np.where(np.isin(site, miss), 0.0, separation) * (truth - 0.5)
    clips = pd.DataFrame(
        {
            "clip_id": [f"a/{one}:{index}" for index, one in enumerate(patient)],
            "recording_id": [f"a/{one}" for one in patient],
            "patient_id": [f"a/{one:03d}" for one in patient],
            "dataset": "a",
            "start_s": 0.0,
            "end_s": 1.0,
            "split": "test",
        }
    )
    table = predictions_table(clips, truth[:, None], 1 / (1 + np.exp(-logits))[:, None], TASK)
    pair = patient // 2
    sex = np.where(pair % 5 == 0, "not stated", np.where(pair % 2 == 0, "female", "male"))
    attributes = pd.DataFrame({"dataset": "a", "site": site, "sex": sex})
    return table, attributes


def test_a_gap_is_the_subgroup_less_the_rest():
    table, attributes = made_up(60)

    found = {(one["by"], one["value"]): one for one in subgroup_gaps(table, attributes, TASK, {"ill": 0.5})}

    north = found["site", "north"]
    by_patient = table.assign(site=attributes["site"].to_numpy()).groupby("patient_id").first()
    ill, right = by_patient["target_ill"] == 1, (by_patient["prob_ill"] >= 0.5) == (by_patient["target_ill"] == 1)
    is_north = by_patient["site"] == "north"
    for score, chosen in (("sensitivity", ill), ("specificity", ~ill)):
        gap = north["gaps"][score]
        assert gap["one"] == pytest.approx(right[chosen & is_north].mean())
        assert gap["other"] == pytest.approx(right[chosen & ~is_north].mean())
    assert north["n"]["patients"] + north["n_against"]["patients"] == 60
    assert north["against"] == "the rest"


def test_small_subgroups_and_what_is_not_stated_are_left_out_and_of_two_one_is_compared():
    table, attributes = made_up(60)

    found = subgroup_gaps(table, attributes, TASK, {"ill": 0.5})

    assert [(one["by"], one["value"]) for one in found] == [
        ("site", "north"),
        ("site", "south"),
        ("site", "west"),
        ("sex", "female"),
    ], "one dataset is none, the tiny site has three patients"
    sex = found[-1]
    stated = attributes["sex"].to_numpy() != "not stated"
    assert sex["against"] == "male"
    assert sex["n"]["patients"] + sex["n_against"]["patients"] == table.loc[stated, "patient_id"].nunique()


def test_p_values_are_corrected_over_all_subgroups_and_scores():
    found = subgroup_gaps(*made_up(60), TASK, {"ill": 0.5})

    gaps = [one["gaps"][score] for one in found for score in GAPS]
    assert [gap["p_holm"] for gap in gaps] == holm([gap["p"] for gap in gaps])
    assert any(gap["p_holm"] > gap["p"] for gap in gaps)


def test_a_planted_gap_is_found_and_others_are_not():
    found = subgroup_gaps(*made_up(240, miss=("south",), separation=6.0), TASK, {"ill": 0.5})

    area = {one["value"]: one["gaps"]["auroc"] for one in found}
    assert area["south"]["p_holm"] < 0.001
    assert area["south"]["value"] < -0.3
    assert area["female"]["p_holm"] > 0.05


def test_sites_are_pooled_where_there_are_three():
    table, attributes = made_up(60)

    (found,) = heterogeneity(table, attributes, TASK, {"ill": 0.5})

    assert (found["by"], found["target"], found["reason"]) == ("site", "ill", "")
    assert [study["value"] for study in found["studies"]] == ["north", "south", "west"]
    values = [study["auroc"]["value"] for study in found["studies"]]
    assert min(values) <= found["pooled"]["value"] <= max(values)
    assert found["pooled"]["prediction_low"] < found["pooled"]["low"]


def test_two_sites_are_shown_and_not_pooled():
    table, attributes = made_up(60)
    keep = attributes["site"].isin(["north", "south"]).to_numpy()

    (found,) = heterogeneity(table[keep], attributes[keep], TASK, {"ill": 0.5})

    assert found["pooled"] is None
    assert found["reason"].startswith("2 of 2 sites have patients enough")
    assert len(found["studies"]) == 2


def test_a_planted_site_makes_results_heterogeneous():
    (equal,) = heterogeneity(*made_up(240, separation=3.0), TASK, {"ill": 0.5})
    (apart,) = heterogeneity(*made_up(240, miss=("south",), separation=3.0), TASK, {"ill": 0.5})

    assert apart["pooled"]["q_p"] < 0.001 < equal["pooled"]["q_p"]
    assert apart["pooled"]["i_squared"] > 0.8


def test_without_positives_nothing_is_defined_and_nothing_fails():
    table, attributes = made_up(60)
    table = table.assign(target_ill=np.float32(0))

    found = subgroup_gaps(table, attributes, TASK, {"ill": 0.5})
    (between,) = heterogeneity(table, attributes, TASK, {"ill": 0.5})

    assert all(one["gaps"]["auroc"]["value"] is None and one["gaps"]["specificity"]["p"] is not None for one in found)
    assert between["pooled"] is None
    assert all(study["auroc"]["value"] is None for study in between["studies"])
