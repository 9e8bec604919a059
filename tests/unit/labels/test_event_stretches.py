"""Where events of a task are and where nobody can say, tick by tick."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from auscult.config.task import TaskSettings
from auscult.labels import Intervals, clip_targets, event_stretches
from auscult.storage.tables import UNPLACED

TICKS = 20
RECORDINGS = pd.DataFrame(
    {"recording_id": ["a/1", "a/2", "b/1"], "dataset": ["a", "a", "b"], "duration_s": [float(TICKS)] * 3}
)
RULES = {
    "a": {
        "crackle": {"events": ["fine", "coarse"], "annotated_by": ["cycle"], "unknown": ["unclear"]},
        "wheeze": {"events": ["wheeze"], "annotated_by": ["recording"]},
    },
    "b": {
        "crackle": {"events": ["crackle"], "annotated_by": ["recording"]},
        "wheeze": {"events": ["wheeze"], "annotated_by": ["recording"]},
    },
}
TASK = TaskSettings.model_validate(
    {
        "description": "events",
        "type": "events",
        "targets": ["crackle", "wheeze"],
        "level": "clip",
        "datasets": RULES,
    }
)
KINDS = ("fine", "coarse", "crackle", "wheeze", "cycle", "unclear", UNPLACED)


def ticks_of(intervals: Intervals) -> list[set[int]]:
    found: list[set[int]] = [set() for _ in range(6)]
    for cell, start, end in zip(intervals.rows, intervals.starts, intervals.ends, strict=True):
        assert start == pytest.approx(round(start), abs=1e-5)
        found[cell] |= set(range(round(start), round(end)))
    return found


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(KINDS), st.integers(0, TICKS - 1), st.integers(1, 9)), max_size=8
    )
)
def test_stretches_are_those_of_ticks(rows: list[tuple[int, str, int, int]]) -> None:
    events = pd.DataFrame(
        [(RECORDINGS["recording_id"][r], float(s), float(s + n), kind) for r, kind, s, n in rows],
        columns=["recording_id", "start_s", "end_s", "kind"],
    )
    true, unknown = (ticks_of(intervals) for intervals in event_stretches(RECORDINGS, events, TASK))
    for recording in range(3):
        of_kind = {
            kind: {t for r, k, s, n in rows if (r, k) == (recording, kind) for t in range(s, min(s + n, TICKS))}
            for kind in KINDS
        }
        crackle = of_kind["fine"] | of_kind["coarse"] if recording < 2 else of_kind["crackle"]
        open_ticks = of_kind[UNPLACED]
        if recording < 2:
            open_ticks = open_ticks | of_kind["unclear"] | (set(range(TICKS)) - of_kind["cycle"])
        assert true[2 * recording] == crackle
        assert unknown[2 * recording] == open_ticks - crackle
        assert true[2 * recording + 1] == of_kind["wheeze"]
        assert unknown[2 * recording + 1] == of_kind[UNPLACED] - of_kind["wheeze"]


def test_events_that_touch_stay_two_and_those_that_overlap_become_one() -> None:
    events = pd.DataFrame(
        {
            "recording_id": ["b/1"] * 4,
            "start_s": [1.0, 2.0, 5.0, 6.0],
            "end_s": [2.0, 3.0, 7.0, 9.0],
            "kind": ["wheeze"] * 4,
        }
    )
    true, _ = event_stretches(RECORDINGS, events, TASK)
    assert true.rows.tolist() == [5, 5, 5]
    assert np.stack([true.starts, true.ends], axis=1) == pytest.approx(np.array([[1, 2], [2, 3], [5, 9]]), abs=1e-5)


def test_a_recording_in_which_anything_is_marked_is_known_from_end_to_end() -> None:
    values = TASK.model_dump(mode="json")
    rule = {"events": ["wheeze"], "annotated_by": ["marked_recording"]}
    values["datasets"]["a"]["wheeze"] = rule
    task = TaskSettings.model_validate(values)
    events = pd.DataFrame({"recording_id": ["a/2"], "start_s": [3.0], "end_s": [5.0], "kind": ["cycle"]})
    _, unknown = (ticks_of(intervals) for intervals in event_stretches(RECORDINGS, events, task))
    assert unknown[1] == set(range(TICKS))  # the wheezes of a/1: nothing is marked there
    assert unknown[3] == set()
    clips = pd.DataFrame({"recording_id": ["a/1", "a/2"], "start_s": [0.0, 10.0], "end_s": [5.0, 15.0]})
    targets = clip_targets(clips, RECORDINGS, events, task)[:, 1]
    assert np.isnan(targets[0])
    assert targets[1] == 0


def test_an_events_task_takes_event_rules_alone() -> None:
    values = TASK.model_dump(mode="json")
    column = {"column": "diagnosis", "positive": ["x"], "negative": "others"}
    with pytest.raises(ValidationError, match="are read from columns; a task of type events reads events"):
        TaskSettings.model_validate({**values, "datasets": {"a": {"crackle": column, "wheeze": column}}})
    with pytest.raises(ValidationError, match="`events` belongs to tasks of type events; this task is multi_label"):
        TaskSettings.model_validate({**values, "type": "multi_label"})
    with pytest.raises(ValidationError, match="cannot be called 'micro'"):
        TaskSettings.model_validate({**values, "targets": ["micro"], "datasets": {}})
    assert TaskSettings.model_validate({**values, "events": None}).event_settings.boundary_s == 0.1
