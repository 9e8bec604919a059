"""Folds and seeds together against doing it draw by draw."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from scipy.stats import t
from tests.unit.metrics import reference_scores as scores

from auscult.config.task import FourClass, TaskSettings
from auscult.metrics.intervals import resample_weights
from auscult.metrics.repeated import RunPredictions, repeated_estimates
from auscult.metrics.score_intervals import proportion_interval, undefined
from auscult.metrics.summary import summarise

TASK = TaskSettings(
    description="?",
    type="multi_label",
    targets=("c", "w"),
    level="clip",
    four_class=FourClass(crackle="c", wheeze="w"),
)


def run_of(patients, seed):
    rng = np.random.default_rng(seed)
    owners = np.repeat(patients, 6)
    ids = pd.DataFrame({"clip_id": [f"{seed}-{k}" for k in range(len(owners))], "patient_id": owners})
    truth = rng.integers(0, 2, (len(owners), 2)).astype(float)
    p = np.clip(0.5 * truth + 0.7 * rng.random(truth.shape), 0, 1)
    return RunPredictions(truth, p, ids.assign(recording_id=ids["patient_id"]), (0.5, 0.5))


@pytest.mark.parametrize("kind", ["folds", "seeds"])
def test_the_interval_of_the_mean_is_that_of_judging_every_run_in_every_draw(kind):
    names = [f"p{number:02d}" for number in range(18)]
    parts = [names[k::3] for k in range(3)] if kind == "folds" else [names] * 3
    runs = [run_of(part, seed) for seed, part in enumerate(parts)]
    found = repeated_estimates(runs, TASK, np.random.default_rng(4), 40)

    weights = resample_weights(18, 40, np.random.default_rng(4))
    means, f1s = [], []
    for draw in range(41):
        of_runs, f1_of_runs = [], []
        for run in runs:
            counts = weights[np.searchsorted(names, run.ids["patient_id"]), draw].astype(int)
            at = np.repeat(np.arange(len(counts)), counts)
            truth, p = np.asarray(run.targets)[at, 0], np.asarray(run.probabilities)[at, 0]
            of_runs.append(scores.auroc(truth, p))
            f1_of_runs.append(scores.f1(truth, (p >= 0.5).astype(float)))
        means.append(np.mean(of_runs))
        f1s.append(np.mean(f1_of_runs))
    assert found["c"]["auroc"]["value"] == pytest.approx(means[0])
    # F1 is the score whose interval rests on the resamples; 18 patients have both classes.
    spread = t.ppf(0.975, 17) * np.std(f1s[1:], ddof=1) * np.sqrt(18 / 17) / (f1s[0] * (1 - f1s[0]))
    ends = [expit(logit(f1s[0]) + sign * spread) for sign in (-1, 1)]
    assert (found["c"]["f1"]["low"], found["c"]["f1"]["high"]) == pytest.approx(ends)
    single = [
        summarise(run.targets, run.probabilities, run.ids, TASK, run.thresholds, np.random.default_rng(0), 0)["clip"]
        for run in runs
    ]
    for view in ("c", "w", "macro", "four_class"):
        for metric, estimate in found[view].items():
            assert estimate["value"] == pytest.approx(np.mean([part[view][metric]["value"] for part in single]))


def test_a_run_in_which_a_score_is_undefined_is_left_out():
    runs = [run_of(["a", "b", "c"], 1), run_of(["d", "e", "f"], 2)]
    only_positive = RunPredictions(np.ones((18, 2)), runs[1].probabilities, runs[1].ids, (0.5, 0.5))
    alone = repeated_estimates(runs[:1], TASK, np.random.default_rng(0), 0)
    both = repeated_estimates([runs[0], only_positive], TASK, np.random.default_rng(0), 0)
    assert both["c"]["auroc"] == alone["c"]["auroc"]
    assert both["c"]["sensitivity"]["value"] != alone["c"]["sensitivity"]["value"]


@pytest.mark.parametrize("kind", ["binary", "multi_label", "multi_class"])
def test_one_run_alone_has_the_values_of_its_summary(kind):
    """Of every kind of task, and with probabilities that lie on the threshold, which count as positive."""
    rng = np.random.default_rng(8)
    targets = ("c",) if kind == "binary" else ("c", "w")
    task = TaskSettings(description="?", type=kind, targets=targets, level="clip")
    truth = np.eye(2)[rng.integers(0, 2, 60)][:, : len(targets)]
    p = np.clip(0.5 * truth + rng.integers(0, 5, truth.shape) / 8, 0, 1)
    ids = pd.DataFrame({"clip_id": np.arange(60).astype(str), "patient_id": np.repeat(np.arange(10).astype(str), 6)})
    run = RunPredictions(truth, p, ids.assign(recording_id=ids["patient_id"]), (0.5,) * len(targets))
    found = repeated_estimates([run], task, np.random.default_rng(0), 30)
    whole = summarise(truth, p, run.ids, task, run.thresholds, np.random.default_rng(0), 30)["clip"]
    for view, metrics in found.items():
        assert metrics == {name: whole[view][name] for name in metrics}
    assert set(found) == set(whole)


def test_a_score_that_is_undefined_in_the_only_run_is_none():
    run = run_of(["a", "b"], 1)
    only_positive = RunPredictions(np.ones((12, 2)), run.probabilities, run.ids, run.thresholds)
    found = repeated_estimates([only_positive], TASK, np.random.default_rng(0), 5)
    assert found["c"]["auroc"] == undefined()


def test_three_folds_of_few_patients_are_never_narrower_than_their_patients_allow():
    """16 patients in three folds, each judged once: two folds all right, one with every positive missed."""
    task = TaskSettings(description="?", type="binary", targets=("c",), level="patient")
    runs = []
    for fold, n in enumerate((6, 5, 5)):
        ids = [f"{fold}-{k}" for k in range(n)]
        truth = (np.arange(n) % 2 == 0).astype(float)[:, None]
        p = np.where(truth == 1, 0.1 if fold == 2 else 0.9, 0.2)
        runs.append(
            RunPredictions(truth, p, pd.DataFrame({"clip_id": ids, "recording_id": ids, "patient_id": ids}), (0.5,))
        )
    found = repeated_estimates(runs, task, np.random.default_rng(0), 50)["c"]
    assert found["sensitivity"]["value"] == pytest.approx(2 / 3)
    low, high = proportion_interval(6, 9)
    assert found["sensitivity"]["low"] <= low + 0.01 and found["sensitivity"]["high"] >= high - 0.01
    assert found["specificity"]["value"] == 1 and found["specificity"]["low"] < 0.7


def test_seeds_do_not_multiply_patients():
    """The same answers thrice are worth as much as once."""
    names = [f"p{number:02d}" for number in range(12)]
    run = run_of(names, 3)
    once, thrice = (repeated_estimates([run] * n, TASK, np.random.default_rng(0), 50) for n in (1, 3))
    for view in ("c", "four_class"):
        for name, one in once[view].items():
            assert thrice[view][name]["low"] == (one["low"] and pytest.approx(one["low"])), name
            assert thrice[view][name]["high"] == (one["high"] and pytest.approx(one["high"])), name
