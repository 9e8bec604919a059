"""Metadata beside the sound, and the probe for shortcuts, on patients of whom the answer is known."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from tests.unit.evaluation.conftest import TASKS, make_world

from auscult.config import ClipSettings
from auscult.evaluation.evaluate import evaluate
from auscult.evaluation.metadata_baseline import PENALTIES, measure_metadata
from auscult.evaluation.shortcut_probe import MAX_CLIPS, draw_clips, probe_shortcuts
from auscult.formatting.baselines import baselines_of
from auscult.storage.tables import predictions_table, write_parquet

pytestmark = pytest.mark.usefixtures("plain_figures")

N = 240
SUBSETS = np.repeat(["train", "val", "test"], N // 3)


def patients_of(rng):
    """Patients with one recording and two clips each; half are ill."""
    return pd.DataFrame({
        "patient_id": [f"toy/p{number:03d}" for number in range(N)],
        "ill": rng.permutation(np.arange(N) % 2),
        "sex": rng.choice(["female", "male"], N),
        "age_years": rng.uniform(1, 80, N),
        "device": rng.choice(["contact", "open"], N),
    })  # fmt: skip


def measured(tmp_path, patients, sound, *, kind="binary", resamples=200):
    """What `measure_metadata` says where the model gives `sound`, one probability a patient."""
    recordings = pd.DataFrame({
        "recording_id": patients["patient_id"] + "_1", "dataset": "toy", "patient_id": patients["patient_id"],
        "path": "a.wav", "site": None, "sample_rate_hz": 4000, "n_channels": 1, "n_samples": 4000, "duration_s": 1.0,
        "encoding": "PCM_16", "sha256": "0" * 64, "fingerprint": None,
        **{name: patients[name] for name in ("sex", "age_years", "device")},
    }).astype({"site": "str", "fingerprint": "str"})  # fmt: skip
    write_parquet(tmp_path / "recordings.parquet", recordings)
    clips = recordings.loc[recordings.index.repeat(2), ["recording_id", "patient_id", "dataset"]]
    clips = clips.assign(split=np.repeat(SUBSETS, 2), start_s=0.0, end_s=1.0)
    clips.insert(0, "clip_id", clips["recording_id"] + np.tile([":0", ":1"], N))
    task = TASKS[kind]
    targets = np.repeat(patients["ill"].to_numpy(np.float32), 2)[:, None]
    at = (clips["split"] == "train").to_numpy()
    predicted = predictions_table(clips[~at], targets[~at], np.repeat(sound, 2)[:, None][~at], task)
    train = (clips[at].reset_index(drop=True), targets[at])
    generator = np.random.default_rng(1)
    return measure_metadata(predicted, train, {"toy": tmp_path}, task=task, generator=generator, resamples=resamples)


def test_the_sound_adds_where_metadata_know_nothing(tmp_path) -> None:
    rng = np.random.default_rng(0)
    patients = patients_of(rng)
    sound = 1 / (1 + np.exp(-(3 * patients["ill"] - 1.5 + rng.normal(size=N))))

    found = measured(tmp_path, patients, sound.to_numpy())

    assert found["columns"] == ["age", "sex", "device"]
    assert found["n_train"] == N // 3
    is_test = SUBSETS == "test"
    truth = patients["ill"][is_test]
    assert found["sound"]["auroc"]["value"] == pytest.approx(roc_auc_score(truth, sound[is_test]))
    assert found["metadata"]["auroc"]["low"] < 0.5 < found["metadata"]["auroc"]["high"]
    assert found["added"]["auroc"]["low"] > 0.2
    assert found["added"]["auroc"]["value"] == pytest.approx(
        found["both"]["auroc"]["value"] - found["metadata"]["auroc"]["value"]
    )


def test_nothing_is_added_by_a_sound_that_only_repeats_metadata(tmp_path) -> None:
    rng = np.random.default_rng(3)
    patients = patients_of(rng)
    # The ill were recorded with the open device, mostly, and the model hears the device alone.
    is_open = np.where(rng.random(N) < 0.85, patients["ill"], 1 - patients["ill"]) == 1
    patients["device"] = np.where(is_open, "open", "contact")
    sound = np.where(is_open, 0.8, 0.2) + rng.normal(0, 0.05, N)

    found = measured(tmp_path, patients, np.clip(sound, 0.01, 0.99))

    assert found["sound"]["auroc"]["low"] > 0.7
    assert found["metadata"]["auroc"]["low"] > 0.7
    assert found["added"]["auroc"]["low"] <= 0 <= found["added"]["auroc"]["high"]
    text = baselines_of({"baselines": {"metadata": found, "shortcuts": {}}}, TASKS["binary"], ClipSettings()).verdict
    assert text.endswith("that it adds anything is not shown.")


def test_metadata_are_fitted_on_training_patients_with_the_penalty_of_validation(tmp_path) -> None:
    rng = np.random.default_rng(5)
    patients = patients_of(rng)
    patients["device"] = "open"
    patients["age_years"] = np.nan
    patients["sex"] = np.where(rng.random(N) < 0.75, np.where(patients["ill"], "female", "male"), patients["sex"])

    found = measured(tmp_path, patients, rng.random(N))

    x = {name: np.stack([(patients["sex"] == sex)[name == SUBSETS] for sex in ("female", "male")], axis=1) * 1.0
         for name in ("train", "val", "test")}  # fmt: skip
    y = {name: patients["ill"][name == SUBSETS] for name in x}
    models = [LogisticRegression(C=penalty).fit(x["train"], y["train"]) for penalty in PENALTIES]
    losses = [-np.log(model.predict_proba(x["val"])[np.arange(len(y["val"])), y["val"]]).mean() for model in models]
    best = int(np.argmin(losses))
    assert found["columns"] == ["sex"]
    assert found["penalty"] == [PENALTIES[best]]
    predicted = models[best].predict_proba(x["test"])[:, 1]
    assert found["metadata"]["auroc"]["value"] == pytest.approx(roc_auc_score(y["test"], predicted))
    assert found["metadata"]["brier"]["value"] == pytest.approx(np.mean((predicted - y["test"]) ** 2), abs=1e-6)


def test_what_is_not_known_in_training_is_no_fault_and_equal_metadata_are_no_baseline(tmp_path) -> None:
    patients = patients_of(np.random.default_rng(6))
    sound = np.random.default_rng(7).random(N)
    patients.loc[SUBSETS == "test", "device"] = "never seen"
    patients.loc[::3, "sex"] = None
    (tmp_path / "one").mkdir()
    assert measured(tmp_path / "one", patients, sound)["metadata"]["auroc"]["value"] is not None

    same = patients.assign(sex="female", device="open", age_years=40.0)
    found = measured(tmp_path, same, sound)
    assert found == {"reason": "no metadata are known that differ among the training patients"}
    text = baselines_of({"baselines": {"metadata": found, "shortcuts": {}}}, TASKS["binary"], ClipSettings()).verdict
    assert "no metadata are known" in text


def test_a_small_validation_weighs_nothing_and_says_so(tmp_path) -> None:
    rng = np.random.default_rng(8)
    patients = patients_of(rng)
    patients.loc[SUBSETS == "val", "ill"] = 0

    found = measured(tmp_path, patients, rng.random(N))

    assert found["both"] is None
    assert found["added"] is None
    assert "one class only" in found["both_reason"]
    assert (
        "The sound alone is"
        in baselines_of({"baselines": {"metadata": found, "shortcuts": {}}}, TASKS["binary"]).verdict
    )


def probed(*, tone=0.0, by_label=0.5, seed=0, n=120):
    """Embeddings of patients in which the label shows strongly, and the device with `tone`.

    Args:
        by_label: Share of the ill that were recorded with device a; of the others the rest.
    """
    rng = np.random.default_rng(seed)
    ill = rng.random(n) < 0.5
    is_a = rng.random(n) < np.where(ill, by_label, 1 - by_label)
    x = rng.normal(size=(2 * n, 32))
    x[:, :3] += 3 * np.repeat(ill, 2)[:, None]
    x[:, 5] += tone * np.repeat(is_a, 2)
    clips = pd.DataFrame({
        "patient_id": np.repeat([f"p{number}" for number in range(n)], 2),
        "device": np.repeat(np.where(is_a, "a", "b"), 2), "site": "not stated", "dataset": "toy",
    })  # fmt: skip
    targets = np.repeat(ill, 2)[:, None].astype(np.float32)
    return probe_shortcuts(x.astype(np.float32), clips, targets, generator=np.random.default_rng(1), resamples=300)


def test_a_device_that_is_heard_is_found_and_the_report_warns() -> None:
    found = probed(tone=6.0)

    assert found["device"]["auroc"]["value"] > 0.95
    assert set(found["device"]["values"]) == {"a", "b"}
    said = baselines_of({"baselines": {"metadata": {"reason": "none"}, "shortcuts": found}}, TASKS["binary"])
    assert said.has_warning
    assert "the embeddings tell device" in said.shortcut_verdict


def test_a_device_that_is_not_heard_is_told_by_chance() -> None:
    values = [probed(seed=seed)["device"]["auroc"]["value"] for seed in range(6)]
    assert np.mean(values) == pytest.approx(0.5, abs=0.06)


def test_what_the_embeddings_know_by_the_label_alone_is_no_shortcut() -> None:
    found = [probed(by_label=0.85, seed=seed)["device"] for seed in range(6)]

    # Who reads the label without an error and knows no more reaches 0.85.
    assert np.mean([of["auroc_any_label"]["value"] for of in found]) > 0.7
    assert np.mean([of["auroc"]["value"] for of in found]) == pytest.approx(0.5, abs=0.07)


def test_why_nothing_is_probed() -> None:
    found = probed(by_label=1.0)
    assert found["device"]["auroc"] is None
    assert "cannot be told from the label" in found["device"]["reason"]
    assert found["site"]["reason"] == "no site is stated"
    assert found["dataset"]["reason"] == "all are of one dataset"
    assert "fewer than two have 10 patients" in probed(n=8)["device"]["reason"]


def test_clips_to_embed_are_spread_over_patients() -> None:
    patients = np.repeat(np.array([f"p{number}" for number in range(100)], dtype=object), 30)

    drawn = draw_clips(patients, np.random.default_rng(0))

    assert (np.diff(drawn) > 0).all()
    assert np.unique(patients[drawn], return_counts=True)[1].tolist() == [MAX_CLIPS // 100] * 100
    assert len(draw_clips(np.arange(2000).astype(str).astype(object), np.random.default_rng(0))) == MAX_CLIPS


@pytest.mark.parametrize("kind", ["binary", "multi_label", "multi_class"])
def test_an_evaluation_writes_baselines_of_every_kind_of_task(judge_once, kind) -> None:
    world, folder = judge_once(kind)
    found = json.loads((folder / "metrics.json").read_text())["baselines"]

    assert set(found["shortcuts"]) == {"device", "site", "dataset"}
    # Each patient has recordings with both devices.
    assert {name: of["patients"] for name, of in found["shortcuts"]["device"]["values"].items()} == {
        "contact": found["shortcuts"]["device"]["values"]["open"]["patients"],
        "open": found["shortcuts"]["device"]["values"]["open"]["patients"],
    }
    text = (folder / "report.txt").read_text()
    assert "baselines" in text
    assert baselines_of({"baselines": found}, world.task).verdict in text


def test_baselines_can_be_left_out_and_a_foreign_test_set_has_none(tmp_path) -> None:
    world = make_world(tmp_path / "world", "binary", draws=20)
    settings = world.job.evaluate.model_copy(update={"baselines": False})
    without = replace(world, job=world.job.model_copy(update={"evaluate": settings}))
    evaluate(**without.arguments(tmp_path / "out"))
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["baselines"] is None

    split = pd.read_csv(world.split)
    split[split["split"] == "test"].to_csv(world.split, index=False)
    evaluate(**world.arguments(tmp_path / "foreign"))
    found = json.loads((tmp_path / "foreign" / "metrics.json").read_text())["baselines"]
    assert found["shortcuts"] == {}
    assert "no training and validation patients" in found["metadata"]["reason"]
