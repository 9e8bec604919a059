"""DeLong's test against sums over all pairs, a worked-out example's own arithmetic, and the bootstrap."""

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from auscult.metrics.delong import area_difference, areas_of
from auscult.metrics.intervals import resample_weights
from auscult.metrics.ranking import ranking_areas


def brute_force(truth, scores):
    """DeLong et al. 1988, equations 3 to 7, by loops over all pairs of a positive and a negative."""
    psi = lambda x, y: 1.0 if y < x else 0.5 if y == x else 0.0  # noqa: E731
    v10, v01, areas = [], [], []
    for row in scores:
        positives, negatives = row[truth == 1], row[truth == 0]
        v10.append([np.mean([psi(x, y) for y in negatives]) for x in positives])
        v01.append([np.mean([psi(x, y) for x in positives]) for y in negatives])
        areas.append(np.mean([psi(x, y) for x in positives for y in negatives]))
    s10, s01 = np.atleast_2d(np.cov(v10)), np.atleast_2d(np.cov(v01))
    return np.array(areas), s10 / len(v10[0]) + s01 / len(v01[0])


def clustered_brute_force(truth, scores, patients):
    """Obuchowski 1997, section 2: sums of placements by patient, by loops over rows and pairs."""
    psi = lambda x, y: 1.0 if y < x else 0.5 if y == x else 0.0  # noqa: E731
    n_positive, n_negative = int((truth == 1).sum()), int((truth == 0).sum())
    names = sorted(set(patients))
    of_positive, of_negative = np.zeros((2, len(names), len(scores)))
    for model, row in enumerate(scores):
        positives, negatives = row[truth == 1], row[truth == 0]
        area = np.mean([psi(x, y) for x in positives for y in negatives])
        for at, name in enumerate(names):
            for score, label in zip(row[patients == name], truth[patients == name], strict=True):
                if label == 1:
                    of_positive[at, model] += np.mean([psi(score, y) for y in negatives]) - area
                else:
                    of_negative[at, model] += np.mean([psi(x, score) for x in positives]) - area
    with_positive = len(set(patients[truth == 1]))
    with_negative = len(set(patients[truth == 0]))
    s10 = with_positive / ((with_positive - 1) * n_positive) * of_positive.T @ of_positive
    s01 = with_negative / ((with_negative - 1) * n_negative) * of_negative.T @ of_negative
    s11 = len(names) / (len(names) - 1) * of_positive.T @ of_negative
    return s10 / n_positive + s01 / n_negative + (s11 + s11.T) / (n_positive * n_negative)


@pytest.mark.parametrize("n_patients", [3, 4, 9])
def test_the_covariance_of_few_patients_is_obuchowskis(n_patients):
    rng = np.random.default_rng(n_patients)
    patients = np.repeat(np.arange(n_patients), 5)
    truth = (rng.random(len(patients)) < 0.5).astype(float)
    truth[patients == 0] = 1
    scores = np.round(rng.random((2, len(patients))) + 0.4 * truth, 1)
    found = areas_of(truth, scores, patients)
    assert found is not None
    np.testing.assert_allclose(found.covariance, clustered_brute_force(truth, scores, patients), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("decimals", [1, 6])
def test_areas_and_covariance_equal_sums_over_all_pairs(seed, decimals):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(12, 60))
    truth = (np.arange(n) % 3 == 0).astype(float)
    scores = np.round(rng.random((3, n)) + 0.3 * truth, decimals)
    found = areas_of(truth, scores, np.arange(n))
    areas, covariance = brute_force(truth, scores)
    assert found is not None
    np.testing.assert_allclose(found.values, areas, rtol=1e-12)
    np.testing.assert_allclose(found.values, [roc_auc_score(truth, row) for row in scores], rtol=1e-12)
    np.testing.assert_allclose(found.covariance, covariance, rtol=1e-9, atol=1e-14)


def test_the_difference_is_a_z_test_on_these_numbers():
    rng = np.random.default_rng(1)
    truth = (rng.random(80) < 0.4).astype(float)
    scores = rng.random((2, 80)) + np.array([[0.6], [0.2]]) * truth
    areas, covariance = brute_force(truth, scores)
    found = area_difference(areas_of(truth, scores, np.arange(80)), 1)
    deviation = math.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    from scipy.stats import norm

    assert found is not None
    assert found.value == pytest.approx(areas[1] - areas[0])
    assert found.p == pytest.approx(2 * norm.sf(abs(found.value) / deviation))
    assert (found.low, found.high) == pytest.approx(norm.interval(0.95, found.value, deviation))


def test_rows_of_one_patient_scatter_as_the_bootstrap_over_patients_says():
    rng = np.random.default_rng(5)
    n_patients, n_rows = 150, 6
    patients = np.repeat(np.arange(n_patients), n_rows)
    truth = (rng.random(n_patients) < 0.4).astype(float)[patients]
    own = rng.standard_normal(n_patients)[patients]
    scores = np.stack(
        [own + truth + rng.standard_normal(len(patients)), 1.5 * truth + rng.standard_normal(len(patients))]
    )
    found = areas_of(truth, scores, patients)
    weights = resample_weights(n_patients, 3000, rng)
    draws = np.stack([ranking_areas(truth == 1, row, patients, weights)[0][1:] for row in scores])
    assert found is not None
    np.testing.assert_allclose(np.sqrt(np.diag(found.covariance)), draws.std(axis=1), rtol=0.1)
    spread = area_difference(found, 1)
    assert spread is not None
    assert (spread.high - spread.low) / (2 * 1.96) == pytest.approx(float((draws[1] - draws[0]).std()), rel=0.1)
    # Were the rows independent, the first model's area would seem surer than it is.
    naive = areas_of(truth, scores, np.arange(len(patients)))
    assert naive is not None
    assert naive.covariance[0, 0] < 0.8 * found.covariance[0, 0]


def test_rows_of_both_classes_in_one_patient_scatter_as_the_bootstrap_over_patients_says():
    """What a patient adds to all its rows moves positives and negatives alike, so the area scatters less by it."""
    rng = np.random.default_rng(6)
    patients = np.repeat(np.arange(150), 6)
    truth = (rng.random(len(patients)) < 0.4).astype(float)
    own = rng.standard_normal(150)[patients]
    scores = np.stack(
        [2 * own + truth + rng.standard_normal(len(patients)), 1.5 * truth + rng.standard_normal(len(patients))]
    )
    found = areas_of(truth, scores, patients)
    counts = rng.multinomial(150, np.full(150, 1 / 150), size=600)
    draws = np.array([[roc_auc_score(truth, row, sample_weight=each[patients]) for row in scores] for each in counts])
    assert found is not None
    np.testing.assert_allclose(np.sqrt(np.diag(found.covariance)), draws.std(axis=0), rtol=0.1)
    difference = area_difference(found, 1)
    assert difference is not None
    assert (difference.high - difference.low) / (2 * 1.96) == pytest.approx(np.diff(draws).std(), rel=0.1)


@pytest.mark.parametrize(
    ("truth", "patients"),
    [
        ([], []),
        ([1, 1, 1], [0, 1, 2]),
        ([1, 0, 0], [0, 1, 2]),
        ([1, 1, 0, 0], [0, 0, 1, 2]),
        ([np.nan, 1, 0], [0, 1, 2]),
    ],
)
def test_too_few_patients_of_a_class_leave_it_undefined(truth, patients):
    assert areas_of(np.array(truth, float), np.zeros((2, len(truth))), np.array(patients)) is None


def test_equal_rankings_do_not_differ_and_perfect_ones_are_no_crash():
    truth = np.array([1.0, 1, 1, 0, 0, 0, np.nan])
    scores = np.array([[0.9, 0.8, 0.3, 0.4, 0.2, 0.1, 0.5]] * 2) * np.array([[1.0], [0.5]])
    found = area_difference(areas_of(truth, scores, np.arange(7)), 1)
    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)
    perfect = np.stack([truth, truth, -truth])
    areas = areas_of(truth, np.nan_to_num(perfect), np.arange(7))
    assert areas.values.tolist() == [1, 1, 0]
    assert area_difference(areas, 1).p == 1
    assert area_difference(areas, 2) is None


@pytest.mark.parametrize(
    ("truth", "scores", "patients"),
    [((3,), (2, 4), (3,)), ((3,), (2, 3), (4,)), ((3,), (3,), (3,)), ((3, 4), (2, 3, 4), (3, 4))],
)
def test_shapes_that_do_not_fit_are_refused(truth, scores, patients):
    with pytest.raises(ValueError, match="expected"):
        areas_of(np.zeros(truth), np.zeros(scores), np.zeros(patients))
