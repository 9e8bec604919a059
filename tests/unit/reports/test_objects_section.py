"""The report's table of objects: scores in words that say when two objects are one, and how they are read."""

from types import SimpleNamespace

from tests.shapes import TASK

from auscult.config import TaskSettings
from auscult.reports.methods_data import task_text
from auscult.reports.objects_section import COLUMNS, object_table

OBJECTS = TaskSettings.model_validate(TASK)


def estimate(value):
    return {
        "value": value,
        "low": None,
        "high": None,
        "n": 4,
        "reason": "" if value is not None else "nothing was found",
    }


def job(boundary):
    def section(value):
        scores = {name: estimate(value) for name in ("precision", "recall", "f1", "iou")}
        parts = {"separated": {**scores, "precision": estimate(None)}, "objects": scores, "boundaries": scores}
        return {**parts, "n": {"true": 1200, "found": 9, "pictures": 20, "patients": 4}}

    decoding = {"threshold": 0.35, "boundary": boundary, "least_px": 7}
    metrics = {"objects": {"val": section(0.9), "test": section(0.5), "test:inter": section(0.25)}}
    return SimpleNamespace(metrics=metrics, model={"object_decoding": decoding})


def test_rows_are_parts_of_the_test_set_and_words_say_what_counts() -> None:
    table = object_table(job(0.6), OBJECTS)
    assert table is not None
    assert [(row.part, row.kind, row.counts) for row in table.rows] == [
        (part, "shape", ("1,200", "9", "4")) for part in ("", "inter")
    ]
    assert table.columns == [name for name, _, _ in COLUMNS]
    assert [number.value for number in table.rows[0].numbers] == [0.5, None, 0.5, 0.5, 0.5]
    assert table.rows[0].numbers[1].reason == "nothing was found"
    assert "at least 0.5 of their union" in table.above
    assert "probability 0.35, cut at boundaries of probability 0.6, at least 7 pixels." in table.below
    plain = object_table(job(None), OBJECTS)
    assert plain is not None
    assert "probability 0.35, at least 7 pixels." in plain.below
    assert "This is an object-segmentation task, where objects are found in pictures" in task_text(OBJECTS)


def test_other_tasks_have_no_such_table() -> None:
    values = {**TASK, "type": "binary"}
    values.pop("objects")
    assert object_table(job(0.6), TaskSettings.model_validate(values)) is None
