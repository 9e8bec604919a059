import pytest

from auscult.config import TaskSettings
from auscult.datasets.readers.vocabulary import vocabulary_of
from auscult.errors import ConfigError, InfeasibleError
from auscult.splits.rule_check import check_rules, rule_values
from auscult.storage.tables import ANNOTATED, UNPLACED, Event, events_frame

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
    rule["may_be_absent"] = ["wheeeze"]
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
    rule = {"events": ["Wheeze", "rhonchus"], "annotated_by": ["cycle"], "may_be_absent": ["rhonchus"]}
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
            "description": "t",
            "type": "multi_class",
            "targets": ["a", "b"],
            "level": "recording",
            "classes_from": {
                "icbhi": {"column": "diagnosis", "classes": {"one": "a", "two": "b"}, "may_be_absent": ["TWO"]}
            },
        }
    )
    table = make_recordings([("a", "1", "One"), ("b", "2", "three")])
    found = {note.kind: note.ids for note in check_rules(table, NOTHING, settings)}
    assert found == {"values_not_found": ["two"], "values_unknown": ["three (1)"]}


ROWS = [("a", "1", "coarse crackles"), ("b", "2", "fine crackles"), ("c", "3", "fine crackles"), ("d", "4", "normal")]


def test_a_misspelt_value_stops_with_the_one_that_was_meant(make_recordings):
    """`Fine Crakles` beside `negative: others` would turn every fine crackle into a negative."""
    rule = {"column": "diagnosis", "positive": ["Coarse Crackles", "Fine Crakles"], "negative": "others"}
    with pytest.raises(ConfigError) as caught:
        check_rules(make_recordings(ROWS), NOTHING, task(rule), name="crackles")
    text = str(caught.value)
    assert "task crackles, dataset icbhi, target ill: the rule names the label diagnosis 'Fine Crakles'" in text
    assert "did you mean 'fine crackles'? they hold 'fine crackles' (2), 'coarse crackles' (1), 'normal' (1)" in text
    assert "`may_be_absent: [Fine Crakles]`" in text


@pytest.mark.parametrize("key", ["positive", "negative", "unknown"])
def test_every_list_of_a_rule_is_checked(make_recordings, key):
    rule = {"column": "diagnosis", "positive": ["fine crackles"], "negative": ["normal"], "unknown": []}
    rule[key] = [*rule[key], "strange"]
    with pytest.raises(ConfigError, match="'strange'"):
        check_rules(make_recordings(ROWS), NOTHING, task(rule))


@pytest.mark.parametrize(
    "rule",
    [
        {"events": ["wheez"]},
        {"events": ["wheeze"], "annotated_by": ["cycles"]},
        {"events": ["wheeze"], "unknown": ["stridr"]},
    ],
)
def test_every_kind_of_event_of_a_rule_is_checked(make_recordings, rule):
    events = events_frame([Event("icbhi/a", 0, 1, kind, "hand") for kind in ("cycle", "wheeze", "stridor")])
    with pytest.raises(ConfigError, match=r"names the event .*; did you mean '(wheeze|cycle|stridor)'\?"):
        check_rules(make_recordings(ROWS), events, task(rule))


def test_the_whole_recording_and_marks_of_the_ingest_are_no_words_of_the_data(make_recordings):
    events = events_frame([Event("icbhi/a", 0, 1, kind, "hand") for kind in ("wheeze", UNPLACED)])
    rule = {"events": ["wheeze"], "annotated_by": ["recording", ANNOTATED]}
    assert notes(make_recordings(ROWS), events, rule) == {}


def test_a_part_of_a_fixed_layout_may_lack_what_the_layout_can_hold(make_recordings):
    summaries = {"icbhi": {"vocabulary": vocabulary_of("icbhi")}}
    rows = make_recordings([("a", "1", "copd")])
    rule = {"column": "diagnosis", "positive": ["pneumonia"], "negative": "others"}
    found = {note.kind: note.ids for note in check_rules(rows, NOTHING, task(rule), summaries)}
    assert found["values_not_found"] == ["pneumonia"]
    with pytest.raises(ConfigError, match="did you mean 'pneumonia'"):
        check_rules(rows, NOTHING, task({**rule, "positive": ["pneumonnia"]}), summaries)


def test_a_column_of_a_rule_may_be_an_attribute(make_recordings):
    rows = make_recordings([("a", "1", None), ("b", "2", None)], attr_folder=["ill", "well"])
    rule = {"column": "folder", "positive": ["ill"], "negative": ["well"]}
    assert notes(rows, NOTHING, rule) == {}


def test_an_infeasible_split_names_the_rule_and_what_it_meets(make_patients, run_split, pneumonia):
    table = make_patients(12, every=100)
    with pytest.raises(InfeasibleError, match=r"icbhi: the rule \{.*'pneumonia'.*\} meets 'copd' \(22\)"):
        run_split(table, {"kind": "patients", "seed": 0}, pneumonia)


def test_rule_values_say_what_makes_recordings_unknown(make_recordings):
    table = make_recordings([("a", "1", None), ("b", "2", None)])
    marked = [Event("icbhi/a", 0, 1, ANNOTATED, "hand"), Event("icbhi/a", 0, 1, "wheeze", "hand")]
    rules = task({"events": ["wheeze"], "annotated_by": [ANNOTATED]})
    (plain,) = rule_values(table, events_frame(marked), rules)["ill"]
    assert "empty_file" not in plain
    unplaced = events_frame([*marked, Event("icbhi/b", 0, 1, UNPLACED, "hand")])
    (hinted,) = rule_values(table, unplaced, rules)["ill"]
    assert hinted.startswith(plain.split(" meets ")[0])
    assert "'unplaced' makes a recording unknown" in hinted
    assert "empty_file: listened" in hinted
