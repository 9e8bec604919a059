"""Closed forms against scipy, statsmodels' values, and sums over all outcomes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom

from auscult.metrics.score_intervals import area_variance, auroc_interval, proportion_interval


def mid_p(right, n, share):
    """Half of what was seen, and all that is more: the sum over outcomes."""
    chances = binom.pmf(np.arange(n + 1), n, share)
    return chances[right + 1 :].sum() + chances[right] / 2


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_ends_where_the_sample_is_a_rare_one(counts):
    right, n = counts
    low, high = proportion_interval(right, n)
    assert 0 <= low <= right / n <= high <= 1
    if right:
        assert mid_p(right, n, low) == pytest.approx(0.025, abs=1e-6)
    if right < n:
        assert 1 - mid_p(right, n, high) == pytest.approx(0.025, abs=1e-6)
    # Clopper and Pearson count what was seen whole: theirs holds ours.
    widest = (
        beta.ppf(0.025, right, n - right + 1) if right else 0,
        beta.ppf(0.975, right + 1, n - right) if right < n else 1,
    )
    assert widest[0] <= low + 1e-9 and high <= widest[1] + 1e-9


@pytest.mark.parametrize(
    ("right", "n", "wilson", "clopper_pearson"),
    [
        (8, 10, (0.49016, 0.94332), (0.44390, 0.97479)),
        (27, 30, (0.74379, 0.96540), (0.73471, 0.97888)),
        (180, 200, (0.85059, 0.93433), (0.84979, 0.93784)),
    ],
)
def test_it_lies_between_the_two_of_statsmodels(right, n, wilson, clopper_pearson):
    """statsmodels 0.15.0, proportion_confint(right, n, method="wilson" and "beta")."""
    low, high = proportion_interval(right, n)
    assert clopper_pearson[0] < low < wilson[0] + 0.01
    assert wilson[1] - 0.005 < high < clopper_pearson[1]


def test_all_right_and_all_wrong_mirror_each_other():
    assert proportion_interval(9, 9) == pytest.approx((0.05 ** (1 / 9), 1))
    assert proportion_interval(0, 9) == pytest.approx((0, 1 - 0.05 ** (1 / 9)))


@pytest.mark.parametrize("n", [3, 5, 10, 20, 50, 200])
def test_a_proportion_is_covered_by_the_sum_over_all_samples(n):
    """Exactly, not by simulation: at every share at least 91% of samples have an interval that holds it."""
    intervals = np.array([proportion_interval(right, n) for right in range(n + 1)])
    shares = np.linspace(0.005, 0.995, 199)
    holds = (intervals[:, :1] <= shares) & (shares <= intervals[:, 1:])
    coverage = (holds * binom.pmf(np.arange(n + 1)[:, None], n, shares)).sum(axis=0)
    assert coverage.min() > 0.91
    assert coverage.mean() > 0.94


def test_effective_numbers_need_not_be_whole():
    ends = [proportion_interval(0.8 * n, n) for n in (10, 10.4, 10.8, 11)]
    assert sorted(ends, key=lambda one: one[0]) == ends and sorted(ends, key=lambda one: -one[1]) == ends


@given(st.integers(0, 40), st.integers(2, 60), st.integers(2, 60))
def test_an_area_lies_its_quantile_from_both_ends(step, n_positive, n_negative):
    value = step / 40
    low, high = auroc_interval(value, n_positive, n_negative)
    assert 0 <= low <= value + 1e-9 and value - 1e-9 <= high <= 1
    for end in (low, high):
        if 1e-6 < end < 1 - 1e-6 and abs(end - value) > 1e-6:
            distance = abs(value - end) / np.sqrt(area_variance(end, n_positive, n_negative))
            assert distance == pytest.approx(1.959964, abs=1e-3)


def test_an_area_of_one_has_an_interval_that_narrows_with_patients():
    lows = [auroc_interval(1.0, n, n)[0] for n in (3, 5, 10, 50)]
    assert lows == sorted(lows) and 0.5 < lows[0] < 0.55 and 0.94 < lows[-1] < 0.97
    assert auroc_interval(0.0, 5, 5) == pytest.approx(tuple(1 - end for end in auroc_interval(1.0, 5, 5)[::-1]))


@pytest.mark.parametrize("arguments", [(3, 2), (-1, 5), (0, 0)])
def test_impossible_counts_are_refused(arguments):
    with pytest.raises(ValueError, match="expected 0 <= right <= n"):
        proportion_interval(*arguments)


@pytest.mark.parametrize("arguments", [(1.2, 4, 4), (0.5, 0, 4)])
def test_impossible_areas_are_refused(arguments):
    with pytest.raises(ValueError, match="expected an area"):
        auroc_interval(*arguments)
