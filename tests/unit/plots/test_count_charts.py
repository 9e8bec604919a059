import numpy as np
import pytest

from auscult.plots import counts
from auscult.plots.counts import Shares


def drawn_heights(figure):
    return [patch.get_height() for patch in figure.axes[0].patches]


@pytest.mark.parametrize(
    "values",
    [np.array([3.0]), np.array([2.0, 2.0]), np.geomspace(0.1, 300, 50), np.linspace(3, 5, 400), np.array([0.0, 1.0])],
    ids=["one", "equal", "wide", "narrow", "from zero"],
)
def test_a_histogram_counts_every_value(values):
    assert sum(drawn_heights(counts.histogram(values, "duration (s)", "recordings"))) == len(values)
    assert sum(drawn_heights(counts.histogram(values, "age (years)", "patients", bin_width=5.0))) == len(values)


@pytest.mark.parametrize("values", [[2, 2, 2], [1, 5, 9], list(range(1, 200)), [1, 100_000]])
def test_whole_numbers_have_bars_around_them(values):
    figure = counts.histogram(np.array(values, float), "recordings of a patient", "patients", whole=True)
    assert sum(drawn_heights(figure)) == len(values)
    low, high = figure.axes[0].get_xlim()
    assert low <= min(values)
    assert high >= max(values)


def test_bars_carry_their_counts_and_long_names_are_cut():
    figure = counts.bars([("crackle", 1200), ("a very long name of a value that nobody reads", 3)], "events")
    assert [text.get_text() for text in figure.axes[0].texts] == ["1,200", "3"]
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names[0] == "crackle"
    assert names[1].endswith("…")


def test_shares_fill_the_bar_and_tell_the_unknown_apart():
    figure = counts.shares([Shares("crackle", 30, 60, 10), Shares("wheeze", 0, 100, 0)])
    axes = figure.axes[0]
    widths = [patch.get_width() for patch in axes.patches]
    assert sum(widths[:3]) == pytest.approx(1)
    assert widths[:3] == pytest.approx([0.3, 0.6, 0.1])
    assert axes.patches[2].get_hatch() == "////"
    assert [text.get_text() for text in axes.texts] == ["30", "60", "10", "100"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["positive", "negative", "unknown"]


def test_spreads_take_a_logarithm_only_when_durations_need_it():
    narrow = counts.spreads([("cycle", np.array([1.0, 2.0, 3.0]))], "duration (s)")
    wide = counts.spreads([("cycle", np.array([1.0, 2.0])), ("crackle", np.array([0.01]))], "duration (s)")
    assert narrow.axes[0].get_xscale() == "linear"
    assert wide.axes[0].get_xscale() == "log"
