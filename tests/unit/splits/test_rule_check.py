from auscult.config import TaskSettings
from auscult.splits.audit import check_rules
from auscult.storage.tables import Event, events_frame

NOTHING = events_frame([])


def task(rule: dict) -> TaskSettings:
    return TaskSettings.model_validate(
        {
            "description": "t",
            "type": "binary",
            "targets": ["ill"],
            "level": "recording",
            "datasets": {"icbhi": {"ill": rule}},
        }
    )


def notes(recordings, events, rule: dict) -> dict[str, list[str]]:
    found = check_rules(recordings, events, task(rule))
    assert {note.severity for note in found} <= {"note"}
    return {note.kind: note.ids for note in found}


def test_a_misspelt_value_and_what_others_swept_up_are_seen(make_recordings):
    rows = [
        ("a", "1", "Crackle"),
        ("b", "2", "wheeze"),
        ("c", "3", "crackle, wheeze"),
        ("d", "4", "normal"),
        ("e", "5", None),
    ]
    rule = {"column": "diagnosis", "positive": ["crackle", "wheeeze"], "negative": "others", "unknown": ["normal"]}
    assert notes(make_recordings(rows), NOTHING, rule) == {
        "values_not_found": ["wheeeze"],
        "negative_by_others": ["crackle, wheeze (1)", "wheeze (1)"],
    }


def test_values_that_no_list_names_are_seen(make_recordings):
    rows = [("a", "1", "1.0"), ("b", "2", "0"), ("c", "3", "-1"), ("d", "4", "-1")]
    rule = {"column": "diagnosis", "positive": [1], "negative": [0]}
    assert notes(make_recordings(rows), NOTHING, rule) == {"values_unknown": ["-1 (2)"]}


def test_event_kinds_that_no_rule_names_are_seen(make_recordings):
    table = make_recordings([("a", "1", "copd")])
    kinds = ["cycle", "wheez", "wheez", "wheeze"]
    events = events_frame([Event("icbhi/a", k, k + 1, kind, "hand") for k, kind in enumerate(kinds)])
    rule = {"events": ["Wheeze", "rhonchus"], "annotated_by": ["cycle"]}
    assert notes(table, events, rule) == {"values_not_found": ["rhonchus"], "events_not_named": ["wheez (2)"]}


def test_a_rule_that_fits_its_table_says_nothing(make_recordings):
    rows = [("a", "1", "Pneumonia"), ("b", "2", "copd")]
    assert (
        notes(make_recordings(rows), NOTHING, {"column": "diagnosis", "positive": ["pneumonia"], "negative": ["copd"]})
        == {}
    )


def test_classes_without_a_recording_and_values_without_a_class_are_seen(make_recordings):
    settings = TaskSettings.model_validate(
        {
            "description": "t", "type": "multi_class", "targets": ["a", "b"], "level": "recording",
            "classes_from": {"icbhi": {"column": "diagnosis", "classes": {"one": "a", "two": "b"}}},
        }
    )  # fmt: skip
    table = make_recordings([("a", "1", "One"), ("b", "2", "three")])
    found = {note.kind: note.ids for note in check_rules(table, NOTHING, settings)}
    assert found == {"values_not_found": ["two"], "values_unknown": ["three (1)"]}
