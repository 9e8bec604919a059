"""The bootstrap over patients: weights, intervals, and agreement with drawing rows one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from auscult.metrics import scores
from auscult.metrics.icbhi import confusion, scores_of
from auscult.metrics.intervals import draw_weights, estimate
from auscult.metrics.weighted import binary_values, four_class_values, multi_class_values


def test_the_first_weighting_is_the_sample_and_every_draw_holds_as_many_patients():
    weights = draw_weights(7, 500, np.random.default_rng(0))
    assert weights.shape == (7, 501)
    np.testing.assert_array_equal(weights[:, 0], 1)
    np.testing.assert_array_equal(weights.sum(axis=0), 7)
    # With replacement: a patient is absent from a draw with probability (1 - 1/7)^7 = 0.34.
    assert (weights[:, 1:] == 0).mean() == pytest.approx((6 / 7) ** 7, abs=0.03)


def test_weights_come_from_the_generator_alone():
    first = draw_weights(9, 20, np.random.default_rng(4))
    np.testing.assert_array_equal(first, draw_weights(9, 20, np.random.default_rng(4)))
    assert not np.array_equal(first, draw_weights(9, 20, np.random.default_rng(5)))


def test_no_patients_or_no_draws():
    assert draw_weights(0, 5, np.random.default_rng(0)).shape == (0, 6)
    assert draw_weights(3, 0, np.random.default_rng(0)).shape == (3, 1)


def test_an_interval_is_the_percentiles_of_the_draws():
    values = np.concatenate([[0.5], np.linspace(0, 1, 1001)])
    assert estimate(values, 10) == {"value": 0.5, "low": pytest.approx(0.025), "high": pytest.approx(0.975)}


def test_an_interval_needs_two_patients_and_half_of_the_draws():
    nothing = {"value": 0.5, "low": None, "high": None}
    values = np.concatenate([[0.5], np.linspace(0, 1, 100)])
    assert estimate(values, 1) == nothing
    assert estimate(values[:1], 10) == nothing
    half = np.concatenate([[0.5], np.full(50, np.nan), np.full(50, 0.25)])
    assert estimate(half, 10) == {"value": 0.5, "low": 0.25, "high": 0.25}
    fewer = np.concatenate([[0.5], np.full(51, np.nan), np.full(49, 0.25)])
    assert estimate(fewer, 10) == nothing
    assert estimate(np.array([np.nan, 0.5, 0.5]), 10) == {"value": None, "low": None, "high": None}


rows = st.lists(
    st.tuples(st.booleans(), st.integers(0, 8), st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=40
)


def exploded(weights: np.ndarray, patients: np.ndarray, draw: int) -> np.ndarray:
    """The rows of one draw, as indices: each as often as its patient was drawn."""
    return np.repeat(np.arange(len(patients)), weights[patients, draw].astype(int))


@settings(max_examples=60, deadline=None)
@given(rows=rows, seed=st.integers(0, 1000))
def test_weighted_scores_equal_plain_scores_of_the_drawn_rows(rows, seed):
    truth = np.array([row[0] for row in rows])
    p = np.array([row[1] for row in rows]) / 8
    patients = np.array([row[2] for row in rows])
    said = p >= 0.5
    weights = draw_weights(5, 6, np.random.default_rng(seed))
    values = binary_values(truth, p, said, patients, weights)
    for draw in range(7):
        at = exploded(weights, patients, draw)
        for name, score in {**scores.PROBABILITY_SCORES, **scores.DECISION_SCORES}.items():
            answers = p if name in scores.PROBABILITY_SCORES else said.astype(float)
            expected = score(truth[at].astype(float), answers[at])
            found = values[name][draw]
            assert (None if np.isnan(found) else pytest.approx(found, abs=1e-9)) == expected, name


@settings(max_examples=40, deadline=None)
@given(rows=rows, seed=st.integers(0, 1000))
def test_weighted_class_scores_equal_those_of_the_drawn_rows(rows, seed):
    generator = np.random.default_rng(seed)
    true = np.array([row[3] for row in rows])
    p = generator.random((len(rows), 4))
    patients = np.array([row[2] for row in rows])
    weights = draw_weights(5, 6, generator)
    values = multi_class_values(true, p, patients, weights)
    four = four_class_values(true, p.argmax(axis=1), patients, weights)
    for draw in range(7):
        at = exploded(weights, patients, draw)
        table = confusion(true[at], p[at].argmax(axis=1))
        for name, expected in scores_of(table).items():
            np.testing.assert_allclose(four[name][draw], expected, atol=1e-9)
        if len(set(true[at])) < 4:
            assert np.isnan(values["macro_auroc"][draw])
            assert np.isnan(values["balanced_accuracy"][draw])
            continue
        said = p[at].argmax(axis=1)
        expected = {
            "accuracy": reference.accuracy_score(true[at], said),
            "balanced_accuracy": reference.balanced_accuracy_score(true[at], said),
            "macro_f1": reference.f1_score(true[at], said, average="macro"),
            "macro_auroc": np.mean([reference.roc_auc_score(true[at] == k, p[at, k]) for k in range(4)]),
        }
        assert {name: pytest.approx(value[draw], abs=1e-9) for name, value in values.items()} == expected


def test_pieces_of_draws_make_the_whole(monkeypatch):
    generator = np.random.default_rng(0)
    truth, p = generator.random(300) < 0.3, generator.integers(0, 50, 300) / 50
    patients = generator.integers(0, 20, 300)
    weights = draw_weights(20, 100, np.random.default_rng(1))
    whole = binary_values(truth, p, p >= 0.5, patients, weights)
    monkeypatch.setattr("auscult.metrics.ranking.CELLS_AT_ONCE", 2000)
    pieces = binary_values(truth, p, p >= 0.5, patients, weights)
    for name, values in whole.items():
        np.testing.assert_array_equal(values, pieces[name])


def test_sums_beyond_float32_stay_exact(monkeypatch):
    generator = np.random.default_rng(0)
    truth, p = generator.random(500) < 0.5, generator.random(500)
    patients = generator.integers(0, 10, 500)
    weights = draw_weights(10, 50, np.random.default_rng(1))
    short = binary_values(truth, p, p >= 0.5, patients, weights)
    monkeypatch.setattr("auscult.metrics.ranking._EXACT_IN_FLOAT32", 0)
    wide = binary_values(truth, p, p >= 0.5, patients, weights)
    for name in ("auroc", "auprc"):
        np.testing.assert_allclose(short[name], wide[name], rtol=1e-12)


def test_drawing_patients_gives_wider_intervals_than_drawing_clips():
    generator = np.random.default_rng(0)
    patients = np.repeat(np.arange(30), 20)
    truth = np.repeat(generator.random(30) < 0.5, 20)
    p = np.clip(np.repeat(0.3 * generator.standard_normal(30), 20) + 0.4 + 0.2 * truth, 0, 1)
    by_patient = binary_values(truth, p, p >= 0.5, patients, draw_weights(30, 400, generator))["auroc"]
    by_clip = binary_values(truth, p, p >= 0.5, np.arange(600), draw_weights(600, 400, generator))["auroc"]
    assert np.nanstd(by_patient[1:]) > 3 * np.nanstd(by_clip[1:])


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        truth = generator.random(80) < 0.5
        p = np.clip(0.5 + 0.15 * (2 * truth - 1) + 0.2 * generator.standard_normal(80), 0, 1)
        said = p >= 0.5
        values = binary_values(truth, p, said, np.arange(80), draw_weights(80, 300, generator))["accuracy"]
        interval = estimate(values, 80)
        # P(0.5 + 0.15 + 0.2 z >= 0.5) = Phi(0.75).
        covered += interval["low"] <= 0.7734 <= interval["high"]
    assert 0.88 <= covered / 200 <= 0.99
