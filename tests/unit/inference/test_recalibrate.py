"""A model recalibrated on some patients of a new site: who refits, who is judged, what changes and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import soundfile
from tests.unit.inference.test_datasets import with_history
from typer.testing import CliRunner

import auscult
from auscult.cli import app
from auscult.config import TaskSettings
from auscult.config.description import write_description
from auscult.errors import ConfigError, DataError
from auscult.inference.evaluate_model import evaluate_model
from auscult.inference.recalibrate import settings_of_model
from auscult.metrics.aggregation import at_level
from auscult.metrics.calibration_line import calibration_line
from auscult.models import load_model
from auscult.models.operating_point import choose_operating_point
from auscult.storage.tables import probabilities_of, truth_of

pytestmark = pytest.mark.usefixtures("plain_figures")


@pytest.fixture
def site(project):
    """A new site of 49 patients with a known state, most of them of two recordings."""
    rng = np.random.default_rng(8)
    for patient in range(10, 50):
        for number in range(2):
            loudness = rng.uniform(0.02, 0.2)
            state = "ill" if loudness < rng.uniform(0.02, 0.2) else "well"
            sound = rng.standard_normal(3200) * loudness
            soundfile.write(project / "raw" / f"p{patient}_{state}_{number}.wav", sound, 2000)
    return project


def edit(folder, **changes):
    write_description(folder, {**json.loads((folder / "model.json").read_text()), **changes})
    return folder


def test_some_patients_refit_and_the_others_are_judged(site, make_model):
    folder = with_history(make_model())
    out = site / "out"
    report = evaluate_model(folder, "clinic", output_dir=out, recalibrate_share=0.4, seed=3)
    table = pd.read_parquet(out / "1" / "predictions.parquet")
    patients = {name: set(rows["patient_id"]) for name, rows in table.groupby("split")}
    assert set(patients) == {"calibration", "test"}
    assert not patients["calibration"] & patients["test"]
    assert len(patients["calibration"]) == pytest.approx(0.4 * 49, abs=1)
    assert len(patients["calibration"] | patients["test"]) == 49

    # What was frozen is what the clips of these patients give by themselves, with Platt scaling.
    plain, refitted = load_model(folder), load_model(out / "1")
    task = TaskSettings.model_validate({**plain.meta["task"], "level": "patient"})
    kept = table[table["split"] == "calibration"]
    of_files = auscult.load_model(folder).predict(site / "raw").clips
    keys = of_files["file"].str.extract(r"(p\d+_[a-z]+_\d)")[0] + ":" + of_files["clip"].astype(str)
    prob = pd.Series(of_files["prob_ill"].to_numpy(dtype=np.float64), index=keys.to_numpy())
    prob = prob.loc[kept["clip_id"].str.extract(r"/(.*):")[0] + ":" + kept["clip_id"].str[-4:].astype(int).astype(str)]
    logits = np.log(prob / (1 - prob)).to_numpy(copy=True)[:, None]
    expected = choose_operating_point(logits, truth_of(kept, task), kept, task, settings_of_model(plain.meta, task))
    found = refitted.meta["calibration"]
    assert (found["method"], found["fitted_on"]) == ("platt", "recalibration")
    for name in ("slope", "intercept"):
        assert found["maps"][0].get(name) == pytest.approx(expected["calibration"]["maps"][0].get(name), rel=0.02)
    assert refitted.meta["thresholds"]["ill"] == pytest.approx(expected["thresholds"]["ill"], abs=0.01)

    metrics = json.loads((out / "1" / "metrics.json").read_text())
    assert metrics["thresholds"] == refitted.meta["thresholds"]
    about = metrics["recalibration"]
    assert (about["dataset"], about["fraction"], about["seed"]) == ("clinic", 0.4, 3)
    assert (about["n_refit"], about["n_judged"]) == (len(patients["calibration"]), len(patients["test"]))
    line = about["lines"]["ill"]
    assert line["after"] == {key: metrics["clinical"]["calibration"]["ill"][key] for key in ("intercept", "slope")}
    test = table[table["split"] == "test"]
    earlier = replace(refitted, meta={**refitted.meta, "calibration": None})
    assert earlier.meta["recalibration"]["previous"]["thresholds"] == plain.meta["thresholds"]
    fit = found["maps"][0]
    raw = probabilities_of(test, task)
    raw = 1 / (1 + np.exp(-(np.log(raw / (1 - raw)) - fit["intercept"]) / fit["slope"]))
    rows = at_level(raw, truth_of(test, task), test, task, "patient")
    before = calibration_line(rows.targets[:, 0].astype(float), rows.probabilities[:, 0], rows.patient_ids)
    for name in ("intercept", "slope"):
        assert line["before"][name]["value"] == pytest.approx(before[name]["value"], abs=1e-3)
    assert abs(line["after"]["intercept"]["value"]) < abs(line["before"]["intercept"]["value"])

    page, text = report.read_text(encoding="utf-8"), (out / "1" / "report.txt").read_text()
    for shown in ("Recalibrated on this site", "--recalibrate 0.4 --seed 3", "a recalibration part", "Platt scaling"):
        assert shown in page
    assert f"on {about['n_refit']} patients of clinic (share 0.4, seed 3), judged on the other" in text
    assert "its own thresholds" not in page

    with pytest.raises(DataError, match="was recalibrated on patients of clinic"):
        evaluate_model(out / "1", "clinic", output_dir=site / "again")


def test_the_kind_and_the_rules_are_the_models_own(make_model):
    task = TaskSettings.model_validate({"description": "", "type": "binary", "targets": ["ill"], "level": "patient"})
    many = task.model_copy(update={"type": "multi_class", "targets": ("a", "b")})
    assert settings_of_model({}, task).calibration == "platt"
    assert settings_of_model({}, many).calibration == "temperature"
    assert settings_of_model({"temperature": 1.3}, task).calibration == "temperature"
    found = settings_of_model(
        {
            "calibration": {"method": "isotonic"}, "threshold_rule": "target_sensitivity", "threshold_target": 0.8,
            "conformal": {"alpha": 0.2},
        },
        task,
    )  # fmt: skip
    assert (found.calibration, found.threshold, found.threshold_target) == ("isotonic", "target_sensitivity", 0.8)
    assert found.conformal is not None and found.conformal.alpha == 0.2


def test_too_few_patients_are_refused_with_the_counts(project, make_model):
    folder = with_history(make_model())
    with pytest.raises(DataError, match=r"of 9 patients \d would refit .* at least 5 of each class .* with ill that"):
        evaluate_model(folder, "clinic", output_dir=project / "out", recalibrate_share=0.5)
    assert not (project / "out").exists()


def test_a_share_is_between_0_and_1_and_of_a_new_dataset(project, make_model):
    folder = with_history(make_model())
    for share in (0.0, 1.0, 30.0, float("nan")):
        with pytest.raises(ConfigError, match="above 0 and below 1"):
            evaluate_model(folder, "clinic", output_dir=project / "out", recalibrate_share=share)
    with pytest.raises(ConfigError, match="leave one of them out"):
        evaluate_model(folder, "clinic", output_dir=project / "out", recalibrate_share=0.5, test_set_only=True)
    found = CliRunner().invoke(app, ["evaluate", str(folder), "--dataset", "clinic", "--recalibrate", "2"])
    assert found.exit_code != 0
