"""How much rows of the same patients are worth, on cases whose answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from auscult.metrics.delong import areas_of
from auscult.metrics.effective_size import Ranked, Share, area_estimate, mean_estimate, share_estimate
from auscult.metrics.score_intervals import auroc_interval, proportion_interval


def share(right, patients):
    right, patients = np.asarray(right, dtype=bool), np.asarray(patients)
    return Share(right, patients, np.arange(len(right)))


def ends(found):
    return found["low"], found["high"]


@given(st.lists(st.booleans(), min_size=3, max_size=40))
def test_rows_of_patients_of_their_own_have_the_ordinary_interval(right):
    found = share_estimate(float(np.mean(right)), [share(right, np.arange(len(right)))])
    assert ends(found) == pytest.approx(proportion_interval(sum(right), len(right)), abs=1e-6)
    assert found["method"] == "Clopper-Pearson (mid-P)"


@given(st.lists(st.booleans(), min_size=3, max_size=20), st.integers(2, 9))
def test_rows_that_repeat_their_patient_add_nothing(right, times):
    """Where all rows of a patient are alike the interval is that of the patients."""
    n = len(right)
    found = share_estimate(float(np.mean(right)), [share(np.repeat(right, times), np.repeat(np.arange(n), times))])
    assert ends(found) == pytest.approx(proportion_interval(sum(right), n), abs=1e-6)


def test_independent_rows_are_worth_more_than_patients_and_never_more_than_rows():
    right = np.random.default_rng(0).random(1000) < 0.8
    found = share_estimate(float(right.mean()), [share(right, np.repeat(np.arange(50), 20))])
    whole = proportion_interval(right.sum(), 1000)
    of_patients = proportion_interval(50 * right.mean(), 50)
    width = found["high"] - found["low"]
    assert whole[1] - whole[0] <= width + 1e-9 < 0.6 * (of_patients[1] - of_patients[0])


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_all_right_and_all_wrong_rows_count_patients(value):
    found = share_estimate(value, [share(np.full(60, value), np.repeat(np.arange(6), 10))])
    assert ends(found) == pytest.approx(proportion_interval(6 * value, 6))


def test_a_patient_with_most_rows_leaves_few():
    patients = np.concatenate([np.zeros(97, int), [1, 2, 3]])
    found = share_estimate(1.0, [share(np.ones(100), patients)])
    # Weights 0.97 and 3 x 0.01: worth 1.06 patients.
    assert ends(found) == pytest.approx(proportion_interval(1 / 0.9412, 1 / 0.9412), abs=1e-6)


def test_two_patients_give_no_interval_and_say_why():
    found = share_estimate(0.5, [share([1, 0, 1, 0], [0, 0, 1, 1])])
    assert found["low"] is None and found["reason"] == "2 patients that count here, at least 3 are needed"
    few = Ranked(np.array([1, 1, 0, 0, 0]) == 1, np.arange(5.0), np.arange(5), np.arange(5))
    assert area_estimate(0.0, [few])["reason"] == "2 patients of a class, at least 3 are needed"


def ranked(truth, scores, patients):
    truth = np.asarray(truth, dtype=bool)
    return Ranked(truth, np.asarray(scores, np.float64), np.asarray(patients), np.arange(len(truth)))


@settings(max_examples=40)
@given(st.integers(0, 10_000))
def test_rows_of_ill_and_healthy_patients_alone_are_newcombes_at_least(seed):
    """One row a patient: never narrower than Newcombe's interval of so many, and equal to it at the boundary."""
    rng = np.random.default_rng(seed)
    truth = np.arange(24) % 3 == 0
    scores = np.round(rng.normal(size=24) + rng.choice([0.0, 1.0, 9.0]) * truth, 1)
    area = float(roc_auc_score(truth, scores))
    low, high = ends(area_estimate(area, [ranked(truth, scores, np.arange(24))]))
    least = auroc_interval(area, 8, 16)
    assert low <= least[0] + 1e-6 and high >= least[1] - 1e-6
    if area == 1:
        assert (low, high) == pytest.approx(least)


def test_a_separated_area_counts_patients_not_clips():
    truth = np.repeat([1, 1, 1, 1, 0, 0, 0, 0, 0], 20)
    found = area_estimate(1.0, [ranked(truth, truth + 0.0, np.repeat(np.arange(9), 20))])
    assert ends(found) == pytest.approx(auroc_interval(1.0, 4, 5))


def test_the_effective_numbers_scatter_as_delongs_variance_over_patients():
    """Many patients: the interval's width is that of DeLong's for clustered rows (Obuchowski)."""
    rng = np.random.default_rng(2)
    patients = np.repeat(np.arange(400), 5)
    truth = rng.random(2000) < 0.4
    scores = np.repeat(rng.normal(size=400), 5) + rng.normal(size=2000) + truth
    areas = areas_of(truth.astype(float), scores[None], patients)
    found = area_estimate(float(areas.values[0]), [ranked(truth, scores, patients)])
    assert (found["high"] - found["low"]) / (2 * 1.96) == pytest.approx(
        float(np.sqrt(areas.covariance[0, 0])), rel=0.05
    )


def test_the_mean_of_independent_parts_adds_squares_and_of_equal_parts_ends():
    parts = [share_estimate(0.8, [share([1] * 8 + [0] * 2, range(10))])] * 2
    low, high = proportion_interval(8, 10)
    rng = np.random.default_rng(0)
    one = rng.normal(size=20_000)
    apart = ends(mean_estimate(0.8, parts, [one, rng.normal(size=20_000)], 1.0))
    assert apart == pytest.approx((0.8 - (0.8 - low) / np.sqrt(2), 0.8 + (high - 0.8) / np.sqrt(2)), abs=2e-3)
    assert ends(mean_estimate(0.8, parts, [one, one], 0.0)) == pytest.approx((low, high))
    still = np.ones(100)
    assert ends(mean_estimate(0.8, parts, [still, still], 1.0)) == pytest.approx((low, high))
    assert mean_estimate(0.8, [parts[0], share_estimate(0.5, [share([1, 0], [0, 1])])], [one, one], 0.0)["reason"]


@pytest.mark.parametrize("unknown", [0.0, 1.0])
def test_many_parts_are_taken_a_few_at_a_time_and_add_up_as_the_whole_table(
    unknown: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    parts = [share_estimate(hits / 10, [share([1] * hits + [0] * (10 - hits), range(10))]) for hits in range(2, 9)]
    shared = rng.normal(size=300)
    resamples = [shared + rng.normal(size=300) for _ in parts[:-1]] + [np.ones(300)]
    table = np.full((7, 7), unknown)
    table[:6, :6] = np.clip(np.corrcoef(resamples[:6]), 0, 1)
    np.fill_diagonal(table, 1.0)
    ends_of = np.array([ends(part) for part in parts])
    values = np.array([part["value"] for part in parts])
    low, high = values - ends_of[:, 0], ends_of[:, 1] - values
    expected = (0.5 - np.sqrt(low @ table @ low) / 7, 0.5 + np.sqrt(high @ table @ high) / 7)
    for at_once in (512, 3, 1):
        monkeypatch.setattr("auscult.metrics.effective_size._ROWS_AT_ONCE", at_once)
        assert ends(mean_estimate(0.5, parts, resamples, unknown)) == pytest.approx(expected, rel=1e-12)
