import numpy as np
import pytest

from auscult.plots.clip import Evidence, Sound, clip_picture
from auscult.plots.spectrograms import Average, Axis, Mark, averages

AXIS = Axis(np.geomspace(30, 1900, 64), 0.05, 0.05)
LEVELS_DB = np.random.default_rng(0).normal(-60, 8, size=(64, 80))
SOUND = Sound(np.sin(np.arange(4000) / 9), 1000, valid_s=3.0)


def labels(figure):
    return {text for axes in figure.axes for text in (axes.get_xlabel(), axes.get_ylabel()) if text}


def test_a_clip_is_drawn_with_sound_spectrogram_and_evidence():
    evidence = np.zeros((64, 80), dtype=np.float32)
    evidence[10:20, 30:40] = 1
    marks = [Mark(0.5, 1.0, "wheeze"), Mark(1.0, 1.1, "crackle")]
    figure = clip_picture(
        LEVELS_DB, AXIS, SOUND, Evidence(evidence, "how"), range_db=(-90, -30), marks=marks, title="what", subtitle="w"
    )
    assert labels(figure) == {"time (s)", "amplitude", "frequency (Hz)", "level (dB)", "share of maximum"}
    assert {"what", "w", "how"} == {text.get_text() for text in figure.texts}
    kinds = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert kinds == ["crackle", "wheeze"]
    times = [axes.get_xlim() for axes in figure.axes if axes.get_ylabel() in {"amplitude", "frequency (Hz)"}]
    assert len(times) == 3
    assert len(set(times)) == 1


@pytest.mark.parametrize("valid_s", [0.001, 3.0, 4.0])
def test_a_clip_without_evidence_or_sound_is_drawn_too(valid_s):
    silence = Sound(np.zeros(4000), 1000, valid_s=valid_s)
    figure = clip_picture(LEVELS_DB, AXIS, silence, Evidence(None, "none"), range_db=(-90, -30))
    assert "share of maximum" not in labels(figure)
    figure.canvas.draw()
    empty = Evidence(np.zeros((64, 80), dtype=np.float32), "nothing")
    clip_picture(LEVELS_DB, AXIS, silence, empty, range_db=(-90, -30)).canvas.draw()


def test_averages_say_how_many_and_end_with_the_longest_sound():
    levels_db = LEVELS_DB.copy()
    levels_db[:, 40:] = np.nan
    panels = [Average("true positive", 1200, levels_db), *(Average(name, 0, None) for name in "abc")]
    figure = averages(panels, AXIS)
    assert figure.axes[0].get_title(loc="left") == "true positive, n = 1,200"
    assert figure.axes[0].get_xlim()[1] == pytest.approx(0.025 + 40 * 0.05)
    assert [text.get_text() for axes in figure.axes[1:4] for text in axes.texts] == ["no clip"] * 3
    figure.canvas.draw()
