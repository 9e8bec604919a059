"""Random effects against statsmodels, areas as logits, and coverage by simulation."""

import numpy as np
import pytest
from scipy.special import expit, logit

from auscult.metrics.heterogeneity import logit_area, pool, pool_areas
from auscult.metrics.score_intervals import auroc_interval

VALUES, ERRORS = [1.2, 0.8, 2.0, 1.5, 0.3], [0.3, 0.25, 0.4, 0.2, 0.35]


def areas(values, n=20):
    ends = [auroc_interval(value, n, n) for value in values]
    return [{"value": value, "low": low, "high": high} for value, (low, high) in zip(values, ends, strict=True)]


def test_the_mean_and_its_interval_are_those_of_statsmodels():
    # statsmodels 0.15.0: combine_effects(y, se**2, method_re="iterated", use_t=True), row "random effect wls".
    found = pool(VALUES, ERRORS)

    assert [found.value, found.low, found.high] == pytest.approx([1.152179, 0.377837, 1.926520], abs=1e-6)
    assert found.tau**2 == pytest.approx(0.29845203, abs=1e-7)
    assert found.i_squared == pytest.approx(0.7402407165632124)
    assert found.q_p == pytest.approx(0.003941563219225897)


def test_the_prediction_interval_is_that_of_higgins():
    found = pool(VALUES, ERRORS)

    # t of 3 degrees of freedom, 0.27889668 the error of the mean by statsmodels.
    far = 3.182446305 * np.sqrt(0.29845203 + 0.27889668**2)
    assert [found.prediction_low, found.prediction_high] == pytest.approx([1.152179 - far, 1.152179 + far], abs=1e-5)


def test_studies_that_agree_better_than_chance_allows_do_not_narrow_the_interval():
    # statsmodels' factor of Hartung and Knapp is 0.0426 here; without it the interval is 0.626898 to 1.460060.
    found = pool([1.0, 1.1, 0.95, 1.05], [0.3, 0.25, 0.4, 0.2])

    assert (found.tau, found.i_squared) == (0.0, 0.0)
    assert [found.low, found.high] == pytest.approx([0.6268984, 1.4600602], abs=1e-6)


def test_areas_are_pooled_as_logits():
    found = pool_areas(areas([0.7, 0.8, 0.9]))

    scaled = [logit_area(*(area[name] for name in ("value", "low", "high"))) for area in areas([0.7, 0.8, 0.9])]
    plain = pool(*zip(*scaled, strict=True))
    assert found.value == pytest.approx(expit(plain.value))
    assert found.prediction_high == pytest.approx(expit(plain.prediction_high))
    assert found.prediction_low < found.low < found.value < found.high < found.prediction_high < 1


@pytest.mark.parametrize("n", [3, 5, 20, 300])
def test_an_area_of_one_counts_and_its_error_follows_from_its_interval(n):
    low, high = auroc_interval(1.0, n, n)

    value, error = logit_area(1.0, low, high)

    assert value - 1.959964 * error == pytest.approx(logit(low), abs=1e-6)
    assert value > logit_area(0.9, *auroc_interval(0.9, n, n))[0]
    assert logit_area(0.0, 1 - high, 1 - low) == pytest.approx((-value, error))


def test_equal_studies_have_no_heterogeneity_and_their_own_value():
    found = pool_areas(areas([0.8] * 4))

    assert found.value == pytest.approx(0.8)
    assert (found.tau, found.i_squared, found.n_studies) == (0.0, 0.0, 4)


def test_intervals_hold_the_mean_and_another_study():
    """Eight sites, logits of areas with errors of 0.25 and a deviation of 0.5 between sites.

    Prediction intervals of few studies cover less than 95% (Partlett and Riley 2017, Stat Med 36:301).
    """
    rng = np.random.default_rng(0)
    mean, other = [], []
    for _ in range(200):
        true = 1.5 + 0.5 * rng.normal(size=9)
        found = [float(np.clip(expit(one + 0.25 * rng.normal()), 0.01, 0.99)) for one in true[:8]]
        ends = [(expit(logit(one) - 1.96 * 0.25), expit(logit(one) + 1.96 * 0.25)) for one in found]
        pooled = pool_areas(
            [{"value": one, "low": low, "high": high} for one, (low, high) in zip(found, ends, strict=True)]
        )
        mean.append(pooled.low <= expit(1.5) <= pooled.high)
        other.append(pooled.prediction_low <= expit(true[8]) <= pooled.prediction_high)
    assert 0.91 <= np.mean(mean) <= 0.99
    assert 0.86 <= np.mean(other) <= 0.99


@pytest.mark.parametrize(
    ("values", "errors"), [([1, 2], [1, 1]), ([1, 2, 3], [1, 1]), ([1, 2, 3], [1, 0, 1]), ([1, 2, np.nan], [1, 1, 1])]
)
def test_too_few_or_senseless_studies_are_refused(values, errors):
    with pytest.raises(ValueError, match="expected"):
        pool(values, errors)


def test_an_area_without_an_interval_is_refused():
    with pytest.raises(ValueError, match="intervals"):
        pool_areas([*areas([0.7, 0.8, 0.9]), {"value": 0.9, "low": None, "high": None}])
