"""Temperature scaling against a search and against torch."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from auscult.metrics.calibration import LIMITS, fit_temperature

RNG = np.random.default_rng(5)


def overconfident(n=4000, factor=3.0):
    """Logits `factor` times too large for the truth that they stand for."""
    honest = RNG.normal(size=(n, 2))
    truth = (RNG.random((n, 2)) < 1 / (1 + np.exp(-honest))).astype(float)
    return factor * honest, truth


def test_answers_that_are_too_sure_are_cooled_by_what_made_them_so():
    logits, truth = overconfident()
    fitted = fit_temperature(logits, truth)
    assert fitted.value == pytest.approx(3.0, rel=0.1)
    assert fitted.loss_after < fitted.loss_before
    assert not fitted.note


def test_no_other_temperature_has_a_lower_loss():
    logits, truth = overconfident(300)
    truth[::7, 0] = np.nan
    fitted = fit_temperature(logits, truth)
    known = ~np.isnan(truth)

    def loss(temperature):
        scaled, wanted = (torch.from_numpy(values[known]) for values in (logits / temperature, truth))
        return float(functional.binary_cross_entropy_with_logits(scaled, wanted))

    assert fitted.loss_before == pytest.approx(loss(1.0))
    assert fitted.loss_after == pytest.approx(loss(fitted.value))
    assert fitted.loss_after <= min(loss(temperature) for temperature in np.geomspace(*LIMITS, 2000)) + 1e-9


def test_classes_are_fitted_by_softmax():
    logits = RNG.normal(size=(500, 4)) * 2
    classes = np.array([RNG.choice(4, p=row) for row in torch.from_numpy(logits / 2).softmax(dim=1).numpy()])
    truth = np.eye(4)[classes]
    truth[:20] = np.nan
    fitted = fit_temperature(logits, truth, multi_class=True)
    wanted = functional.cross_entropy(torch.from_numpy(logits[20:] / fitted.value), torch.from_numpy(classes[20:]))
    assert fitted.loss_after == pytest.approx(float(wanted))
    assert fitted.value == pytest.approx(2.0, rel=0.2)


@pytest.mark.parametrize("truth", [[[1.0], [1.0]], [[0.0], [np.nan]], [[np.nan], [np.nan]], np.empty((0, 1))])
def test_one_class_only_leaves_the_temperature_alone(truth):
    fitted = fit_temperature(np.zeros((len(truth), 1)), truth)
    assert fitted.value == 1.0
    assert "one class only" in fitted.note


@pytest.mark.parametrize(("truth", "loss"), [([[1.0], [np.nan]], np.log1p(np.exp(-2))), ([[np.nan], [np.nan]], None)])
def test_one_answer_only_has_the_loss_of_its_known_rows(truth, loss):
    fitted = fit_temperature([[2.0], [5.0]], truth)
    assert fitted.loss_before == fitted.loss_after == (None if loss is None else pytest.approx(loss))


@pytest.mark.parametrize("factor", [0.2, 0.5, 10.0])
def test_a_temperature_inside_the_limits_needs_no_note(factor):
    logits, truth = overconfident(factor=factor)
    fitted = fit_temperature(logits, truth)
    assert fitted.value == pytest.approx(factor, rel=0.1)
    assert not fitted.note


def test_a_perfect_separation_stops_at_the_limit_and_says_so():
    fitted = fit_temperature([[2.0], [-2.0]], [[1.0], [0.0]])
    assert fitted.value == pytest.approx(LIMITS[0], rel=1e-2)
    assert fitted.note == "the temperature stands at the limit of 0.05 to 20.0"


def test_answers_that_are_sure_and_wrong_stop_at_the_upper_limit_and_say_so():
    fitted = fit_temperature([[2.0], [-2.0]], [[0.0], [1.0]])
    assert fitted.value == pytest.approx(LIMITS[1], rel=1e-2)
    assert "limit" in fitted.note


def test_shapes_must_fit():
    for logits, truth in (([[1.0]], [1.0]), ([1.0, 2.0], [1.0, 0.0]), ([[[1.0, 2.0]]], [[[1.0, 0.0]]])):
        with pytest.raises(ValueError, match="expected"):
            fit_temperature(logits, truth)
