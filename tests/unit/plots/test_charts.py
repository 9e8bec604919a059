import numpy as np
import pandas as pd
import pytest

from auscult.plots import curves, predictions


def _curve(name, area, point=None):
    corners = np.array([0.0, 0.2, 1.0])
    return curves.Curve(name, corners, corners, area, "0.50", point)


def _texts(figure):
    figure.canvas.draw()
    found = [text.get_text() for axes in figure.axes for text in axes.texts]
    found += [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    found += [axes.get_title(loc="left") for axes in figure.axes]
    found += [axes.get_xlabel() for axes in figure.axes] + [axes.get_ylabel() for axes in figure.axes]
    found += [label.get_text() for axes in figure.axes for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]]
    return found


def test_few_curves_are_all_named():
    texts = _texts(curves.roc([_curve("one", 0.9, (0.2, 0.2)), _curve("two", 0.8)]))

    assert {"one: 0.50", "two: 0.50", "sensitivity", "1 − specificity"} <= set(texts)


def test_of_many_curves_the_three_weakest_are_named():
    texts = _texts(curves.roc([_curve(f"class {index}", 0.5 + index / 20) for index in range(10)]))

    assert [text for text in texts if text.startswith("class")] == ["class 0: 0.50", "class 1: 0.50", "class 2: 0.50"]
    assert "the other 7, all higher" in texts


def test_no_two_curves_of_a_legend_share_colour_and_dashes():
    from auscult.plots.style import series_colour, series_dashes

    codes = {(series_colour(index), series_dashes(index)) for index in range(28)}

    assert len(codes) == 28


def test_precision_recall_states_the_prevalence():
    texts = _texts(curves.precision_recall([_curve("one", 0.9)], 0.25))

    assert "prevalence 25%" in texts


def test_confusion_shows_counts_and_shares_and_an_empty_row_as_bare_zeros():
    figure = predictions.confusion(np.array([[3, 1], [0, 0]]), ["no", "yes"])

    texts = _texts(figure)

    assert {"3\n75%", "1\n25%", "0", "no\nn = 4", "yes\nn = 0", "share of the row", "actual", "predicted"} <= set(texts)
    assert not any("nan" in text for text in texts)


def test_confusion_of_ten_classes_leaves_zeros_out():
    texts = _texts(predictions.confusion(np.eye(10, dtype=int) * 7, [str(digit) for digit in range(10)]))

    assert texts.count("7") == 10 + 2  # ten counts, and the class of that name on both axes
    assert texts.count("·") == 90


def test_learning_marks_the_epoch_that_was_kept():
    history = pd.DataFrame({"epoch": [1, 2, 3], "train/loss": [3.0, 2, 1], "val/auroc": [0.5, 0.7, np.nan]})

    figure = curves.learning(history, "val/auroc", 2)
    texts = _texts(figure) + [text.get_text() for text in figure.axes[0].get_legend().get_texts()]

    assert {"kept: epoch 2", "epoch", "loss", "val/auroc"} <= set(texts)


def test_learning_by_the_loss_draws_one_panel():
    history = pd.DataFrame({"epoch": [1, 2], "train/loss": [3.0, 2], "val/loss": [2.0, 2.5]})

    assert len(curves.learning(history, "val/loss", 1).axes) == 1


def test_a_training_of_one_epoch_and_one_that_validates_seldom_are_seen_as_dots():
    one = pd.DataFrame({"epoch": [1], "train/loss": [0.7], "val/loss": [0.6], "val/auroc": [0.8]})
    seldom = pd.DataFrame(
        {
            "epoch": range(1, 7),
            "train/loss": [0.7, 0.6, 0.5, 0.4, 0.3, 0.2],
            "val/loss": [np.nan, np.nan, 0.6, np.nan, np.nan, 0.4],
            "val/auroc": [np.nan, np.nan, 0.7, np.nan, np.nan, 0.8],
        }
    )

    losses, watched = curves.learning(one, "val/auroc", 1).axes
    assert [line.get_marker() for line in [*losses.lines[:2], watched.lines[0]]] == ["o"] * 3
    losses, watched = curves.learning(seldom, "val/auroc", 6).axes
    assert [line.get_marker() for line in [*losses.lines[:2], watched.lines[0]]] == ["None", "o", "o"]
    assert watched.lines[0].get_xydata().tolist() == [[3, 0.7], [6, 0.8]]


def test_each_predicted_probability_is_a_dot_and_counts_are_given():
    figure = predictions.probabilities_by_class([("no", np.array([0.1, 0.1, 0.2])), ("yes", np.array([]))], 0.4)

    assert {"no\nn = 3", "yes\nn = 0", "threshold 0.400"} <= set(_texts(figure))
    assert sum(len(points.get_offsets()) for points in figure.axes[0].collections) == 3


def test_an_undefined_estimate_is_said_to_be_so():
    rows = [curves.Estimate("job 1", 0.8, 0.7, 0.9), curves.Estimate("job 2", None, None, None)]

    texts = _texts(curves.estimates(rows, "AUROC"))

    assert "undefined" in texts
    assert {"job 1", "job 2"} <= set(texts)


def test_calibration_writes_its_summary():
    bins = pd.DataFrame({"prob": [0.2, 0.8], "share": [0.1, 0.9], "low": [0.0, 0.8], "high": [0.2, 1.0], "n": [9, 9]})

    assert "Brier 0.10" in _texts(predictions.calibration(bins, np.array([0.2, 0.8]), "Brier 0.10"))


@pytest.mark.parametrize("prevalence", [None, 0.9])
def test_precision_recall_without_curves_draws(prevalence):
    assert curves.precision_recall([], prevalence).legends == []
