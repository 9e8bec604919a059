import numpy as np

from auscult.figures.spectrograms import level_range_db, spectrogram

CENTRES_HZ = np.linspace(30, 3900, 64)


def _axes(valid_s):
    figure = spectrogram(np.zeros((64, 20), dtype=np.float16), CENTRES_HZ, 2.0, valid_s, (-80.0, 0.0))
    figure.canvas.draw()
    return figure.axes


def test_axes_are_in_seconds_hertz_and_decibels():
    main, bar = _axes(2.0)

    assert (main.get_xlabel(), main.get_ylabel(), bar.get_ylabel()) == ("time (s)", "frequency (Hz)", "level (dB)")
    assert main.get_xlim() == (0.0, 2.0)
    assert bar.get_ylim() == (-80.0, 0.0)


def test_round_frequencies_stand_where_their_bands_lie():
    main, _ = _axes(2.0)

    ticks = dict(zip([label.get_text() for label in main.get_yticklabels()], main.get_yticks(), strict=True))

    step_hz = CENTRES_HZ[1] - CENTRES_HZ[0]
    assert ticks["1000"] == (1000 - 30) / step_hz
    assert "8000" not in ticks


def test_padding_is_hatched():
    whole, padded = _axes(2.0)[0], _axes(1.5)[0]

    assert not whole.patches
    (box,) = padded.patches
    assert (box.get_x(), box.get_width()) == (1.5, 0.5)


def test_level_range_is_rounded_and_never_empty():
    assert level_range_db(np.array([-62.0, -3.0])) == (-65.0, 0.0)
    assert level_range_db(np.full((3, 4), -100.0)) == (-100.0, -90.0)
