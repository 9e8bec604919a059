"""The report's table of events: every part of the test set, every kind, and how events are read."""

from types import SimpleNamespace
from typing import Any

from auscult.config import TaskSettings
from auscult.reports.events_section import COLUMNS, event_table
from auscult.reports.methods_data import task_text

TASK = TaskSettings.model_validate(
    {
        "description": "Where are they?",
        "type": "events",
        "targets": ["crackle", "wheeze"],
        "level": "clip",
        "events": {"collars": {"onset_s": 0.1, "offset_s": 0.3, "offset_share": 0.5}},
    }
)


def estimate(value: float | None, reason: str = "") -> dict[str, Any]:
    return {"value": value, "low": None, "high": None, "method": "", "reason": reason}


def section(value: float) -> dict[str, Any]:
    scores = {name: estimate(value) for name in ("f1", "precision", "recall", "error_rate", "iou")}
    views = {"crackle": scores, "wheeze": scores | {"recall": estimate(None, "there is no true one")}}
    views |= {"micro": scores, "macro": scores}
    n = {"crackle": {"true": 1200, "found": 9, "patients": 4}, "wheeze": {"true": 0, "found": 2, "patients": 0}}
    return {"by_event": views, "by_segment": views, "objects": views, "psds": estimate(value), "n": n}


def job() -> Any:
    plain = {"threshold": 0.5, "median_s": 0.0, "merge_s": 0.0, "least_s": 0.0, "boundary": None}
    decoding = {"crackle": plain, "wheeze": plain | {"median_s": 0.2, "least_s": 0.1, "boundary": 0.7}}
    metrics = {"events": {"val": section(0.9), "test": section(0.5), "test:inter": section(0.25)}}
    return SimpleNamespace(metrics=metrics, model={"event_decoding": decoding})


def test_rows_are_kinds_in_parts() -> None:
    table = event_table(job(), TASK)
    assert table is not None
    assert [(row.part, row.kind) for row in table.rows][:4] == [
        ("", "crackle"),
        ("", "wheeze"),
        ("", "all kinds together"),
        ("", "mean over kinds"),
    ]
    assert table.rows[4].part == "inter"
    assert table.rows[0].counts == ("1,200", "9", "4")
    assert table.rows[2].counts == ("", "", "")
    recall = table.rows[1].numbers[[name for name, _, _ in COLUMNS].index("recall")]
    assert (recall.value, recall.reason) == (None, "there is no true one")
    assert table.columns == [name for name, _, _ in COLUMNS]
    assert "PSDS (hits at all thresholds, Bilen et al. 2020): 0.5" in table.below
    assert "; inter 0.25" in table.below


def test_words_say_when_two_events_are_one_and_how_they_are_read() -> None:
    table = event_table(job(), TASK)
    assert table is not None
    assert "onsets at most 0.1 s apart, offsets 0.3 s or 50% of the true event's length, whichever is more." in (
        table.above
    )
    assert (
        "chosen on validation: crackle: probability 0.5; wheeze: probability 0.5, median over 0.2 s, at least 0.1 s "
        "long, cut at boundaries of probability 0.7. Each event stands in events.csv"
    ) in table.below
    assert "This is an event-detection task, where each kind of event is found in time" in task_text(TASK)


def test_other_tasks_have_no_such_table() -> None:
    values = TASK.model_dump(mode="json") | {"type": "multi_label", "events": None}
    assert event_table(job(), TaskSettings.model_validate(values)) is None
