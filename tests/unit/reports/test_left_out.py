"""A matrix in the report: a site whose device is heard differently is found out when it is left out."""

import json
import re
from functools import partial

import numpy as np
import pandas as pd
import pytest

from auscult.reports.left_out_section import mean_shift
from auscult.reports.publish import publish

pytestmark = pytest.mark.usefixtures("plain_figures")

SITES = ("north", "south", "west", "east")


def site_of(clips):
    return np.array(SITES, dtype=object)[clips["patient_id"].str[-3:].astype(int) % 4]


def learn_without(run, clips, *, planted):
    """Fit a linear model on what the training holds: an ill patient's recording is loud in a tone of the device.

    In the east, where `planted`, the tone is that of the healthy ones.
    """
    rng = np.random.default_rng(8)
    ill = {patient: float(rng.random() < 0.45) for patient in sorted(clips["patient_id"].unique())}
    truth, site = clips["patient_id"].map(ill).to_numpy(dtype=np.float64), site_of(clips)
    sign = np.where((site == "east") & planted, -1, 1)
    own = {patient: rng.normal(0, 0.6) for patient in ill}
    tone = sign * (2 * truth - 1) + clips["patient_id"].map(own).to_numpy() + rng.normal(0, 0.3, len(clips))
    is_test = site == run.left_out
    inputs = np.column_stack([tone, np.ones(len(tone))])
    weights = np.linalg.lstsq(inputs[~is_test], truth[~is_test], rcond=None)[0]
    noise = 0.1 * run.settings.train.seed * rng.normal(size=len(tone))
    prob = 1 / (1 + np.exp(-4 * (inputs @ weights - 0.5) - noise))
    is_val = ~is_test & (clips["patient_id"].str[-1] == "1").to_numpy()
    clips["split"] = np.select([is_test, is_val], ["test", "val"], "train")
    kept = (clips["split"] != "train").to_numpy()
    return clips[kept].reset_index(drop=True), truth[kept, None].astype(np.float32), prob[kept, None]


@pytest.fixture(scope="module")
def published(make_predicted, tmp_path_factory):
    """Publish a matrix over sites; the folder of the result is returned."""

    def make(*, values=SITES, planted=True, **changes):
        job = {"split": {"kind": "patients"}, "matrix": {"leave_out": "site", "values": list(values)}, **changes}
        folder = tmp_path_factory.mktemp("result")
        publish(**make_predicted(job, partial(learn_without, planted=planted)).arguments(folder))
        return folder

    return make


@pytest.fixture(scope="module")
def planted(published):
    return published()


def test_the_planted_site_falls_far_below_the_others_and_heterogeneity_is_reported(planted):
    table = pd.read_csv(planted / "left_out.csv")
    area = table[table["row"] == "left out"].set_index("value")["auroc"]
    assert list(area.index) == list(SITES)
    assert area["east"] < 0.2 and area.drop("east").min() > 0.8
    pooled = table[table["row"] == "pooled"].iloc[0]
    assert pooled["n_studies"] == 4 and pooled["i_squared"] > 0.5 and pooled["q_p"] < 0.001
    assert pooled["prediction_low"] < area["east"] + 0.1 and pooled["prediction_high"] > 0.9
    page = (planted / "report.html").read_text(encoding="utf-8")
    section = page[page.index('id="matrix"') : page.index('id="job-1_without_north"')]
    assert re.search(r"By site: AUROC 0\.\d+ .* pooled over 4; of another site .* is expected", section)
    assert "AUROC of each site that was left out" in section and (planted / "comparison/left_out_1.png").is_file()


def test_without_a_planted_site_little_differs(published):
    table = pd.read_csv(published(planted=False) / "left_out.csv")
    pooled = table[table["row"] == "pooled"].iloc[0]
    assert table["auroc"].min() > 0.8
    assert pooled["i_squared"] < 0.5 and pooled["q_p"] > 0.05


def test_rows_are_the_scores_of_their_trainings(planted):
    table = pd.read_csv(planted / "left_out.csv").set_index("value")
    for site in SITES:
        view = json.loads((planted / "1" / f"without_{site}" / "metrics.json").read_text())["test"]["patient"][
            "pneumonia"
        ]
        row = table.loc[site]
        for name in ("auroc", "sensitivity", "specificity"):
            assert [row[name], row[f"{name}_low"], row[f"{name}_high"]] == pytest.approx(
                [view[name]["value"], view[name]["low"], view[name]["high"]]
            )
        assert row[["patients", "positive_patients", "negative_patients"]].tolist() == [
            view["n"][name] for name in ("patients", "positive_patients", "negative_patients")
        ]


def test_no_mean_is_taken_over_left_out_values(planted):
    numbers = json.loads((planted / "metrics.json").read_text())["jobs"]
    assert list(numbers) == [f"1/without_{site}" for site in SITES]
    page = (planted / "report.html").read_text(encoding="utf-8")
    assert "Mean over folds and seeds" not in page
    assert "1 job, 4 trainings, evaluated by" in page
    assert 'each site left out in turn</a>: <span class="figure">AUROC, pooled' in page


def test_the_population_is_set_against_that_of_the_training_part(planted):
    row = pd.read_csv(planted / "left_out.csv").iloc[0]
    # Of the Table 1 that all splits have here: 10 of 28 test patients are ill, 5 of 15 that were trained on.
    assert (row["prevalence"], row["prevalence_trained"]) == pytest.approx((10 / 28, 5 / 15))
    spread = np.sqrt((10 * 18 / 28**2 + 5 * 10 / 15**2) / 2)
    assert row["prevalence_standardised_difference"] == pytest.approx((10 / 28 - 5 / 15) / spread)
    assert "36% against 33%" in (planted / "report.html").read_text(encoding="utf-8")


def test_two_values_are_not_pooled_and_the_page_says_why(published):
    folder = published(values=("north", "east"))
    pooled = pd.read_csv(folder / "left_out.csv").iloc[-1]
    assert np.isnan(pooled["auroc"])
    assert "By site: not pooled, 2 of 2 sites have patients enough" in (folder / "report.html").read_text()


def test_seeds_are_repeats_of_their_value_alone(published):
    folder = published(values=("north", "south", "east"), seeds=[1, 2])
    numbers = json.loads((folder / "metrics.json").read_text())["jobs"]
    assert [name for name, of_run in numbers.items() if "runs" in of_run] == [
        "1/without_north", "1/without_south", "1/without_east"
    ]  # fmt: skip
    table = pd.read_csv(folder / "left_out.csv").set_index("value")
    seeds = [numbers[f"1/without_north_seed{seed}"] for seed in (1, 2)]
    assert table.loc["north", "auroc"] == pytest.approx(np.mean([of_run["auroc"] for of_run in seeds]))
    assert table.loc["north", "patients"] == 15
    page = (folder / "report.html").read_text()
    assert "the mean of 2 trainings" in page
    shown_elsewhere = re.findall(r"<code>(1/without_\w+)/figures</code>", page)
    assert len(shown_elsewhere) == 5 and "1/without_north_seed1" not in shown_elsewhere


def test_a_mean_is_standardised_by_both_deviations_and_unknown_without_them():
    found = mean_shift({"mean": 50.0, "deviation": 10.0}, {"mean": 40.0, "deviation": 10.0})
    assert (found.difference, found.text, found.is_large) == (pytest.approx(1.0), "50.0 against 40.0", True)
    earlier = mean_shift({"median": 50.0}, {"mean": 40.0, "deviation": 10.0})
    assert (earlier.difference, earlier.text) == (None, "– against 40.0")
