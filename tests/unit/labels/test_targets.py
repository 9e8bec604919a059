"""Labels against a brute-force computation, event by event."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.config.task import ClassRule, ColumnRule, EventClassRule, EventRule, OverlapRule, TaskSettings
from auscult.errors import DataError
from auscult.labels import EDGE_TOLERANCE_S, clip_targets, part_target, patient_targets, recording_targets

NAN = float("nan")


def recordings_of(*rows: tuple[str, str, str | None], dataset: str = "icbhi") -> pd.DataFrame:
    """Rows of (recording, patient, diagnosis)."""
    table = pd.DataFrame(rows, columns=["recording_id", "patient_id", "label_diagnosis"], dtype="str")
    return table.assign(dataset=dataset, duration_s=20.0).astype({"dataset": "str"})


def events_of(*rows: tuple[str, float, float, str]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["recording_id", "start_s", "end_s", "kind"])
    return table.astype({"recording_id": "str", "kind": "str", "start_s": float, "end_s": float})


def clips_of(*rows: tuple[str, float, float]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["recording_id", "start_s", "end_s"])
    return table.astype({"recording_id": "str", "start_s": float, "end_s": float})


def column_task(rule: ColumnRule, level: str = "patient") -> TaskSettings:
    return TaskSettings(
        description="t", type="binary", targets=("sick",), level=level, datasets={"icbhi": {"sick": rule}}
    )


def event_task(rule: EventRule, overlap: OverlapRule | None = None) -> TaskSettings:
    return TaskSettings(
        description="t",
        type="binary",
        targets=("crackle",),
        level="clip",
        datasets={"icbhi": {"crackle": rule}},
        overlap=overlap or OverlapRule(),
    )


LISTED = ColumnRule(column="diagnosis", positive=("pneumonia",), negative=("healthy", "copd"))
OTHERS = ColumnRule(column="diagnosis", positive=("pneumonia",), negative="others", unknown=("unclear",))


@pytest.mark.parametrize(
    ("value", "listed", "others"),
    [
        ("pneumonia", 1, 1),
        ("Pneumonia", 1, 1),
        (" pneumonia ", 1, 1),
        ("copd+pneumonia", 1, 1),
        ("pneumonia + unclear", 1, 1),
        ("copd", 0, 0),
        ("copd+healthy", 0, 0),
        ("copd+asthma", NAN, 0),
        ("asthma", NAN, 0),
        ("unclear", NAN, NAN),
        ("copd+unclear", NAN, NAN),
        ("", NAN, NAN),
        ("+", NAN, NAN),
        ("pneumoniae", NAN, 0),
    ],
)
def test_values_of_a_column(value, listed, others):
    np.testing.assert_equal(part_target(value, LISTED), float(listed))
    np.testing.assert_equal(part_target(value, OTHERS), float(others))


def test_a_missing_value_is_unknown_even_with_others():
    recordings = recordings_of(("icbhi/a", "icbhi/1", None), ("icbhi/b", "icbhi/2", "copd"))
    values = recording_targets(recordings, events_of(), column_task(OTHERS))
    np.testing.assert_array_equal(values, np.float32([[NAN], [0]]))
    assert values.dtype == np.float32


def test_clips_take_their_recordings_value_in_any_order():
    recordings = recordings_of(("icbhi/a", "icbhi/1", "copd"), ("icbhi/b", "icbhi/2", "pneumonia"))
    clips = clips_of(("icbhi/b", 0, 1), ("icbhi/a", 0, 1), ("icbhi/b", 1, 2))
    values = clip_targets(clips, recordings, events_of(), column_task(OTHERS))
    np.testing.assert_array_equal(values[:, 0], [1, 0, 1])


def test_a_patient_is_the_maximum_over_what_is_known():
    recordings = recordings_of(
        ("icbhi/a", "icbhi/2", "copd"),
        ("icbhi/b", "icbhi/2", "pneumonia"),
        ("icbhi/c", "icbhi/1", None),
        ("icbhi/d", "icbhi/1", "copd"),
        ("icbhi/e", "icbhi/3", None),
    )
    values = patient_targets(recordings, events_of(), column_task(OTHERS))
    assert list(values.index) == ["icbhi/1", "icbhi/2", "icbhi/3"]
    assert values.index.name == "patient_id"
    np.testing.assert_array_equal(values["sick"], np.float32([0, 1, NAN]))


def test_classes_are_one_hot_and_unknown_as_a_whole():
    task = TaskSettings(
        description="t",
        type="multi_class",
        targets=("0", "1", "2"),
        level="recording",
        classes_from={"icbhi": ClassRule(column="diagnosis", classes={"zero": "0", "ONE": "1", "uno": "1"})},
    )
    recordings = recordings_of(
        ("icbhi/a", "p/1", "Zero"), ("icbhi/b", "p/1", "uno"), ("icbhi/c", "p/1", "nine"), ("icbhi/d", "p/1", None)
    )
    values = recording_targets(recordings, events_of(), task)
    np.testing.assert_array_equal(values, np.float32([[1, 0, 0], [0, 1, 0], [NAN] * 3, [NAN] * 3]))
    clips = clips_of(("icbhi/b", 0, 1), ("icbhi/d", 0, 1))
    np.testing.assert_array_equal(clip_targets(clips, recordings, events_of(), task), values[[1, 3]])
    # A patient with several classes holds each of them.
    np.testing.assert_array_equal(patient_targets(recordings, events_of(), task).to_numpy(), [[1, 1, 0]])


def test_classes_default_to_equal_names():
    task = TaskSettings(
        description="t",
        type="multi_class",
        targets=("copd", "asthma"),
        level="recording",
        classes_from={"icbhi": ClassRule(column="diagnosis")},
    )
    recordings = recordings_of(("icbhi/a", "p/1", "asthma"), ("icbhi/b", "p/1", "bronchitis"))
    np.testing.assert_array_equal(recording_targets(recordings, events_of(), task), np.float32([[0, 1], [NAN, NAN]]))


def test_a_recording_without_annotation_is_unknown_and_annotated_without_event_is_negative():
    recordings = recordings_of(*[(f"icbhi/{name}", "p/1", None) for name in "abcd"])
    events = events_of(
        ("icbhi/a", 0, 2, "cycle"),
        ("icbhi/a", 0, 2, "crackle"),
        ("icbhi/b", 0, 2, "cycle"),
        ("icbhi/d", 0, 2, "crackle"),
    )
    by_cycle = recording_targets(recordings, events, event_task(EventRule(events=("crackle",))))
    np.testing.assert_array_equal(by_cycle[:, 0], np.float32([1, 0, NAN, 1]))
    whole = EventRule(events=("crackle",), annotated_by=("recording",))
    np.testing.assert_array_equal(recording_targets(recordings, events, event_task(whole))[:, 0], [1, 0, 0, 1])


def test_a_sound_that_may_be_the_target_leaves_it_unknown():
    rule = EventRule(events=("wheeze",), unknown=("rhonchus", "stridor"))
    recordings = recordings_of(*[(f"icbhi/{name}", "p/1", None) for name in "abc"])
    events = events_of(
        *[(f"icbhi/{name}", start_s, start_s + 2, "cycle") for name in "abc" for start_s in (0, 2)],
        ("icbhi/a", 0.2, 0.4, "rhonchus"),
        ("icbhi/b", 0.2, 0.4, "stridor"),
        ("icbhi/b", 0, 1, "wheeze"),
    )
    task = event_task(rule)
    np.testing.assert_array_equal(recording_targets(recordings, events, task)[:, 0], np.float32([NAN, 1, 0]))
    clips = clips_of(*[(f"icbhi/{name}", start_s, start_s + 2) for name in "abc" for start_s in (0, 2)])
    expected = np.float32([NAN, 0, 1, 0, 0, 0])
    np.testing.assert_array_equal(clip_targets(clips, recordings, events, task)[:, 0], expected)


def test_a_kind_cannot_be_the_target_and_unknown():
    with pytest.raises(ValueError, match=r"\['wheeze'\] stand in both events and unknown"):
        EventRule(events=("wheeze",), unknown=("wheeze", "stridor"))


def test_datasets_keep_their_own_rules():
    task = TaskSettings(
        description="t",
        type="binary",
        targets=("sick",),
        level="recording",
        datasets={"icbhi": {"sick": OTHERS}, "bd": {"sick": EventRule(events=("crackle",))}},
    )
    both = pd.concat(
        [
            recordings_of(("icbhi/a", "icbhi/1", "copd")),
            recordings_of(("bd/a", "bd/1", "pneumonia"), dataset="bd").drop(columns="label_diagnosis"),
        ]
    )
    events = events_of(("icbhi/a", 0, 1, "crackle"), ("icbhi/a", 0, 1, "cycle"), ("bd/a", 0, 1, "cycle"))
    np.testing.assert_array_equal(recording_targets(both, events, task)[:, 0], [0, 0])


def test_an_absent_column_is_an_error_that_names_what_is_there():
    rule = ColumnRule(column="diagnose", positive=("x",), negative="others")
    with pytest.raises(DataError, match=r"'diagnose'.*\['diagnosis'\]"):
        recording_targets(recordings_of(("icbhi/a", "p", "x")), events_of(), column_task(rule))


def test_a_dataset_without_a_rule_is_an_error():
    with pytest.raises(DataError, match=r"\['perch'\].*supported: icbhi"):
        recording_targets(recordings_of(("perch/a", "p", "x"), dataset="perch"), events_of(), column_task(OTHERS))


def test_clips_of_unknown_recordings_are_an_error():
    with pytest.raises(DataError, match="icbhi/z"):
        clip_targets(
            clips_of(("icbhi/z", 0, 1)), recordings_of(("icbhi/a", "p", "x")), events_of(), column_task(OTHERS)
        )


def test_tables_may_be_empty():
    recordings = recordings_of()
    task = event_task(EventRule(events=("crackle",)))
    assert recording_targets(recordings, events_of(), task).shape == (0, 1)
    assert clip_targets(clips_of(), recordings, events_of(), task).shape == (0, 1)
    assert patient_targets(recordings, events_of(), task).shape == (0, 1)


def one_clip(clip: tuple[float, float], events: list[tuple[float, float, str]], **overlap: object) -> float:
    task = event_task(EventRule(events=("crackle",)), OverlapRule(**overlap))
    table = events_of(*[("icbhi/a", *event) for event in events])
    recordings = recordings_of(("icbhi/a", "p", None))
    return float(clip_targets(clips_of(("icbhi/a", *clip)), recordings, table, task)[0, 0])


def test_overlap_counts_of_event_of_clip_or_of_either():
    long_event = [(0.0, 10.0, "crackle"), (0.0, 10.0, "cycle")]
    assert one_clip((0, 2), long_event, of="event") == 0
    assert one_clip((0, 2), long_event, of="clip") == 1
    assert one_clip((0, 2), long_event, of="either") == 1
    short_event = [(1.0, 1.1, "crackle"), (0.0, 10.0, "cycle")]
    assert one_clip((0, 2), short_event, of="event") == 1
    assert one_clip((0, 2), short_event, of="clip") == 0
    assert one_clip((0, 2), short_event, of="either") == 1


def test_events_count_one_by_one_not_together():
    halves = [(0.0, 0.4, "crackle"), (0.6, 1.0, "crackle"), (0.0, 1.0, "cycle")]
    assert one_clip((0, 1), halves, of="clip", min_fraction=0.5) == 0


def test_annotation_counts_together():
    cycles = [(0.0, 0.4, "cycle"), (0.4, 0.8, "cycle")]
    assert one_clip((0, 1), cycles, min_fraction=0.8) == 0
    assert math.isnan(one_clip((0, 1), cycles, min_fraction=0.9))
    overlapping = [(0.0, 0.4, "cycle"), (0.0, 0.4, "cycle"), (0.2, 0.4, "cycle")]
    assert math.isnan(one_clip((0, 1), overlapping, min_fraction=0.5)), "an interval marked twice is covered once"


def test_edges_that_touch_share_nothing():
    assert math.isnan(one_clip((1, 2), [(0.0, 1.0, "crackle"), (2.0, 3.0, "cycle")]))


def test_a_short_event_that_ends_where_the_clip_begins_shares_nothing():
    # The long event makes it a neighbour of the clip; a twentieth of the short one is less than the tolerance.
    events = [(0.0, 1.02, "crackle"), (0.99, 1.0, "crackle"), (1.0, 2.0, "cycle")]
    assert one_clip((1, 2), events, of="event", min_fraction=0.05) == 0


def test_a_positive_event_outside_the_annotation_still_counts():
    assert one_clip((0, 1), [(0.0, 1.0, "crackle")]) == 1


def test_a_cycle_cut_on_whole_samples_is_covered_in_full():
    # 4 kHz: the clip begins and ends up to half a sample beside the cycle that it was cut by.
    start_s, end_s = 0.0360001, 0.5790001
    clip = (round(start_s * 4000) / 4000, round(end_s * 4000) / 4000)
    events = [(start_s, end_s, "cycle")]
    assert one_clip(clip, events, min_fraction=1.0) == 0
    assert one_clip(clip, [*events, (start_s, end_s, "crackle")], min_fraction=1.0, of="clip") == 1


tenths = st.integers(0, 60).map(lambda n: n / 10)
spans = st.tuples(tenths, st.integers(1, 30).map(lambda n: n / 10)).map(lambda pair: (pair[0], pair[0] + pair[1]))
marks = st.tuples(st.sampled_from("abc"), spans, st.sampled_from(["crackle", "fine_crackle", "cycle", "other"]))
cuts = st.tuples(st.sampled_from("abc"), spans)


def brute_force(clip, events, rule: EventRule, overlap: OverlapRule) -> float:
    name, (start_s, end_s) = clip
    length_s = end_s - start_s
    covered, is_open = set(), False
    for owner, (from_s, to_s), kind in events:
        if owner != name:
            continue
        shared_s = min(end_s, to_s) - max(start_s, from_s)
        if kind in rule.annotated_by and shared_s > 0:
            covered |= set(range(round(max(start_s, from_s) * 10), round(min(end_s, to_s) * 10)))
        is_open |= kind in rule.unknown and shared_s > EDGE_TOLERANCE_S
        if kind in rule.events and shared_s > 0:
            of_event = shared_s + EDGE_TOLERANCE_S >= overlap.min_fraction * (to_s - from_s)
            of_clip = shared_s + EDGE_TOLERANCE_S >= overlap.min_fraction * length_s
            if {"event": of_event, "clip": of_clip, "either": of_event or of_clip}[overlap.of]:
                return 1.0
    if is_open:
        return NAN
    if "recording" in rule.annotated_by:
        return 0.0
    covered_s = len(covered) / 10
    return 0.0 if covered_s > 0 and covered_s + EDGE_TOLERANCE_S >= overlap.min_fraction * length_s else NAN


rules = st.builds(
    EventRule,
    events=st.sampled_from([("crackle",), ("crackle", "fine_crackle")]),
    annotated_by=st.sampled_from([("cycle",), ("cycle", "other"), ("recording",), ("absent",)]),
    unknown=st.sampled_from([(), ("other",), ("rhonchus", "other")]),
)
overlap_rules = st.builds(
    OverlapRule,
    min_fraction=st.sampled_from([0.05, 0.25, 0.5, 0.75, 1.0]),
    of=st.sampled_from(["event", "clip", "either"]),
)


@settings(max_examples=400, deadline=None)
@given(clips=st.lists(cuts, max_size=12), events=st.lists(marks, max_size=25), rule=rules, overlap=overlap_rules)
def test_clips_agree_with_brute_force(clips, events, rule, overlap):
    recordings = recordings_of(*[(name, "p", None) for name in "cab"])
    values = clip_targets(
        clips_of(*[(name, *span) for name, span in clips]),
        recordings,
        events_of(*[(name, *span, kind) for name, span, kind in events]),
        event_task(rule, overlap),
    )
    np.testing.assert_array_equal(values[:, 0], np.float32([brute_force(c, events, rule, overlap) for c in clips]))


@pytest.mark.parametrize(
    "rule",
    [
        {"column": "x", "positive": ["crackle"], "negative": ["normal", "Crackle"]},
        {"column": "x", "positive": [1], "negative": ["1.0"]},
        {"column": "x", "positive": ["a"], "negative": "others", "unknown": [" A"]},
    ],
)
def test_a_value_with_two_meanings_is_refused(rule):
    with pytest.raises(ValueError, match="stands in both positive and"):
        ColumnRule.model_validate(rule)


def test_a_class_value_with_two_meanings_and_a_target_twice_are_refused():
    with pytest.raises(ValueError, match="classes gives 'normal' two meanings, 'a' and 'b'"):
        ClassRule.model_validate({"column": "x", "classes": {"Normal": "a", "normal": "b"}})
    with pytest.raises(ValueError, match="names one twice"):
        TaskSettings.model_validate({"description": "t", "type": "multi_label", "targets": ["a", "A"], "level": "clip"})


def test_event_kinds_are_compared_without_case():
    assert EventRule.model_validate({"events": ["Wheeze"], "annotated_by": ["Cycle"]}) == EventRule(events=("wheeze",))


FOUR = {"crackle": ["crackle"], "wheeze": ["wheeze"], "both": ["crackle+wheeze"]}


def class_task(level: str = "clip", **rule) -> TaskSettings:
    targets = ("normal", "crackle", "wheeze", "both")
    rule = {"events": FOUR, "none": "normal", **rule}
    return TaskSettings(
        description="t", type="multi_class", targets=targets, level=level, normal_class="normal",
        classes_from={"icbhi": EventClassRule.model_validate(rule)},
    )  # fmt: skip


def classes_of(values, task: TaskSettings) -> list[str | None]:
    return [None if np.isnan(row).any() else task.targets[int(row.argmax())] for row in values]


CYCLES = [(0.0, 2.0), (2.0, 4.0), (4.0, 6.0), (6.0, 8.0), (8.0, 10.0)]


def test_a_cycle_has_one_class_by_the_events_in_it():
    recordings = recordings_of(("icbhi/a", "p/1", None))
    events = events_of(
        *(("icbhi/a", start, end, "cycle") for start, end in CYCLES[:4]),
        ("icbhi/a", 2, 4, "crackle"),
        ("icbhi/a", 4, 6, "wheeze"),
        ("icbhi/a", 6, 8, "wheeze"),
        ("icbhi/a", 6.2, 6.4, "crackle"),
    )
    clips = clips_of(*(("icbhi/a", start, end) for start, end in CYCLES))
    task = class_task()
    found = classes_of(clip_targets(clips, recordings, events, task), task)
    # The last stretch was not annotated: unknown, not normal.
    assert found == ["normal", "crackle", "wheeze", "both", None]
    # A recording is of every class that a cycle of it is of.
    np.testing.assert_array_equal(recording_targets(recordings, events, task), [[1, 1, 1, 1]])
    # As a whole it holds crackles and wheezes.
    whole = class_task("recording")
    assert classes_of(recording_targets(recordings, events, whole), whole) == ["both"]


def test_kinds_of_several_classes_are_unknown_or_the_longest():
    recordings = recordings_of(("icbhi/a", "p/1", None))
    events = events_of(("icbhi/a", 0, 8, "cycle"), ("icbhi/a", 1, 2, "crackle"), ("icbhi/a", 3, 6, "wheeze"))
    clips = clips_of(("icbhi/a", 0, 8))
    two = {name: FOUR[name] for name in ("crackle", "wheeze")}
    for several, expected in (("unknown", None), ("longest", "wheeze")):
        task = class_task(events=two, several=several)
        assert classes_of(clip_targets(clips, recordings, events, task), task) == [expected]


def test_what_may_be_any_class_leaves_it_unknown():
    recordings = recordings_of(("icbhi/a", "p/1", None))
    events = events_of(
        ("icbhi/a", 0, 2, "cycle"), ("icbhi/a", 2, 4, "cycle"), ("icbhi/a", 0, 1, "rhonchus"),
        ("icbhi/a", 2, 4, "crackle"), ("icbhi/a", 2, 3, "rhonchus"),
    )  # fmt: skip
    clips = clips_of(("icbhi/a", 0, 2), ("icbhi/a", 2, 4))
    task = class_task(unknown=["rhonchus"])
    assert classes_of(clip_targets(clips, recordings, events, task), task) == [None, None]
    without = class_task(none=None)
    events = events_of(("icbhi/a", 0, 2, "cycle"), ("icbhi/a", 2, 4, "cycle"), ("icbhi/a", 2, 4, "crackle"))
    assert classes_of(clip_targets(clips, recordings, events, without), without) == [None, "crackle"]


@settings(max_examples=60, deadline=None)
@given(
    events=st.lists(
        st.tuples(st.integers(0, 9), st.integers(1, 6), st.sampled_from(["crackle", "wheeze", "cycle"])), max_size=8
    ),
    clips=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 6)), min_size=1, max_size=5),
)
def test_exclusive_classes_equal_two_independent_targets(events, clips):
    """Where both targets are known or one is positive, the four classes are those of the pair."""
    recordings = recordings_of(("icbhi/a", "p/1", None))
    table = events_of(*(("icbhi/a", start, start + length, kind) for start, length, kind in events))
    cuts = clips_of(*(("icbhi/a", start, start + length) for start, length in clips))
    rules = {name: EventRule(events=(name,)) for name in ("crackle", "wheeze")}
    pair = TaskSettings(
        description="t", type="multi_label", targets=("crackle", "wheeze"), level="clip", datasets={"icbhi": rules}
    )
    task = class_task()
    found = classes_of(clip_targets(cuts, recordings, table, task), task)
    names = {(0, 0): "normal", (1, 0): "crackle", (0, 1): "wheeze", (1, 1): "both"}
    for answer, (crackle, wheeze) in zip(found, clip_targets(cuts, recordings, table, pair), strict=True):
        is_unknown = np.isnan(crackle) and np.isnan(wheeze)
        expected = None if is_unknown else names[int(crackle == 1), int(wheeze == 1)]
        assert answer == expected


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"events": {"a": ["x"], "b": ["X"]}}, "to two classes, 'a' and 'b'"),
        ({"events": {"a": ["x+"]}}, "joins a kind that has no name"),
        ({"events": {"a": ["x"]}, "unknown": ["x"]}, "stand in both events and unknown"),
    ],
)
def test_a_class_rule_that_contradicts_itself_is_refused(rule, said):
    with pytest.raises(ValueError, match=said):
        EventClassRule.model_validate(rule)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"normal_class": "healthy"}, "are no classes"),
        ({"left_out_classes": ["both"]}, "name the class of healthy"),
        ({"normal_class": "normal", "left_out_classes": ["normal"]}, "names? a class twice"),
        ({"normal_class": "normal", "left_out_classes": ["crackle", "wheeze", "both"]}, "no class is left"),
    ],
)
def test_a_normal_class_must_make_sense(settings, said):
    base = {"description": "t", "type": "multi_class", "targets": ["normal", "crackle", "wheeze", "both"]}
    with pytest.raises(ValueError, match=said):
        TaskSettings.model_validate({**base, "level": "clip", **settings})
