"""The bootstrap over patients: weights, intervals, and agreement with drawing rows one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import t
from sklearn import metrics as reference
from tests.unit.metrics import reference_scores as scores

from auscult.config import TaskSettings
from auscult.metrics.icbhi import confusion, scores_of
from auscult.metrics.intervals import estimate, resample_weights
from auscult.metrics.score_intervals import MIN_PATIENTS_RESAMPLED, undefined
from auscult.metrics.scores import (
    binary_values,
    exact_match_values,
    four_class_values,
    multi_class_values,
)


def test_the_first_weighting_is_the_sample_and_every_draw_holds_as_many_patients():
    weights = resample_weights(7, 500, np.random.default_rng(0))
    assert weights.shape == (7, 501)
    np.testing.assert_array_equal(weights[:, 0], 1)
    np.testing.assert_array_equal(weights.sum(axis=0), 7)
    # With replacement: a patient is absent from a draw with probability (1 - 1/7)^7 = 0.34.
    assert (weights[:, 1:] == 0).mean() == pytest.approx((6 / 7) ** 7, abs=0.03)


def test_weights_come_from_the_generator_alone():
    first = resample_weights(9, 20, np.random.default_rng(4))
    np.testing.assert_array_equal(first, resample_weights(9, 20, np.random.default_rng(4)))
    assert not np.array_equal(first, resample_weights(9, 20, np.random.default_rng(5)))


def test_draws_that_are_made_in_pieces_are_those_of_one_go():
    n_patients = 1_000_000  # four draws a piece
    weights = resample_weights(n_patients, 6, np.random.default_rng(3))
    chosen = np.random.default_rng(3).integers(0, n_patients, size=(6, n_patients))
    for draw, patients in enumerate(chosen, 1):
        np.testing.assert_array_equal(weights[:, draw], np.bincount(patients, minlength=n_patients))


def test_no_patients_or_no_draws():
    assert resample_weights(0, 5, np.random.default_rng(0)).shape == (0, 6)
    assert resample_weights(3, 0, np.random.default_rng(0)).shape == (3, 1)


def test_an_interval_is_students_around_the_value():
    resamples = np.random.default_rng(0).normal(0.5, 0.1, 1000)
    found = estimate(np.concatenate([[0.5], resamples]), 12)
    far = t.ppf(0.975, 11) * resamples.std(ddof=1) * np.sqrt(12 / 11)
    assert (found["low"], found["high"]) == pytest.approx((0.5 - far, 0.5 + far))
    assert (found["method"], found["reason"]) == ("bootstrap over patients", "")


def test_a_bounded_score_has_its_interval_on_the_logit_scale():
    resamples = np.random.default_rng(0).normal(0.9, 0.1, 1000)
    found = estimate(np.concatenate([[0.9], resamples]), 12, bounds=(-1, 1))
    far = t.ppf(0.975, 11) * resamples.std(ddof=1) * np.sqrt(12 / 11) / 2 / (0.95 * 0.05)
    ends = [2 * expit(logit(0.95) + sign * far) - 1 for sign in (-1, 1)]
    assert (found["low"], found["high"]) == pytest.approx(ends)
    assert -1 < found["low"] < 0.9 < found["high"] < 1


VARIED = np.linspace(0, 1, 100)


@pytest.mark.parametrize(
    ("resamples", "n_patients", "value", "reason"),
    [
        (VARIED, MIN_PATIENTS_RESAMPLED - 1, 0.5, f"at least {MIN_PATIENTS_RESAMPLED} are needed"),
        (VARIED[:0], 50, 0.5, "no resamples"),
        (np.where(np.arange(100) < 51, np.nan, VARIED), 50, 0.5, "undefined in more than half"),
        (np.full(100, 0.5), 50, 0.5, "the same value"),
        (VARIED, 50, 1.0, "end of its range"),
    ],
)
def test_without_an_interval_there_is_the_reason(resamples, n_patients, value, reason):
    found = estimate(np.concatenate([[value], resamples]), n_patients, bounds=(0, 1))
    assert found["value"] == value and found["low"] is None and found["high"] is None and not found["method"]
    assert reason in found["reason"]


def test_the_fewest_patients_and_half_of_the_resamples_are_enough():
    half = np.where(np.arange(100) < 50, np.nan, VARIED)
    assert estimate(np.concatenate([[0.5], half]), MIN_PATIENTS_RESAMPLED)["low"] is not None


def test_an_undefined_value_needs_no_reason():
    assert estimate(np.array([np.nan, 0.5, 0.5]), 10) == undefined()


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
    weights = resample_weights(5, 6, np.random.default_rng(seed))
    values = binary_values(truth, p, said, patients, weights)
    for draw in range(7):
        at = exploded(weights, patients, draw)
        for name, score in {**scores.PROBABILITY_SCORES, **scores.DECISION_SCORES}.items():
            answers = p if name in scores.PROBABILITY_SCORES else said.astype(float)
            expected = score(truth[at].astype(float), answers[at])
            found = values[name][draw]
            assert (None if np.isnan(found) else pytest.approx(found, abs=1e-9)) == expected, name


@settings(max_examples=25, deadline=None)
@given(rows=rows, seed=st.integers(0, 1000))
def test_weighted_class_scores_equal_those_of_the_drawn_rows(rows, seed):
    generator = np.random.default_rng(seed)
    true = np.array([row[3] for row in rows])
    p = generator.dirichlet(np.ones(4), len(rows))
    patients = np.array([row[2] for row in rows])
    weights = resample_weights(5, 6, generator)
    task = TaskSettings(
        description="t", type="multi_class", targets=("a", "b", "c", "d"), level="clip",
        normal_class="b", left_out_classes=("d",),
    )  # fmt: skip
    values, _ = multi_class_values(true, p, patients, weights, task)
    four = four_class_values(true, p.argmax(axis=1), patients, weights)
    for draw in range(7):
        at = exploded(weights, patients, draw)
        table = confusion(true[at], p[at].argmax(axis=1))
        for name, expected in scores_of(table).items():
            np.testing.assert_allclose(four[name][draw], expected, atol=1e-9)
        found = {name: None if np.isnan(value[draw]) else float(value[draw]) for name, value in values.items()}
        expected = multi_class_reference(true[at], p[at])
        assert found == {name: expected[name] and pytest.approx(expected[name], abs=1e-9) for name in found}


def multi_class_reference(true: np.ndarray, p: np.ndarray) -> dict[str, float | None]:
    """By scikit-learn, and by hand what it lacks; None where a class that is averaged over has no such score."""
    said = p.argmax(axis=1)
    if not len(true):
        return dict.fromkeys(MULTI_CLASS)
    labels = range(4)
    everywhere = len(set(true)) == 4
    # At least one row of another class, for each class.
    elsewhere = len(set(true)) > 1
    rates = {
        name: [score((true == k).astype(float), (said == k).astype(float)) for k in labels]
        for name, score in (("specificity", scores.specificity), ("ppv", scores.ppv), ("npv", scores.npv))
    }
    means = {f"macro_{name}": None if None in found else np.mean(found) for name, found in rates.items()}
    f1 = [scores.f1((true == k).astype(float), (said == k).astype(float)) for k in labels]
    of_rank = {
        "macro_auroc": lambda k: reference.roc_auc_score(true == k, p[:, k]),
        "macro_auprc": lambda k: reference.average_precision_score(true == k, p[:, k]),
    }
    sure, is_right = p.max(axis=1), said == true
    gaps = 0.0
    for upper in range(1, 16):
        here = (sure > (upper - 1) / 15) & (sure <= upper / 15)
        gaps += abs(sure[here].sum() - is_right[here].sum()) / len(true)
    return {
        **by_normal_class(true, said),
        "accuracy": reference.accuracy_score(true, said),
        "balanced_accuracy": reference.balanced_accuracy_score(true, said) if everywhere else None,
        **{name: np.mean([area(k) for k in labels]) if everywhere else None for name, area in of_rank.items()},
        "macro_f1": None if None in f1 else np.mean(f1),
        **means,
        "mcc": reference.matthews_corrcoef(true, said) if elsewhere and len(set(said)) > 1 else None,
        "brier": np.mean(((p - np.eye(4)[true]) ** 2).sum(axis=1)),
        "ece": gaps,
    }


def by_normal_class(true: np.ndarray, said: np.ndarray) -> dict[str, float | None]:
    """The challenge's scores where class 1 is normal and class 3 is left out, by counting row by row."""
    normal, adventitious = true == 1, (true == 0) | (true == 2)
    found: dict[str, float | None] = {}
    specificity = float((said[normal] == 1).mean()) if normal.any() else None
    hits = {"": said == true, "two_class_": (said == 0) | (said == 2)}
    for prefix, hit in hits.items():
        sensitivity = float(hit[adventitious].mean()) if adventitious.any() else None
        found[f"{prefix}sensitivity"] = sensitivity
        if sensitivity is None or specificity is None:
            found |= {f"{prefix}{name}_score": None for name in ("average", "harmonic", "challenge")}
            continue
        average, total = (sensitivity + specificity) / 2, sensitivity + specificity
        harmonic = 2 * sensitivity * specificity / total if total else 0.0
        scores_found = {"average": average, "harmonic": harmonic, "challenge": (average + harmonic) / 2}
        found |= {f"{prefix}{name}_score": value for name, value in scores_found.items()}
    return {"specificity": specificity, **found}


MULTI_CLASS = (
    *("sensitivity", "specificity", "average_score", "harmonic_score", "challenge_score", "two_class_sensitivity"),
    *("two_class_average_score", "two_class_harmonic_score", "two_class_challenge_score"),
    *("accuracy", "balanced_accuracy", "macro_f1", "macro_auroc", "macro_auprc"),
    *("macro_specificity", "macro_ppv", "macro_npv", "mcc", "brier", "ece"),
)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.tuples(*[st.booleans()] * 4, st.integers(0, 4)), min_size=1, max_size=30), seed=st.integers(0, 9)
)
def test_all_targets_right_is_scikit_learns_subset_accuracy(rows, seed):
    table = np.array(rows)
    truth, said, patients = table[:, :2] == 1, table[:, 2:4] == 1, table[:, 4].astype(int)
    weights = resample_weights(5, 6, np.random.default_rng(seed))
    values = exact_match_values(truth, said, patients, weights)
    for draw in range(7):
        at = exploded(weights, patients, draw)
        if len(at):
            assert values[draw] == pytest.approx(reference.accuracy_score(truth[at], said[at]))
        else:
            assert np.isnan(values[draw])


def test_pieces_of_draws_make_the_whole(monkeypatch):
    generator = np.random.default_rng(0)
    truth, p = generator.random(300) < 0.3, generator.integers(0, 50, 300) / 50
    patients = generator.integers(0, 20, 300)
    weights = resample_weights(20, 100, np.random.default_rng(1))
    whole = binary_values(truth, p, p >= 0.5, patients, weights)
    monkeypatch.setattr("auscult.metrics.ranking.CELLS_AT_ONCE", 2000)
    pieces = binary_values(truth, p, p >= 0.5, patients, weights)
    for name, values in whole.items():
        np.testing.assert_array_equal(values, pieces[name])
    # Fewer cells than one weighting has: a column alone is summed in another order.
    monkeypatch.setattr("auscult.metrics.ranking.CELLS_AT_ONCE", 100)
    pieces = binary_values(truth, p, p >= 0.5, patients, weights)
    for name, values in whole.items():
        np.testing.assert_allclose(values, pieces[name], rtol=1e-12)


def test_sums_beyond_float32_stay_exact(monkeypatch):
    generator = np.random.default_rng(0)
    truth, p = generator.random(500) < 0.5, generator.random(500)
    patients = generator.integers(0, 10, 500)
    weights = resample_weights(10, 50, np.random.default_rng(1))
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
    by_patient = binary_values(truth, p, p >= 0.5, patients, resample_weights(30, 400, generator))["auroc"]
    by_clip = binary_values(truth, p, p >= 0.5, np.arange(600), resample_weights(600, 400, generator))["auroc"]
    assert np.nanstd(by_patient[1:]) > 3 * np.nanstd(by_clip[1:])
