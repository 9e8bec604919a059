"""Net benefit against the published package, and by counting."""

import numpy as np
import pandas as pd
import pytest
from tests.unit.metrics.test_calibration_line import PROB, TRUTH

from auscult.metrics.decision_curve import THRESHOLDS, decision_curve, useful_ranges
from auscult.metrics.intervals import resample_weights

# dcurves 1.1.7, dca(data, outcome="y", modelnames=["p"]): threshold -> net benefit of the model, of treating all.
PUBLISHED = {
    0.05: (0.517544, 0.517544),
    0.10: (0.500000, 0.490741),
    0.20: (0.406250, 0.427083),
    0.30: (0.321429, 0.345238),
    0.40: (0.305556, 0.236111),
    0.50: (0.083333, 0.083333),
    0.60: (0.083333, -0.145833),
    0.75: (0.041667, -0.833333),
}


def curve_of(truth, prob, patients=None, n_resamples=0, seed=0):
    owners = np.arange(len(prob)) if patients is None else np.asarray(patients)
    n_patients = int(owners.max()) + 1 if len(owners) else 0
    weights = resample_weights(n_patients, n_resamples, np.random.default_rng(seed))
    return decision_curve(truth, prob, owners, weights)


def test_net_benefit_is_that_of_dcurves():
    curve = curve_of(TRUTH, PROB).set_index("threshold")

    for threshold, (model, treat_all) in PUBLISHED.items():
        row = curve.loc[threshold]
        assert [row["model"], row["treat_all"]] == pytest.approx([model, treat_all], abs=1e-6)
    assert (curve["treat_none"] == 0).all()


@pytest.mark.parametrize("seed", range(4))
def test_net_benefit_is_what_counting_gives(seed):
    rng = np.random.default_rng(seed)
    # Two decimals: some probabilities equal a threshold, and are treated.
    prob = np.round(rng.random(150), 2)
    truth = (rng.random(150) < prob).astype(float)
    truth[::11] = np.nan

    curve = curve_of(truth, prob)

    known = [(y == 1, p) for y, p in zip(truth, prob, strict=True) if not np.isnan(y)]
    for row in curve.itertuples():
        hits = sum(ill and p >= row.threshold for ill, p in known)
        needless = sum(not ill and p >= row.threshold for ill, p in known)
        benefit = hits / len(known) - needless / len(known) * row.threshold / (1 - row.threshold)
        assert row.model == pytest.approx(benefit, abs=1e-12)
        assert (row.true_positives, row.false_positives, row.n) == (hits, needless, len(known))
    assert tuple(curve["threshold"]) == THRESHOLDS


def test_the_interval_holds_the_value_and_rests_on_patients():
    rng = np.random.default_rng(1)
    prob = rng.random(60)
    truth = (rng.random(60) < prob).astype(float)

    once = curve_of(truth, prob, n_resamples=500)
    often = curve_of(np.repeat(truth, 20), np.repeat(prob, 20), np.repeat(np.arange(60), 20), n_resamples=500)

    drawn = once.dropna()
    assert len(drawn) > 80
    assert ((drawn["low"] <= drawn["model"]) & (drawn["model"] <= drawn["high"])).all()
    pd.testing.assert_frame_equal(once[["model", "low", "high"]], often[["model", "low", "high"]])


@pytest.mark.parametrize("truth", [[], [np.nan], [1.0, 1.0, np.nan], [0.0, 0.0]])
def test_one_class_has_no_curve(truth):
    assert curve_of(truth, np.full(len(truth), 0.5)) is None


def test_a_model_that_calls_all_positive_equals_treating_all():
    curve = curve_of([1.0, 0.0, 0.0], [1.0, 1.0, 1.0])

    assert curve["model"].tolist() == pytest.approx(curve["treat_all"].tolist())
    assert useful_ranges(curve) == []


def test_a_perfect_model_is_of_use_everywhere_but_where_all_are_treated():
    curve = curve_of([1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0])

    assert curve["model"].tolist() == pytest.approx([0.5] * len(THRESHOLDS))
    assert useful_ranges(curve) == [(0.01, 0.99)]


def test_stretches_of_use_are_told_apart():
    table = pd.DataFrame(
        {
            "threshold": [0.1, 0.2, 0.3, 0.4, 0.5],
            "model": [0.3, 0.1, 0.2, -0.1, 0.1],
            "treat_all": [0.2, 0.15, 0.1, 0.0, -0.1],
        }
    )
    assert useful_ranges(table) == [(0.1, 0.1), (0.3, 0.3), (0.5, 0.5)]
