import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import auc, average_precision_score, roc_auc_score

from auscult.metrics.curves import calibration_bins, pr_points, roc_points, wilson_interval


@pytest.fixture
def answers():
    rng = np.random.default_rng(5)
    truth = (rng.random(200) < 0.3).astype(np.float64)
    prob = np.round(1 / (1 + np.exp(-(2 * truth - 1 + rng.normal(size=200)))), 2)
    truth[::17] = np.nan
    return truth, prob


def test_the_area_below_the_points_is_the_area_that_scikit_learn_gives(answers):
    truth, prob = answers
    known = ~np.isnan(truth)

    roc = roc_points(truth, prob)
    pr = pr_points(truth, prob)

    assert auc(roc["fpr"], roc["tpr"]) == pytest.approx(roc_auc_score(truth[known], prob[known]))
    steps = -np.diff(pr["recall"]) * pr["precision"].to_numpy()[:-1]
    assert steps.sum() == pytest.approx(average_precision_score(truth[known], prob[known]))


def test_thresholds_that_are_no_numbers_are_missing_not_infinite(answers):
    roc, pr = roc_points(*answers), pr_points(*answers)

    assert np.isnan(roc["threshold"].iloc[0])
    assert np.isfinite(roc["threshold"].iloc[1:]).all()
    assert np.isnan(pr["threshold"].iloc[-1])
    assert np.isfinite(pr["threshold"].iloc[:-1]).all()


@pytest.mark.parametrize("truth", [[1.0, 1.0], [0.0, 0.0], [np.nan, 1.0], [np.nan, np.nan], []])
def test_curves_of_one_class_are_undefined(truth):
    prob = np.linspace(0.1, 0.9, len(truth))

    assert roc_points(np.array(truth), prob) is None
    assert pr_points(np.array(truth), prob) is None


def test_calibration_bins_hold_equal_counts_and_wilson_intervals():
    rng = np.random.default_rng(0)
    prob = rng.random(100)
    truth = (rng.random(100) < prob).astype(np.float64)

    bins = calibration_bins(truth, prob, max_bins=5)

    assert bins["n"].tolist() == [20] * 5
    assert bins["prob"].is_monotonic_increasing
    order = np.argsort(prob)[:20]
    hits = int(truth[order].sum())
    expected = binomtest(hits, 20).proportion_ci(method="wilson")
    assert bins.loc[0, ["share", "low", "high"]].tolist() == pytest.approx([hits / 20, expected.low, expected.high])


def test_calibration_is_undefined_when_two_bins_do_not_fill():
    assert calibration_bins(np.array([0.0, 1.0] * 5), np.linspace(0, 1, 10)) is None
    assert calibration_bins(np.array([0.0, 1.0] * 50), np.full(100, 0.5)) is None


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (0, 7), (7, 7), (3, 10), (58, 58), (500, 1000)])
def test_wilson_intervals_are_those_of_scipy_and_hold_the_share(hits, n):
    expected = binomtest(hits, n).proportion_ci(method="wilson")

    low, high = wilson_interval(hits, n)

    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= low <= hits / n <= high <= 1
