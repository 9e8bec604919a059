"""Temperature scaling against a search and torch; Platt scaling and isotonic regression against scikit-learn."""

import json

import numpy as np
import pytest
import torch
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from torch.nn import functional

from auscult.metrics.calibration import (
    FEW_FOR_ISOTONIC,
    LIMITS,
    apply_maps,
    check_maps,
    fit_maps,
    fit_temperature,
)

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


def distorted(n=600):
    """Logits of two targets that are too sure and too high, the second of them rounded so that many are equal."""
    logits, truth = overconfident(n, factor=2.0)
    logits = logits + np.array([1.5, -0.7])
    logits[:, 1] = logits[:, 1].round(1)
    truth[::5, 0] = np.nan
    return logits, truth


def test_platt_is_a_logistic_regression_without_penalty_of_each_target():
    logits, truth = distorted()
    fitted = fit_maps(logits, truth, ("a", "b"), "platt")
    assert not fitted.notes
    found = apply_maps(logits, fitted.maps)
    for column, one in enumerate(fitted.maps):
        known = ~np.isnan(truth[:, column])
        x = logits[known, column, None]
        model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(x, truth[known, column])
        assert one["slope"] == pytest.approx(model.coef_[0, 0], abs=1e-5)
        assert one["intercept"] == pytest.approx(model.intercept_[0], abs=1e-5)
        assert found[known, column] == pytest.approx(model.predict_proba(x)[:, 1], abs=1e-6)
    known = ~np.isnan(truth)
    assert fitted.loss_before == pytest.approx(log_loss(truth[known], 1 / (1 + np.exp(-logits[known]))))
    assert fitted.loss_after == pytest.approx(log_loss(truth[known], found[known]))
    assert fitted.loss_after < fitted.loss_before


def test_logits_far_from_zero_have_the_same_fit():
    logits, truth = distorted()
    near, far = (fit_maps(values, truth, ("a", "b"), "platt").maps for values in (logits, 1e-3 * logits + 500))
    for one, other in zip(near, far, strict=True):
        assert other["slope"] * 1e-3 == pytest.approx(one["slope"], rel=1e-5)


def test_isotonic_is_scikit_learns_between_its_knots_at_ties_and_beyond_its_ends():
    logits, truth = distorted()
    fitted = fit_maps(logits, truth, ("a", "b"), "isotonic")
    grid = np.column_stack([np.linspace(-30, 30, 5001), np.linspace(-30, 30, 5001)])
    stored = json.loads(json.dumps(fitted.maps))
    on_grid, on_data = apply_maps(grid, stored), apply_maps(logits, stored)
    check_maps(stored, ("a", "b"))
    for column in range(2):
        known = ~np.isnan(truth[:, column])
        model = IsotonicRegression(out_of_bounds="clip").fit(logits[known, column], truth[known, column])
        assert on_grid[:, column] == pytest.approx(model.predict(grid[:, column]), abs=1e-12)
        # Calibrated in the sample: the mean of the labels over each level is the level.
        levels, of_level = np.unique(on_data[known, column], return_inverse=True)
        assert np.bincount(of_level, truth[known, column]) / np.bincount(of_level) == pytest.approx(levels)
    assert on_grid[0] == pytest.approx([stored[k]["probabilities"][0] for k in range(2)])
    known = ~np.isnan(truth)
    assert fitted.loss_after == pytest.approx(log_loss(truth[known], on_data[known]))
    assert [note.split(":")[0] for note in fitted.notes] == ["a", "b"]
    assert "480 clips may overfit" in fitted.notes[0]


def test_many_clips_need_no_note():
    logits, truth = overconfident(FEW_FOR_ISOTONIC)
    assert not fit_maps(logits, truth, ("a", "b"), "isotonic").notes


@pytest.mark.parametrize("method", ["platt", "isotonic"])
@pytest.mark.parametrize("column", [[1.0, 1.0, 1.0], [0.0, np.nan, 0.0], [np.nan] * 3])
def test_a_target_of_one_class_is_left_as_it_was_and_others_are_not(method, column):
    logits = np.array([[0.5, -1.0], [2.0, 0.3], [-1.0, 0.2]])
    truth = np.column_stack([column, [0.0, 0.0, 1.0]])
    fitted = fit_maps(logits, truth, ("a", "b"), method)
    assert fitted.maps[0] == {"target": "a"}
    assert len(fitted.maps[1]) == 3
    assert apply_maps(logits, fitted.maps)[:, 0] == pytest.approx(1 / (1 + np.exp(-logits[:, 0])))
    assert fitted.notes[0] == "a: validation holds one class only; its probabilities are not calibrated"


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_no_known_row_has_no_loss(method):
    fitted = fit_maps(np.zeros((2, 1)), np.full((2, 1), np.nan), ("a",), method)
    assert (fitted.loss_before, fitted.loss_after) == (None, None)
    fitted = fit_maps(np.zeros((0, 1)), np.zeros((0, 1)), ("a",), method)
    assert fitted.maps == [{"target": "a"}]


@pytest.mark.parametrize(
    ("logits", "truth", "why"),
    [
        ([-1.0, 0.0, 1.0, 2.0], [0, 0, 1, 1], "separate the classes perfectly"),
        ([-1.0, 0.0, 0.0, 2.0], [0, 0, 1, 1], "separate the classes perfectly"),
        ([0.3] * 4, [0, 1, 1, 1], "all probabilities are equal"),
        ([-1.0, 0.0, 1.0, 2.0], [1, 1, 0, 1], "the slope would be -0.57, which reverses the order"),
    ],
)
def test_what_gives_platt_no_rising_slope_is_left_as_it_was(logits, truth, why):
    fitted = fit_maps(np.array(logits)[:, None], np.array(truth, float)[:, None], ("a",), "platt")
    assert fitted.maps == [{"target": "a"}]
    assert why in fitted.notes[0]
    assert fitted.loss_after == pytest.approx(fitted.loss_before)


def test_isotonic_of_separated_classes_is_a_step_and_of_reversed_ones_flat():
    logits = np.array([[-1.0], [0.0], [1.0], [2.0]])
    step = fit_maps(logits, [[0.0], [0.0], [1.0], [1.0]], ("a",), "isotonic")
    assert apply_maps([[-9.0], [0.0], [0.25], [1.0], [9.0]], step.maps)[:, 0].tolist() == [0, 0, 0.25, 1, 1]
    assert step.loss_after == 0
    flat = fit_maps(logits, [[1.0], [1.0], [0.0], [0.0]], ("a",), "isotonic")
    assert apply_maps([[-9.0], [0.4], [9.0]], flat.maps)[:, 0].tolist() == [0.5] * 3
    assert "one probability for all clips" in flat.notes[0]
    same = fit_maps([[0.3], [0.3], [0.3]], [[1.0], [0.0], [0.0]], ("a",), "isotonic")
    assert apply_maps([[-9.0], [9.0]], same.maps)[:, 0] == pytest.approx([1 / 3] * 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "b"}, r"maps of \['b'\], expected \['a'\]"),
        ({"logits": [1.0, 0.0]}, "expected knots"),
        ({"probabilities": [0.4, 0.2]}, "expected knots"),
        ({"probabilities": [0.4, 1.2]}, "expected knots"),
        ({"probabilities": [0.4]}, "expected knots"),
        ({"probabilities": [0.4, float("nan")]}, "expected knots"),
    ],
)
def test_maps_that_nothing_fitted_are_refused(changes, message):
    whole = {"target": "a", "logits": [0.0, 1.0], "probabilities": [0.2, 0.4]}
    check_maps([whole], ("a",))
    with pytest.raises(ValueError, match=message):
        check_maps([whole | changes], ("a",))


def test_maps_are_of_as_many_targets_as_logits():
    with pytest.raises(ValueError, match=r"expected \[clip, 1 targets\] twice, found \(2, 2\)"):
        fit_maps(np.zeros((2, 2)), np.zeros((2, 2)), ("a",), "platt")
