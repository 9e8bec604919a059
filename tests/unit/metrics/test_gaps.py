"""Differences between two groups: Newcombe's interval by statsmodels, pairs counted, and false differences."""

import numpy as np
import pytest
from tests.unit.metrics.reference_scores import auroc

from auscult.metrics.effective_size import Ranked, Share
from auscult.metrics.gaps import LEAST_P, area_gap, mover, share_gap
from auscult.metrics.multiplicity import holm


def share(right, n):
    rows = np.arange(n)
    return Share(rows < right, rows, rows)


def ranked(n_positive, n_negative, separation, rng):
    truth = np.r_[np.ones(n_positive, bool), np.zeros(n_negative, bool)]
    rows = np.arange(len(truth))
    return Ranked(truth, rng.normal(size=len(truth)) + separation * truth, rows, rows)


def wilson(right, n, z=1.959963984540054):
    share, around = right / n, z * np.sqrt(right / n * (1 - right / n) / n + z * z / (4 * n * n))
    return [(share + z * z / (2 * n) + sign * around) / (1 + z * z / n) for sign in (-1, 1)]


def test_of_wilson_intervals_mover_is_newcombes_method():
    # statsmodels 0.15.0: confint_proportions_2indep(56, 70, 48, 80, method="newcomb", compare="diff").
    found = mover(56 / 70 - 48 / 80, (56 / 70, *wilson(56, 70)), (48 / 80, *wilson(48, 80)))

    assert found == pytest.approx((0.05243147240236498, 0.33387265403690614), abs=1e-12)


def test_values_and_signs():
    found, turned = share_gap(share(9, 10), share(12, 20)), share_gap(share(12, 20), share(9, 10))

    assert (found["one"], found["other"]) == (0.9, 0.6)
    assert found["value"] == pytest.approx(0.3)
    assert turned["value"] == -found["value"]
    assert (turned["low"], turned["high"]) == pytest.approx((-found["high"], -found["low"]))
    assert turned["p"] == pytest.approx(found["p"])


@pytest.mark.parametrize("seed", range(4))
def test_the_areas_are_those_of_pairs(seed):
    rng = np.random.default_rng(seed)
    one, other = ranked(7, 12, 1.0, rng), ranked(15, 20, 0.2, rng)

    found = area_gap(one, other)

    assert found["one"] == pytest.approx(auroc(one.truth.astype(float), one.scores))
    assert found["value"] == pytest.approx(found["one"] - found["other"])


@pytest.mark.parametrize("seed", range(3))
def test_p_and_interval_never_contradict_each_other(seed):
    rng = np.random.default_rng(seed)
    for _ in range(40):
        n, m = rng.integers(3, 40, size=2)
        found = share_gap(share(rng.integers(0, n + 1), n), share(rng.integers(0, m + 1), m))
        assert (found["p"] < 0.05) == (not found["low"] <= 0 <= found["high"])
        areas = area_gap(ranked(*rng.integers(3, 20, 2), 1.0, rng), ranked(*rng.integers(3, 20, 2), 0.0, rng))
        assert (areas["p"] < 0.05) == (not areas["low"] <= 0 <= areas["high"])


def test_at_the_boundary_there_is_an_interval():
    equal, apart = share_gap(share(10, 10), share(20, 20)), share_gap(share(60, 60), share(0, 60))

    assert equal["p"] == 1
    assert equal["low"] < 0 < equal["high"]
    assert apart["value"] == 1
    assert apart["low"] > 0.9
    assert apart["p"] == LEAST_P


def test_rows_of_one_patient_do_not_make_a_difference_surer():
    rows, patients = np.arange(200), np.repeat(np.arange(20), 10)
    once = share_gap(share(18, 20), share(10, 20))

    often = share_gap(
        Share(np.repeat(np.arange(20) < 18, 10), patients, rows),
        Share(np.repeat(np.arange(20) < 10, 10), patients, rows),
    )

    assert often["value"] == once["value"]
    assert often["p"] >= once["p"]


def test_what_is_undefined_or_rests_on_too_few_says_so():
    few = share_gap(share(1, 2), share(5, 10))
    assert (few["value"], few["low"], few["p"]) == (0.0, None, None)
    assert few["reason"] == "2 patients that count here, at least 3 are needed"

    none = share_gap(share(0, 0), share(5, 10))
    assert (none["value"], none["p"], none["other"]) == (None, None, 0.5)


@pytest.mark.slow
@pytest.mark.soak
def test_of_equal_groups_a_difference_is_found_in_at_most_5_per_cent_of_studies():
    """Ten subgroups each, corrected by Holm: of 200 studies a false one in at most 8% is 5% within two deviations."""
    rng = np.random.default_rng(1)
    wrong = []
    for _ in range(200):
        p = [
            share_gap(share(rng.binomial(n, 0.8), n), share(rng.binomial(3 * n, 0.8), 3 * n))["p"]
            for n in rng.integers(5, 40, size=10)
        ]
        wrong.append(min(holm(p)) <= 0.05)
    assert np.mean(wrong) <= 0.08
