"""Calibration intercept and slope against statsmodels, scikit-learn and leaving out one patient at a time."""

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import t as student
from sklearn.linear_model import LogisticRegression

from auscult.metrics.calibration_line import CLIPPED_AT, calibration_line, fit_logistic

# statsmodels 0.15.0, GLM(y, 1, Binomial(), offset=logit(p)) and GLM(y, add_constant(logit(p)), Binomial()).
PROB = [0.401, 0.49, 0.325, 0.187, 0.279, 0.169, 0.418, 0.77, 0.271, 0.242, 0.547, 0.507]
PROB += [0.433, 0.179, 0.392, 0.606, 0.118, 0.279, 0.064, 0.125, 0.068, 0.336, 0.128, 0.483]
TRUTH = [1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 0, 1, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 1]
INTERCEPT, LOGISTIC = 1.06535686, [1.35123127, 1.3136673]


def rows(n, mean=-0.5, *, slope=1.0, shift=0.0, rng):
    """Predictions whose truth follows their own logit, stretched and shifted."""
    logits = rng.normal(mean, 1.5, n)
    return (rng.random(n) < expit(shift + slope * logits)).astype(float), expit(logits)


def test_the_coefficients_are_those_of_statsmodels():
    found = calibration_line(TRUTH, PROB, np.arange(len(PROB)))

    assert found["intercept"]["value"] == pytest.approx(INTERCEPT, abs=1e-7)
    assert found["slope"]["value"] == pytest.approx(LOGISTIC[1], abs=1e-7)
    assert found["logistic"] == pytest.approx(LOGISTIC, abs=1e-7)


@pytest.mark.parametrize("seed", range(5))
def test_the_coefficients_are_those_of_scikit_learn_without_a_penalty(seed):
    rng = np.random.default_rng(seed)
    truth, prob = rows(300, slope=0.6, shift=0.4, rng=rng)

    fitted = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logit(prob)[:, None], truth)

    found = calibration_line(truth, prob, np.arange(300))
    assert found["logistic"] == pytest.approx([fitted.intercept_[0], fitted.coef_[0, 0]], abs=1e-5)


def test_the_interval_is_that_of_leaving_out_one_patient_at_a_time():
    """The one-step jackknife is close to that of full fits, for the intercept and for the slope."""
    rng = np.random.default_rng(3)
    truth, prob = rows(400, rng=rng)
    patients = np.arange(400) // 4
    logits = logit(prob)

    found = calibration_line(truth, prob, patients)

    for name, columns, offset in (
        ("intercept", np.ones((400, 1)), logits),
        ("slope", np.column_stack([np.ones(400), logits]), np.zeros(400)),
    ):
        value = fit_logistic(columns, truth, offset)[-1]
        without = [
            fit_logistic(columns[patients != one], truth[patients != one], offset[patients != one])[-1]
            for one in range(100)
        ]
        deviation = np.sqrt(99 / 100 * np.sum((np.array(without) - value) ** 2))
        half = student.ppf(0.975, 99) * deviation
        ends = [found[name]["low"], found[name]["high"]]
        assert ends == pytest.approx([value - half, value + half], abs=0.03 * half), name


def test_rows_of_one_patient_do_not_make_an_interval_narrower():
    rng = np.random.default_rng(4)
    truth, prob = rows(60, rng=rng)

    once = calibration_line(truth, prob, np.arange(60))
    often = calibration_line(np.repeat(truth, 10), np.repeat(prob, 10), np.repeat(np.arange(60), 10))

    for name in ("intercept", "slope"):
        assert often[name]["low"] == pytest.approx(once[name]["low"])
        assert often[name]["high"] == pytest.approx(once[name]["high"])


@pytest.mark.parametrize(("clips", "n_patients"), [(1, 20), (1, 60), (5, 40)])
def test_intervals_hold_the_truth(clips, n_patients):
    """Of calibrated predictions: intercept 0, slope 1. Of 400 studies 95% lie within 3 deviations of 0.95."""
    rng = np.random.default_rng(n_patients + clips)
    held = {"intercept": [], "slope": []}
    for _ in range(400):
        logits = np.repeat(rng.normal(-0.5, 1.5, n_patients), clips)
        # One uniform number a patient: all its rows are right or wrong together.
        truth = (np.repeat(rng.random(n_patients), clips) < expit(logits)).astype(float)
        found = calibration_line(truth, expit(logits), np.repeat(np.arange(n_patients), clips))
        for name, true in (("intercept", 0.0), ("slope", 1.0)):
            if found[name]["low"] is not None:
                held[name].append(found[name]["low"] <= true <= found[name]["high"])
    for name, of in held.items():
        assert len(of) > 300
        assert 0.92 <= np.mean(of) <= 0.995, name


def test_unknown_rows_take_no_part():
    rng = np.random.default_rng(6)
    truth, prob = rows(80, rng=rng)
    with_unknown = np.where(np.arange(80) % 5 == 0, np.nan, truth)
    known = ~np.isnan(with_unknown)

    found = calibration_line(with_unknown, prob, np.arange(80))

    assert found == calibration_line(truth[known], prob[known], np.arange(80)[known])


@pytest.mark.parametrize(
    ("truth", "prob", "intercept", "slope"),
    [
        ([], [], "no row with a known label", "no row with a known label"),
        ([np.nan, np.nan], [0.1, 0.9], "no row with a known label", "no row with a known label"),
        ([1, 1, 1], [0.1, 0.5, 0.9], "all labels are of one class", "all labels are of one class"),
        ([0, 1, 1], [0.4, 0.4, 0.4], "3 patients, at least 10 are needed", "all probabilities are equal"),
        ([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.9], "4 patients, at least 10 are needed", "separate the classes perfectly"),
        ([1, 1, 0, 0], [0.1, 0.3, 0.4, 0.9], "4 patients, at least 10 are needed", "separate the classes perfectly"),
    ],
)
def test_what_has_no_value_or_no_interval_says_why(truth, prob, intercept, slope):
    found = calibration_line(truth, prob, np.arange(len(truth)))

    assert found["logistic"] is None
    assert found["slope"]["value"] is None
    for name, reason in (("intercept", intercept), ("slope", slope)):
        assert reason in found[name]["reason"]
        assert found[name]["low"] is None


def test_an_interval_needs_patients_of_both_classes():
    truth = np.array([1.0, 1.0] + [0.0] * 28)
    prob = np.linspace(0.6, 0.05, 30)
    prob[1] = 0.2

    found = calibration_line(truth, prob, np.arange(30))

    assert found["slope"]["value"] is not None
    assert found["slope"]["reason"] == "2 patients of a class, at least 3 are needed"


def test_certain_predictions_are_kept_a_little_from_0_and_1():
    truth, prob = np.array(TRUTH, float), np.array(PROB)
    certain, near = prob.copy(), prob.copy()
    certain[:2], near[:2] = [1.0, 0.0], [1 - CLIPPED_AT, CLIPPED_AT]

    found = calibration_line(truth, certain, np.arange(24))

    assert found["slope"]["value"] == pytest.approx(calibration_line(truth, near, np.arange(24))["slope"]["value"])


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="expected"):
        calibration_line([0, 1], [0.2, 0.3, 0.4], [0, 1, 2])
