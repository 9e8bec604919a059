"""The summary of one side: its shape, its numbers against the plain scores, its unknowns."""

import json

import numpy as np
import pandas as pd
import pytest
from tests.unit.metrics import reference_scores as scores

from auscult.config.task import FourClass, TaskSettings
from auscult.config.train import monitors_for
from auscult.metrics.icbhi import four_classes, icbhi_score
from auscult.metrics.summary import summarise, validation_metrics

NAN = np.nan
METRICS = set(scores.PROBABILITY_SCORES) | set(scores.DECISION_SCORES)
FOUR = TaskSettings(
    description="t",
    type="multi_label",
    targets=("crackle", "wheeze"),
    level="clip",
    four_class=FourClass(crackle="crackle", wheeze="wheeze"),
)
BINARY = TaskSettings(description="t", type="binary", targets=("sick",), level="patient")
DIGITS = TaskSettings(description="t", type="multi_class", targets=("0", "1", "2"), level="recording")


def ids_of(n: int, per_recording: int = 2, per_patient: int = 10) -> pd.DataFrame:
    at = np.arange(n)
    return pd.DataFrame(
        {
            "clip_id": [f"d/{k // per_recording}:{k % per_recording}" for k in at],
            "recording_id": [f"d/{k // per_recording}" for k in at],
            "patient_id": [f"d/p{k // per_patient}" for k in at],
        }
    )


def sample(n: int, n_targets: int, unknown: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(n)
    y = (generator.random((n, n_targets)) < 0.4).astype(np.float32)
    p = np.clip(0.3 * y + 0.7 * generator.random((n, n_targets)), 0, 1)
    y[generator.random((n, n_targets)) < unknown] = NAN
    return y, p


def test_values_equal_the_plain_scores_at_every_level():
    y, p = sample(200, 2, unknown=0.2)
    ids = ids_of(200)
    found = summarise(y, p, ids, FOUR, (0.5, 0.6), np.random.default_rng(0), 50)
    assert list(found) == ["clip", "recording", "patient"]
    for level in found:
        table = pd.DataFrame(np.hstack([y, p]), columns=["yc", "yw", "pc", "pw"]).groupby(ids[f"{level}_id"].to_numpy())
        grouped = table.agg({"yc": "max", "yw": "max", "pc": "mean", "pw": "mean"})
        for target, short, threshold in (("crackle", "c", 0.5), ("wheeze", "w", 0.6)):
            truth, answers = grouped["y" + short].to_numpy(), grouped["p" + short].to_numpy()
            section = found[level][target]
            assert set(section) == METRICS | {"n", "confusion"}
            for name, score in scores.PROBABILITY_SCORES.items():
                assert section[name]["value"] == pytest.approx(score(truth, answers)), (level, name)
            said = (answers >= threshold).astype(float)
            for name, score in scores.DECISION_SCORES.items():
                expected = score(truth, said)
                assert section[name]["value"] == (None if expected is None else pytest.approx(expected)), (level, name)
            assert section["n"]["positive"] == (truth == 1).sum()
            assert section["n"]["negative"] == (truth == 0).sum()
            assert section["n"]["unknown"] == np.isnan(truth).sum()
            assert sum(section["confusion"].values()) == (~np.isnan(truth)).sum()
            assert section["confusion"]["tp"] == ((truth == 1) & (said == 1)).sum()


def test_intervals_hold_their_value_and_macro_is_the_mean():
    y, p = sample(200, 2)
    found = summarise(y, p, ids_of(200), FOUR, (0.5, 0.5), np.random.default_rng(0), 200)["clip"]
    for name in METRICS:
        one, other, macro = (found[key][name] for key in ("crackle", "wheeze", "macro"))
        assert one["low"] < one["value"] < one["high"]
        assert macro["value"] == pytest.approx((one["value"] + other["value"]) / 2)
        assert macro["low"] < macro["value"] < macro["high"]


def test_four_classes_are_judged_as_the_challenge_does():
    y, p = sample(100, 2, unknown=0.1)
    found = summarise(y, p, ids_of(100), FOUR, (0.5, 0.6), np.random.default_rng(0), 20)["clip"]["four_class"]
    true = four_classes(y[:, 0], y[:, 1])
    said = four_classes(p[:, 0] >= 0.5, p[:, 1] >= 0.6)
    assert found["score"]["value"] == pytest.approx(icbhi_score(true, said))
    assert found["unit"] == "percent"
    assert found["classes"] == ["none", "crackle", "wheeze", "both"]
    assert np.sum(found["confusion"]) == found["n"]["known"] == (true >= 0).sum()
    assert found["n"]["unknown"] == (true < 0).sum()
    assert "two_class_score" in found


def test_unknown_cells_change_nothing_else():
    """What is not known must not enter a figure: as if its cells were not there."""
    y, p = sample(300, 1)
    ids = ids_of(300)
    unknown = np.random.default_rng(1).random(300) < 0.4
    masked = y.copy()
    masked[unknown] = NAN
    task = BINARY.model_copy(update={"level": "clip"})
    full = summarise(masked, p, ids, task, (0.5,), np.random.default_rng(0), 0)["clip"]["sick"]
    removed = summarise(y[~unknown], p[~unknown], ids[~unknown], task, (0.5,), np.random.default_rng(0), 0)
    removed = removed["clip"]["sick"]
    assert full["n"]["unknown"] == unknown.sum()
    for name in METRICS:
        assert full[name] == removed[name]
    assert full["confusion"] == removed["confusion"]


def test_one_class_only_gives_none_and_valid_json():
    y, p = np.zeros((12, 1)), np.linspace(0, 1, 12)[:, None]
    found = summarise(y, p, ids_of(12), BINARY, (0.5,), np.random.default_rng(0), 20)
    assert found["patient"]["sick"]["auroc"] == {"value": None, "low": None, "high": None}
    assert found["patient"]["sick"]["specificity"]["value"] is not None
    assert found["patient"]["macro"]["balanced_accuracy"]["value"] is None
    json.dumps(found, allow_nan=False)


def test_one_patient_has_no_interval():
    y, p = sample(10, 1)
    found = summarise(y, p, ids_of(10), BINARY, (0.5,), np.random.default_rng(0), 20)["clip"]["sick"]
    assert found["auroc"]["value"] is not None
    assert found["auroc"]["low"] is None


def test_nothing_known_at_all():
    y, p = np.full((6, 2), NAN), np.full((6, 2), 0.5)
    found = summarise(y, p, ids_of(6), FOUR, (0.5, 0.5), np.random.default_rng(0), 10)
    assert found["clip"]["crackle"]["n"] == {"positive": 0, "negative": 0, "unknown": 6, "patients": 0}
    assert all(found["clip"]["macro"][name]["value"] is None for name in METRICS)
    json.dumps(found, allow_nan=False)


def test_equal_generators_give_equal_intervals():
    y, p = sample(100, 1)
    one, other = (summarise(y, p, ids_of(100), BINARY, (0.5,), np.random.default_rng(seed), 100) for seed in (7, 7))
    assert one == other
    assert one != summarise(y, p, ids_of(100), BINARY, (0.5,), np.random.default_rng(8), 100)


def digits(n: int) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    generator = np.random.default_rng(0)
    classes = np.repeat(generator.permutation(np.arange(n // 2) % 3), 2)
    y = np.eye(3, dtype=np.float32)[classes]
    p = 0.5 * y + 0.5 * generator.dirichlet([1, 1, 1], n)
    return y, p, ids_of(n)


def test_multi_class_leaves_out_and_counts_groups_of_several_classes():
    y, p, ids = digits(60)
    y[:2] = NAN
    found = summarise(y, p, ids, DIGITS, (), np.random.default_rng(0), 100)
    assert set(found["clip"]) == {"multi_class"}
    recording = found["recording"]["multi_class"]
    assert recording["n"] == {"known": 29, "unknown": 1, "several_classes": 0, "patients": 6}
    assert np.sum(recording["confusion"]) == 29
    right = sum(recording["confusion"][k][k] for k in range(3))
    assert recording["accuracy"]["value"] == pytest.approx(right / 29)
    assert recording["accuracy"]["low"] <= recording["accuracy"]["value"] <= recording["accuracy"]["high"]
    assert [recording["by_class"][name]["n"] for name in recording["classes"]] == np.sum(
        recording["confusion"], axis=1
    ).tolist()
    patient = found["patient"]["multi_class"]
    assert patient["n"]["several_classes"] == 6
    assert patient["n"]["known"] == patient["n"]["unknown"] == 0
    assert patient["accuracy"]["value"] is None
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("task", [FOUR, BINARY, DIGITS], ids=["four", "binary", "digits"])
def test_validation_has_every_monitor_but_the_loss(task):
    y, p = sample(60, len(task.targets)) if task is not DIGITS else digits(60)[:2]
    found = validation_metrics(y, p, ids_of(60, 2, 2), task)
    assert set(found) | {"val/loss"} == set(monitors_for(task))
    assert all(0 <= value <= (100 if name == "val/icbhi_score" else 1) for name, value in found.items())


def test_validation_equals_the_summary_at_one_half():
    y, p = sample(200, 2, unknown=0.1)
    found = validation_metrics(y, p, ids_of(200), FOUR)
    summary = summarise(y, p, ids_of(200), FOUR, (0.5, 0.5), np.random.default_rng(0), 0)["clip"]
    for name in ("auroc", "auprc", "balanced_accuracy"):
        assert found[f"val/{name}"] == pytest.approx(summary["macro"][name]["value"])
    assert found["val/icbhi_score"] == pytest.approx(summary["four_class"]["score"]["value"])
    y, p, ids = digits(60)
    found = validation_metrics(y, p, ids, DIGITS)
    summary = summarise(y, p, ids, DIGITS, (), np.random.default_rng(0), 0)["recording"]["multi_class"]
    assert found["val/auroc"] == pytest.approx(summary["macro_auroc"]["value"])
    assert found["val/balanced_accuracy"] == pytest.approx(summary["balanced_accuracy"]["value"])
    assert found["val/accuracy"] == pytest.approx(summary["accuracy"]["value"])


def test_validation_of_one_class_is_none():
    found = validation_metrics(np.zeros((4, 1)), np.full((4, 1), 0.2), ids_of(4), BINARY)
    assert found == {"val/auroc": None, "val/auprc": None, "val/balanced_accuracy": None}


def test_too_few_thresholds_are_refused():
    y, p = sample(10, 2)
    with pytest.raises(ValueError, match="expected 2 thresholds, found 1"):
        summarise(y, p, ids_of(10), FOUR, (0.5,), np.random.default_rng(0), 0)


def test_a_validation_mean_is_undefined_where_one_target_is():
    y, p = sample(40, 2)
    y[:, 1] = 0
    found = validation_metrics(y, p, ids_of(40), FOUR)
    assert scores.auroc(y[:, 0], p[:, 0]) is not None
    assert found["val/auroc"] is found["val/auprc"] is found["val/balanced_accuracy"] is None
