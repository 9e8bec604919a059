"""Figures of events: each bar an event, and a reason where there is nothing to draw."""

import numpy as np
import pandas as pd
import pytest

from auscult.config import TaskSettings
from auscult.plots.events import draw_events
from auscult.storage.study_ids import StudyIds

TASK = TaskSettings.model_validate(
    {"description": "", "type": "events", "targets": ["crackle", "wheeze"], "level": "clip"}
)
IDS = StudyIds(
    pd.DataFrame({"recording_id": ["x/a", "x/b"], "patient_id": ["x/p", "x/q"], "dataset": "x"}), show_names=True
)
NAN = np.nan


def table(*rows: tuple) -> pd.DataFrame:
    columns = ["recording_id", "kind", "start_s", "end_s", "outcome", "true_start_s", "true_end_s", "split"]
    return pd.DataFrame([(*row, "test") for row in rows], columns=columns)


EVENTS = table(
    ("x/a", "crackle", 1.0, 1.2, "hit", 1.05, 1.25),
    ("x/a", "wheeze", 2.0, 3.0, "false alarm", NAN, NAN),
    ("x/a", "wheeze", NAN, NAN, "miss", 4.0, 4.5),
    ("x/b", "crackle", 0.5, 0.7, "not judged", NAN, NAN),
)
SECTION = {
    "over_tolerance": [
        {"collar_s": 0.1, "f1": {"crackle": 0.25, "wheeze": None}},
        {"collar_s": 0.5, "f1": {"crackle": 0.75, "wheeze": None}},
    ]
}


def test_each_side_of_each_event_is_one_bar() -> None:
    (tolerance, curve), (timelines, figure) = draw_events(SECTION, EVENTS, TASK, IDS)
    axes = figure.axes[0]
    spans = [path.get_extents().intervalx.tolist() for bars in axes.collections for path in bars.get_paths()]
    assert sorted(spans) == [pytest.approx(span) for span in ([1.0, 1.2], [1.05, 1.25], [2.0, 3.0], [4.0, 4.5])]
    assert {text.get_text() for text in axes.texts} == {"x/a"}  # x/b has no true event
    assert "1 recording of the test set" in timelines.caption
    lines = {line.get_label(): list(line.get_ydata()) for line in curve.axes[0].lines if len(line.get_ydata()) > 1}
    assert lines["crackle"] == [0.25, 0.75]
    assert "wheeze" not in lines
    assert tolerance.undefined is None


def test_a_test_set_without_events_says_so() -> None:
    nothing = {"over_tolerance": [{"collar_s": 0.1, "f1": {"crackle": None, "wheeze": None}}]}
    found = list(draw_events(nothing, table(), TASK, IDS))
    assert [figure for _, figure in found] == [None, None]
    assert [drawing.undefined for drawing, _ in found] == ["no event of any kind, true or found", "no true event"]
