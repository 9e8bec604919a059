import numpy as np
import pytest

from auscult.plots.spectrograms import Axis, Mark, level_range_db, spectrogram

CENTRES_HZ = np.linspace(30, 3900, 64)
AXIS = Axis(CENTRES_HZ, first_s=0.05, hop_s=0.1)


def _axes(valid_s, marks=()):
    figure = spectrogram(np.zeros((64, 20), dtype=np.float16), AXIS, valid_s, (-80.0, 0.0), marks)
    figure.canvas.draw()
    return figure.axes


def test_axes_are_in_seconds_hertz_and_decibels():
    main, bar = _axes(2.0)

    assert (main.get_xlabel(), main.get_ylabel(), bar.get_ylabel()) == ("time (s)", "frequency (Hz)", "level (dB)")
    assert main.get_xlim() == pytest.approx((0.0, 2.0))
    assert bar.get_ylim() == (-80.0, 0.0)


def test_round_frequencies_stand_where_their_bands_lie():
    main, _ = _axes(2.0)

    ticks = dict(zip([label.get_text() for label in main.get_yticklabels()], main.get_yticks(), strict=True))

    step_hz = CENTRES_HZ[1] - CENTRES_HZ[0]
    assert ticks["1000"] == pytest.approx((1000 - 30) / step_hz)
    assert "8000" not in ticks


def test_padding_is_hatched():
    whole, padded = _axes(2.0)[0], _axes(1.5)[0]

    assert not whole.patches
    (box,) = padded.patches
    assert (box.get_x(), box.get_width()) == pytest.approx((1.5, 0.5))


def test_events_are_marked_above_the_picture_and_cut_at_its_edges():
    main, _ = _axes(2.0, [Mark(-1.0, 0.5, "wheeze"), Mark(1.0, 1.2, "crackle"), Mark(5.0, 6.0, "crackle")])

    assert {text.get_text() for text in main.texts} == {"crackle", "wheeze"}
    bars = sorted(tuple(line.get_xdata()) for line in main.lines)
    assert bars == [pytest.approx((0.0, 0.5)), pytest.approx((1.0, 1.2))]


def test_level_range_is_rounded_and_never_empty():
    assert level_range_db(np.array([-62.0, -3.0])) == (-65.0, 0.0)
    assert level_range_db(np.full((3, 4), -100.0)) == (-100.0, -90.0)


@pytest.mark.parametrize("n_kinds", [1, 3, 7])
def test_every_line_of_marks_stands_within_the_figure(n_kinds):
    kinds = [f"kind_with_a_name_{number}" for number in range(n_kinds)]
    marks = [Mark(0.1 * number, 0.1 * number + 0.2, kind) for number, kind in enumerate(kinds)]
    axis = Axis(np.geomspace(50, 2000, 16), 0.0, 0.1)
    figure = spectrogram(np.zeros((16, 20)), axis, 2.0, (-60, 0), marks, kinds=kinds)
    figure.canvas.draw()
    picture = figure.axes[0].get_window_extent()
    lowest = picture.y1
    for text in (text for text in figure.axes[0].texts if text.get_text() in kinds):
        extent = text.get_window_extent()
        assert extent.x0 >= 0
        assert extent.y1 <= figure.bbox.y1
        assert extent.y0 >= lowest - 1
        lowest = extent.y1 - 2
    assert picture.height > 0.4 * figure.bbox.height * (1 if n_kinds < 4 else 0.8)
