"""Every metric of every view on inputs that leave little to judge: a value or None, never NaN, never a crash."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference

from auscult.config.task import FourClass, TaskSettings
from auscult.formatting.metric_tables import blocks
from auscult.metrics.repeated import RunPredictions, repeated_estimates
from auscult.metrics.summary import summarise

NAN = np.nan
TASKS = {
    "binary": TaskSettings(description="?", type="binary", targets=("a",), level="patient"),
    "multi_label": TaskSettings(
        description="?",
        type="multi_label",
        targets=("c", "w"),
        level="clip",
        four_class=FourClass(crackle="c", wheeze="w"),
    ),
    "multi_class": TaskSettings(description="?", type="multi_class", targets=("x", "y", "z"), level="recording"),
}
N = 12


def ids_of(n, n_patients):
    at = np.arange(n)
    patients = at % max(1, n_patients)
    return pd.DataFrame(
        {
            "clip_id": [f"c{k}" for k in at],
            "recording_id": [f"r{k}" for k in patients],
            "patient_id": [f"p{k}" for k in patients],
        }
    )


def inputs(kind, case):
    n_targets = len(TASKS[kind].targets)
    rng = np.random.default_rng(3)
    probabilities = rng.dirichlet(np.ones(n_targets), N) if kind == "multi_class" else rng.random((N, n_targets))
    targets = (
        np.eye(n_targets)[np.arange(N) % n_targets] if kind == "multi_class" else rng.integers(0, 2, (N, n_targets))
    )
    targets = targets.astype(float)
    n_patients = 1 if case == "one patient" else 4
    if case in {"one class", "one class, all missed"}:
        targets = np.eye(n_targets)[np.zeros(N, dtype=int)] if kind == "multi_class" else np.ones((N, n_targets))
        if case == "one class, all missed":
            probabilities = np.roll(targets, 1, axis=1) if kind == "multi_class" else np.zeros((N, n_targets))
    if case == "ties":
        probabilities = np.full((N, n_targets), 1 / n_targets)
    if case == "nothing known":
        targets[:] = NAN
    if case == "empty":
        targets, probabilities = targets[:0], probabilities[:0]
    if case == "one row":
        targets, probabilities = targets[:1], probabilities[:1]
    return targets, probabilities, ids_of(len(targets), n_patients)


CASES = ("one class", "one class, all missed", "ties", "one patient", "nothing known", "empty", "one row")


@pytest.mark.parametrize(("kind", "case"), list(itertools.product(TASKS, CASES)))
def test_little_to_judge_gives_a_value_or_says_why_not(kind, case):
    task = TASKS[kind]
    targets, probabilities, ids = inputs(kind, case)
    thresholds = [0.5] * len(task.targets)
    found = summarise(targets, probabilities, ids, task, thresholds, np.random.default_rng(0), 20)
    json.dumps(found, allow_nan=False)
    for level in ("clip", "recording", "patient"):
        for block in blocks(found, task, level):
            every = [*block.numbers.values(), *(one for row in block.by_class.values() for one in row.values())]
            for number in every:
                assert "nan" not in str(number)
                assert (number.value is not None) or number.reason
                assert (number.low is None) == (number.high is None)
    if case in {"one patient", "one row"}:
        assert all(number.low is None for number in block.numbers.values())
    runs = [RunPredictions(targets, probabilities, ids, thresholds)] * 2
    json.dumps(repeated_estimates(runs, task, np.random.default_rng(0), 20), allow_nan=False)


def test_scikit_learn_agrees_with_every_number_at_clip_level():
    rng = np.random.default_rng(8)
    for _ in range(20):
        n = int(rng.integers(2, 40))
        y, p = rng.integers(0, 2, (n, 2)).astype(float), np.round(rng.random((n, 2)), 1)
        task = TASKS["multi_label"]
        found = summarise(y, p, ids_of(n, 5), task, [0.5, 0.3], np.random.default_rng(0), 0)["clip"]
        said = p >= [0.5, 0.3]
        assert found["macro"]["exact_match"]["value"] == pytest.approx(reference.accuracy_score(y == 1, said))
        for column, target in enumerate(task.targets):
            truth, answers = y[:, column], said[:, column]
            if len(set(truth)) < 2 or len(set(answers)) < 2:
                continue
            expected = {
                "auroc": reference.roc_auc_score(truth, p[:, column]),
                "auprc": reference.average_precision_score(truth, p[:, column]),
                "sensitivity": reference.recall_score(truth, answers),
                "specificity": reference.recall_score(truth, answers, pos_label=0),
                "ppv": reference.precision_score(truth, answers),
                "npv": reference.precision_score(truth, answers, pos_label=0),
                "f1": reference.f1_score(truth, answers),
                "balanced_accuracy": reference.balanced_accuracy_score(truth, answers),
                "mcc": reference.matthews_corrcoef(truth, answers),
                "brier": reference.brier_score_loss(truth, p[:, column]),
            }
            for name, value in expected.items():
                assert found[target][name]["value"] == pytest.approx(value), name
