"""Conformal sets: coverage over many splits, a brute-force quantile, patients as units, few patients."""

import numpy as np
import pytest

from auscult.config import TaskSettings
from auscult.metrics.aggregation import LevelRows
from auscult.metrics.conformal import calibrate, fewest_patients, is_unsure, judge_sets, prediction_sets, risk_coverage

BINARY = TaskSettings(description="t", type="binary", targets=("sick",), level="patient")
CLIPS = BINARY.model_copy(update={"level": "clip"})
CLASSES = TaskSettings(description="t", type="multi_class", targets=("a", "b", "c"), level="patient")


def rows_of(truth: np.ndarray, probabilities: np.ndarray, patients: np.ndarray | None = None) -> LevelRows:
    ids = np.array([f"d/{k}" for k in range(len(truth))], dtype=object)
    owners = ids if patients is None else np.array([f"d/p{k}" for k in patients], dtype=object)
    targets = truth if truth.ndim == 2 else truth[:, None]
    return LevelRows(ids, owners, probabilities if probabilities.ndim == 2 else probabilities[:, None], targets)


def draw(generator: np.random.Generator, n: int, per_patient: int = 1) -> LevelRows:
    """A poor, badly calibrated model: positives are rare, and their clips resemble each other."""
    truth = (generator.random(n) < 0.3).astype(np.float32).repeat(per_patient)
    shift = generator.normal(0, 1, n).repeat(per_patient)
    logits = 1.2 * truth - 2 + shift + 0.5 * generator.normal(size=n * per_patient)
    return rows_of(truth, 1 / (1 + np.exp(-logits)), np.arange(n).repeat(per_patient))


@pytest.mark.parametrize(("task", "per_patient"), [(BINARY, 1), (CLIPS, 4)])
def test_each_class_is_covered_over_200_splits(task, per_patient):
    alpha = 0.2
    shares = {"negative": [], "positive": []}
    for split in range(200):
        generator = np.random.default_rng(split)
        described = calibrate(draw(generator, 80, per_patient), task, alpha)
        judged = judge_sets(draw(generator, 200, per_patient), task, described)["sick"]
        for name, found in judged.items():
            shares[name].append(found["covered"] / found["patients"])
    # At least 1 - alpha, and by no more than 1 / (n + 1) above it: some 24 positive and 56 negative patients.
    assert 0.8 - 0.012 < np.mean(shares["negative"]) < 0.8 + 1 / 40
    assert 0.8 - 0.015 < np.mean(shares["positive"]) < 0.8 + 1 / 15


def test_sets_of_several_classes_are_covered_too():
    shares = []
    for split in range(200):
        generator = np.random.default_rng(split)
        truth = generator.integers(0, 3, 240)
        logits = generator.normal(size=(240, 3)) + np.eye(3)[truth]
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        rows = rows_of(np.eye(3, dtype=np.float32)[truth], probabilities)
        parts = [rows_of(rows.targets[part], rows.probabilities[part]) for part in (slice(0, 90), slice(90, None))]
        judged = judge_sets(parts[1], CLASSES, calibrate(parts[0], CLASSES, 0.1))["classes"]
        shares += [found["covered"] / found["patients"] for found in judged.values()]
    assert 0.89 < np.mean(shares) < 0.94


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("n", [1, 8, 9, 10, 19, 40])
def test_the_quantile_is_the_smallest_score_that_enough_patients_do_not_exceed(n, alpha):
    generator = np.random.default_rng(n)
    probabilities = generator.random(n)
    found = calibrate(rows_of(np.ones(n, dtype=np.float32), probabilities), BINARY, alpha)["classes"]["sick"][
        "positive"
    ]
    scores = 1 - probabilities
    enough = [q for q in np.sort(scores) if (scores <= q).sum() >= (1 - alpha) * (n + 1) - 1e-9]
    assert found == {"quantile": enough[0] if enough else 1.0, "n": n}
    assert (found["quantile"] == 1.0) == (n < fewest_patients(alpha))


def test_a_patient_with_many_clips_counts_once():
    truth = np.ones(30, dtype=np.float32)
    probabilities = np.concatenate([np.full(20, 0.05), np.linspace(0.5, 0.95, 10)])
    patients = np.concatenate([np.zeros(20), np.arange(1, 11)]).astype(int)
    found = calibrate(rows_of(truth, probabilities, patients), CLIPS, 0.2)["classes"]["sick"]["positive"]
    # Of 11 patients the tenth score: all but the one whose 20 clips are doubted.
    assert found == {"quantile": 0.5, "n": 11}


def test_a_class_without_patients_is_never_ruled_out_and_unknown_rows_take_no_part():
    truth = np.array([0] * 20 + [np.nan] * 5, dtype=np.float32)
    rows = rows_of(truth, np.concatenate([np.full(20, 0.1), np.full(5, 0.9)]))
    described = calibrate(rows, BINARY, 0.1)
    assert described["classes"]["sick"]["positive"] == {"quantile": 1.0, "n": 0}
    assert described["classes"]["sick"]["negative"]["n"] == 20
    probabilities = np.array([[0.05], [0.1], [0.5], [1.0]])
    assert (
        prediction_sets(probabilities, BINARY, described)["sick"].tolist() == [[True, True]] * 2 + [[False, True]] * 2
    )
    assert is_unsure(probabilities, BINARY, described)["sick"].tolist() == [True, True, False, False]
    assert judge_sets(rows, BINARY, described)["sick"]["positive"]["patients"] == 0


def test_risk_over_coverage_ends_at_the_error_rate_and_falls_with_a_good_order():
    generator = np.random.default_rng(0)
    confidence = generator.random(500).round(2)
    is_wrong = generator.random(500) < 0.5 * (1 - confidence)
    curve = risk_coverage(is_wrong, confidence)
    assert curve["coverage"].iloc[-1] == 1
    assert curve["risk"].iloc[-1] == pytest.approx(is_wrong.mean())
    assert len(curve) == len(np.unique(confidence))
    for _, point in curve.iloc[::20].iterrows():
        kept = confidence >= np.sort(confidence)[::-1][round(point["coverage"] * 500) - 1]
        assert point["risk"] == pytest.approx(is_wrong[kept].mean())
    assert risk_coverage(np.zeros(0, dtype=bool), np.zeros(0)).empty
