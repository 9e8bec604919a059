"""The summary of one side: its shape, its numbers against the plain scores, its unknowns."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score
from tests.unit.metrics import reference_scores as scores

from auscult.config.task import FourClass, TaskSettings
from auscult.config.train import monitors_for
from auscult.metrics.icbhi import four_classes, icbhi_score
from auscult.metrics.score_intervals import undefined
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
        assert macro["value"] == pytest.approx((one["value"] + other["value"]) / 2)
        if name == "ece":
            assert one["low"] is None and "biased" in one["reason"] and "biased" in macro["reason"]
            continue
        assert one["low"] < one["value"] < one["high"]
        assert macro["low"] < macro["value"] < macro["high"]
        assert one["method"] and macro["method"]


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
    assert found["patient"]["sick"]["auroc"] == undefined()
    assert found["patient"]["sick"]["specificity"]["value"] is not None
    assert found["patient"]["macro"]["balanced_accuracy"]["value"] is None
    json.dumps(found, allow_nan=False)


def test_one_patient_has_no_interval():
    y, p = sample(10, 1)
    found = summarise(y, p, ids_of(10), BINARY, (0.5,), np.random.default_rng(0), 20)["clip"]["sick"]
    assert found["auroc"]["value"] is not None
    assert found["auroc"]["low"] is None


def own_patients(n):
    names = [f"p{k}" for k in range(n)]
    return pd.DataFrame({"clip_id": names, "recording_id": names, "patient_id": names})


def test_patients_are_counted_by_what_their_rows_hold():
    """A patient with a positive clip and a negative one is counted on both sides."""
    y = np.array([[1.0], [0.0], [1.0], [0.0], [NAN]])
    ids = pd.DataFrame({"clip_id": list("vwxyz"), "recording_id": list("aabcd"), "patient_id": list("aabcd")})
    found = summarise(y, np.full((5, 1), 0.5), ids, BINARY, (0.5,), np.random.default_rng(0), 0)
    n = found["clip"]["sick"]["n"]
    assert (n["patients"], n["positive_patients"], n["negative_patients"], n["unknown"]) == (3, 2, 2, 1)


def test_nine_patients_all_right_have_an_interval_that_knows_their_number():
    y = np.array([1.0] * 4 + [0.0] * 5)[:, None]
    ids = own_patients(9)
    found = summarise(y, 0.1 + 0.8 * y, ids, BINARY, (0.5,), np.random.default_rng(0), 200)["patient"]["sick"]
    assert found["auroc"]["value"] == 1 and 0.5 < found["auroc"]["low"] < 0.7 and found["auroc"]["high"] == 1
    assert (found["sensitivity"]["low"], found["sensitivity"]["high"]) == pytest.approx((0.05**0.25, 1))
    assert found["accuracy"]["low"] == pytest.approx(0.05 ** (1 / 9))
    assert found["balanced_accuracy"]["low"] is not None
    assert (
        found["mcc"] == {**found["mcc"], "value": pytest.approx(1), "low": None}
        and "at least 10" in found["mcc"]["reason"]
    )


def test_two_patients_have_no_interval_at_all():
    y = np.array([[1.0], [0.0]] * 3)
    ids = pd.DataFrame({"clip_id": list("uvwxyz"), "recording_id": list("ababab"), "patient_id": list("ababab")})
    found = summarise(y, np.random.default_rng(0).random((6, 1)), ids, BINARY, (0.5,), np.random.default_rng(0), 200)
    for level in ("clip", "recording", "patient"):
        for name in METRICS:
            assert found[level]["sick"][name]["low"] is None
            assert found[level]["sick"][name]["value"] is None or found[level]["sick"][name]["reason"]


def test_no_score_leaves_its_range():
    """Of many sizes: rounding once made a correlation 1.0000000000000004."""
    for n in range(6, 60):
        y = (np.arange(n) % 3 == 0).astype(float)[:, None]
        ids = own_patients(n)
        found = summarise(y, y, ids, BINARY, (0.5,), np.random.default_rng(0), 20)["clip"]["sick"]
        for name in METRICS:
            ends = [found[name][end] for end in ("value", "low", "high") if found[name][end] is not None]
            assert all((-1 if name == "mcc" else 0) <= end <= 1 for end in ends), name


def test_nothing_known_at_all():
    y, p = np.full((6, 2), NAN), np.full((6, 2), 0.5)
    found = summarise(y, p, ids_of(6), FOUR, (0.5, 0.5), np.random.default_rng(0), 10)
    assert found["clip"]["crackle"]["n"] == {
        **{"positive": 0, "negative": 0, "unknown": 6},
        **{"patients": 0, "positive_patients": 0, "negative_patients": 0},
    }
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


@pytest.mark.parametrize("unknown", [0.0, 0.1])
def test_exact_match_is_the_accuracy_of_whole_rows_of_scikit_learn(unknown):
    task = FOUR.model_copy(update={"targets": ("a", "b", "c"), "four_class": None})
    y, p = sample(90, 3, unknown=unknown)
    whole = ~np.isnan(y).any(axis=1)
    expected = accuracy_score(y[whole].astype(int), (p[whole] >= 0.5).astype(int))
    assert 0 < expected < 1
    assert validation_metrics(y, p, ids_of(90, 1), task)["val/exact_match"] == pytest.approx(expected)
    summary = summarise(y, p, ids_of(90, 1), task, (0.5,) * 3, np.random.default_rng(0), 0)
    assert summary["clip"]["macro"]["exact_match"]["value"] == pytest.approx(expected)
