"""Scores against scikit-learn, and what they do where they are undefined."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.metrics import reference_scores as reference

from auscult.metrics import plain_scores
from auscult.metrics.scores import binary_values

NAMES = ("auroc", "auprc", "balanced_accuracy")
labels = st.lists(st.tuples(st.sampled_from([0.0, 1.0, np.nan]), st.integers(0, 20)), max_size=60)


def answers_to(name, p):
    return (p >= 0.5).astype(float) if name == "balanced_accuracy" else p


@settings(max_examples=50, deadline=None)
@given(rows=labels)
@pytest.mark.parametrize("name", NAMES)
def test_scores_equal_scikit_learn_and_are_undefined_without_both_classes(name, rows):
    y = np.array([truth for truth, _ in rows])
    answers = answers_to(name, np.array([score for _, score in rows]) / 20)
    expected = getattr(reference, name)(y, answers)
    found = getattr(plain_scores, name)(y, answers)
    assert found == (None if expected is None else pytest.approx(expected, abs=1e-12))


@settings(max_examples=50, deadline=None)
@given(rows=labels)
def test_all_scores_of_a_target_equal_scikit_learn(rows):
    known = [(truth, score) for truth, score in rows if not np.isnan(truth)]
    y, p = np.array([row[0] for row in known]), np.array([row[1] for row in known]) / 20
    one_patient, once = np.zeros(len(y), int), np.ones((1, 1), np.float32)
    found = binary_values(y == 1, p, p >= 0.5, one_patient, once)
    every = {**reference.PROBABILITY_SCORES, **reference.DECISION_SCORES}
    assert set(found) == set(every)
    for name, score in every.items():
        answers = p if name in reference.PROBABILITY_SCORES else (p >= 0.5).astype(float)
        value = None if np.isnan(found[name][0]) else pytest.approx(found[name][0], abs=1e-9)
        assert score(y, answers) == value, name


@pytest.mark.parametrize("name", NAMES)
def test_unknown_rows_change_nothing(name):
    generator = np.random.default_rng(3)
    y = (generator.random(80) < 0.4).astype(float)
    answers = answers_to(name, generator.random(80))
    unknown = generator.random(80) < 0.4
    masked = np.where(unknown, np.nan, y)
    score = getattr(plain_scores, name)
    # What stands in an unknown row must not matter, not even when it is no number.
    spoilt = np.where(unknown, np.nan, answers)
    assert score(masked, spoilt) == score(y[~unknown], answers[~unknown]) is not None


def test_equal_scores_order_nothing():
    assert plain_scores.auroc([1, 0, 1, 0], [0.5] * 4) == 0.5
    assert plain_scores.auprc([1, 0, 1, 0], [0.5] * 4) == 0.5
    assert plain_scores.auroc([0, 1, 1, 0], [0.5, 0.5, 0.9, 0.1]) == 0.875


def test_calibration_bins_are_closed_on_the_right():
    found = plain_scores.calibration_bins(np.array([0.0, 1e-9, 0.25, 0.2501, 0.75, 1.0]), 4)
    assert found.tolist() == [0, 0, 0, 1, 2, 3]


def test_ece_is_the_mean_gap_of_equally_wide_bins():
    # Guo et al. 2017, equations 2 to 4, clip by clip.
    generator = np.random.default_rng(0)
    p = generator.random(500)
    y = (generator.random(500) < p**2).astype(int)
    bins = {}
    for probability, truth in zip(p, y, strict=True):
        bins.setdefault(math.ceil(probability * 15), []).append((probability, truth))
    expected = sum(abs(sum(truth - probability for probability, truth in members)) for members in bins.values()) / 500
    found = binary_values(y == 1, p, p >= 0.5, np.zeros(500, int), np.ones((1, 1), np.float32))["ece"]
    assert found[0] == pytest.approx(expected, abs=1e-6)


def test_faulty_input_is_refused():
    with pytest.raises(ValueError, match="0, 1 and NaN"):
        plain_scores.auroc([0, 2], [0.1, 0.2])
    with pytest.raises(ValueError, match="one length"):
        plain_scores.auroc([0, 1], [0.1])
    with pytest.raises(ValueError, match="1 predictions are not finite"):
        plain_scores.auprc([0, 1], [0.1, np.nan])
    with pytest.raises(ValueError, match="apply a threshold"):
        plain_scores.balanced_accuracy([0, 1], [0.1, 0.9])
