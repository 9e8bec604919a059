"""What one annotation file says, in each of its formats; nothing in it vanishes in silence."""

import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import settings as checking
from hypothesis import strategies as st

from auscult.config.annotations import AnnotationSettings
from auscult.datasets.readers.annotation_events import Annotation, parse_annotation
from auscult.datasets.readers.reading import MalformedError

SHORT_GRID = '"ooTextFile"\n"TextGrid"\n0 4 <exists> 2\n"IntervalTier" "sound" 0 4 2 0 1 "" 1 2 "Wheeze"\n'
SHORT_GRID += '"TextTier" "peaks" 0 4 1 3 "peak"\n'


def parse(data: bytes | str, rate_hz: int | None = None, duration_s: float = math.inf, **values: Any) -> Annotation:
    settings = AnnotationSettings(files="{stem}.txt", **values)
    return parse_annotation(data if isinstance(data, bytes) else data.encode(), settings, rate_hz, duration_s)


def events_of(annotation: Annotation) -> list[tuple[float, float, str]]:
    return [(event.start_s, event.end_s, event.kind) for event in annotation.events]


ONE = [(1.5, 2.5, "Wheeze")]


@pytest.mark.parametrize(
    ("data", "values"),
    [
        ("1.5\t2.5\tWheeze\n", {}),
        ("1.5,2.5,Wheeze", {}),
        ("1.5, 2.5, Wheeze", {}),
        ("1.5;2.5;Wheeze\r\n", {}),
        ("1.5|2.5|Wheeze", {}),
        ("  1.5   2.5 Wheeze ", {}),
        ("1,5\t2,5\tWheeze", {}),
        ("1,5;2,5;Wheeze", {}),
        ("1,5 2,5 Wheeze", {}),
        ("1,500 2,500 Wheeze", {}),
        ("1,5\t2,5\tWheeze", {"decimal": "comma"}),
        ('"1,5","2,5","Wheeze"', {}),
        ("start\tend\tlabel\n1.5\t2.5\tWheeze", {}),
        ("Begin Time (s),End Time (s),Label\n1.5,2.5,Wheeze", {}),
        ("a b c\n1.5 2.5 Wheeze", {"header": True}),
        ("id,what,onset,stop\n7,Wheeze,1.5,2.5", {"start": "Onset", "end": "stop", "kind": "what"}),
        ("id;length;onset;what\n7;1;1,5;Wheeze", {"start": "onset", "duration": "length", "kind": "what"}),
        ("Wheeze\t1.5\t1.0", {"start": 2, "duration": 3, "kind": 1}),
        ("1500\t2500\tWheeze", {"unit": "ms"}),
        ("00:00:01,500\t00:00:02,500\tWheeze", {"unit": "hh:mm:ss"}),
        ("0:01.5,0:02.5,Wheeze", {"unit": "hh:mm:ss"}),
        ("6000,10000,Wheeze", {"unit": "samples"}),
        ("3000,5000,Wheeze", {"unit": "samples", "sample_rate_hz": 2000}),
        ("\ufeff1.5\t2.5\tWheeze", {}),
        ("1.5\t2.5\tWheeze".encode("utf-16"), {}),
        ("1.5\t2.5\tWheeze".encode("utf-16-le"), {"encoding": "utf-16-le"}),
        ("1.5\t2.5\tWheeze\n\\\t100.0\t800.0\n", {}),
        ("1.5\t2.5\tWheeze\n\\\t100.0\t800.0\n", {"format": "audacity"}),
        ("[[1.5, 2.5, \"Wheeze\"]]", {}),
        ('{"result": {"events": [{"from": 1.5, "to": "2.5", "type": "Wheeze", "by": null}]}}',
         {"events": "result.events", "start": "from", "end": "to", "kind": "type"}),
        ('[{"s": 1500, "d": 1e3, "k": ["Wheeze"]}]', {"unit": "ms", "start": "s", "duration": "d", "kind": "k"}),
        (SHORT_GRID.replace(" 1 2 ", " 1.5 2.5 "), {"tiers": ["Sound"]}),
        (SHORT_GRID.replace(" 1 2 ", " 1.5 2.5 ").encode("utf-16"), {"points": "drop"}),
    ],
)  # fmt: skip
def test_the_same_event_is_read_however_it_is_written(data: bytes | str, values: dict[str, Any]) -> None:
    annotation = parse(data, rate_hz=4000, **values)
    assert annotation.faults == []
    assert events_of(annotation) == ONE
    assert not annotation.is_blank


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2\t1\tWheeze", "reversed: "),
        ("-1\t1\tWheeze", "negative time: "),
        ("1\t1.0\tWheeze", "zero length: "),
        ("abc\tdef\tWheeze", "not a number: start is 'abc'"),
        ("1\t\tWheeze", "not a number: end is ''"),
        ("\t1\tWheeze", "not a number: start is ''"),
        ("nan\t2\tWheeze", "not a number: start is 'nan'"),
        ("1\t1e999\tWheeze", "not a number: end '1e999' is too large"),
        ("00:01\t00:02\tWheeze", "not a number: start is '00:01'; say `unit: hh:mm:ss`"),
        ("1,2.5\t3\tWheeze", "not a number: start is '1,2.5'"),
        ("1\t2", "label: it is ''"),
        ("1\t2\t", "label: it is ''"),
        ("1\t2\tNA", "label: it is 'NA'"),
        ("1\t2\t?", "label: it is '?'"),
        ("1\t2\tAnnotated", "label: the tables use 'Annotated' themselves"),
        ("1\t2\tunplaced", "label: the tables use 'unplaced' themselves"),
        ("1\t2\trecording", "label: the tables use 'recording' themselves"),
        ("1\t2\tWheeze\tleft", "columns: found 4 cells, expected 3"),
        ("1\t2\tWh\0eze", "not text: "),
        ("start\tend\tlabel", "not a number: start is 'start'"),
        ('1\t2\t"Wheeze', "not a row: "),
    ],
)
def test_a_bad_line_is_named_and_the_rest_goes_on(line: str, reason: str) -> None:
    annotation = parse(f"0.5\t1.5\tCrackle\n\n{line}\n3\t4\tWheeze\n")
    assert events_of(annotation) == [(0.5, 1.5, "Crackle"), (3.0, 4.0, "Wheeze")]
    assert [fault.line for fault in annotation.faults] == [3]
    assert annotation.faults[0].reason.startswith(reason)
    assert [event.line for event in annotation.events] == [1, 4]


@pytest.mark.parametrize("head", ["", "start end label\n"])
def test_a_last_label_between_blanks_may_hold_blanks(head: str) -> None:
    assert events_of(parse(head + "0.5 1.5 fine crackle\n2 3 wheeze\n")) == [
        (0.5, 1.5, "fine crackle"),
        (2.0, 3.0, "wheeze"),
    ]


def test_further_columns_are_left_alone_and_an_unquoted_comma_in_a_label_is_a_fault() -> None:
    assert events_of(parse("1\t2\tx\tleft\n2\t3\ty\tright")) == [(1.0, 2.0, "x"), (2.0, 3.0, "y")]
    annotation = parse('1.0,2,x\n2,3,"y, z"\n3,4,y, z\n')
    assert events_of(annotation) == [(1.0, 2.0, "x"), (2.0, 3.0, "y, z")]
    assert [fault.line for fault in annotation.faults] == [3]


def test_a_first_line_of_other_words_is_a_fault_and_no_header() -> None:
    assert [fault.line for fault in parse("abc\tdef\tWheeze\n1\t2\tWheeze\n").faults] == [1]


def test_bytes_that_are_no_text_spoil_their_line_alone() -> None:
    annotation = parse(b"1\t2\tWh\xc3\xa9eze\n2\t3\tWh\xe9eze\n")
    assert events_of(annotation) == [(1.0, 2.0, "Wh\u00e9eze")]
    assert [(fault.line, fault.reason.split(":")[0]) for fault in annotation.faults] == [(2, "not UTF-8")]


def test_an_encoding_that_is_guessed_is_noted() -> None:
    annotation = parse("1\t2\tR\u00e2le sibilant\n".encode("cp1252"))
    assert events_of(annotation) == [(1.0, 2.0, "R\u00e2le sibilant")]
    assert "cp1252" in annotation.notes["encoding_guessed"]


@pytest.mark.parametrize(
    ("data", "values", "reason"),
    [
        ("1,5,2,5,Wheeze", {}, "ambiguous: the commas of line 1"),
        ("0,1,Wheeze\n1,5,2,Wheeze", {}, "ambiguous: the commas of line 2"),
        ("1,5,2,5", {"kind": None, "every": "cycle"}, "ambiguous: "),
        ("begin,end,what\n1,2,x", {"start": "begn"}, "header: no column 'begn', found 'begin', 'end', 'what'; did you"),
        ("t,t,what\n1,2,x", {"start": "t"}, "header: two columns 't'"),
        ("1,2,x", {"start": "onset", "header": False}, "header: the settings say that there is none"),
        ("start end", {"header": True}, "header: found 2 columns, expected at least 3"),
        ("bad line\n" * 30, {}, "not a table: none of 30 rows is read; line 1: "),
        ("1 2 x", {"unit": "samples"}, "unit: the recording's sample rate is unknown"),
        ("1\t2\tx\n\\\t1\t2", {"unit": "ms"}, "unit: audacity files count in seconds"),
        (SHORT_GRID, {"unit": "ms"}, "unit: textgrid files count in seconds"),
        (SHORT_GRID, {"tiers": ["sounds"]}, "tiers: the file has no 'sounds'; it has 'sound', 'peaks'"),
        (b"ooBinaryFile\x08TextGrid\0\0", {}, "TextGrid: this is Praat's binary form"),
        ('"Praat chronological TextGrid text file"\n0 1', {}, "TextGrid: this is Praat's chronological form"),
        ("{]", {}, "not JSON: "),
        ("[1, 2", {}, "not JSON: "),
        ('[], "x": []', {}, "not JSON: "),
        ('{"a": []}', {}, "events: the document is no list; say with `events` where it lies; its keys: 'a'"),
        (
            '{"result": []}',
            {"events": "results"},
            "events: 'results' leads nowhere at 'results'; did you mean 'result'",
        ),
        ("1.5\t2.5\tx".encode("utf-16")[:-1], {}, "encoding: the file is no utf-16 text"),
    ],
)
def test_a_file_that_cannot_be_read_as_a_whole_is_refused(
    data: bytes | str, values: dict[str, Any], reason: str
) -> None:
    with pytest.raises(MalformedError) as raised:
        parse(data, **values)
    assert str(raised.value).startswith(reason)


def test_a_delimiter_that_is_named_settles_what_a_comma_means() -> None:
    annotation = parse("1,5,2,5,Wheeze", delimiter="comma")
    assert events_of(annotation) == [(1.0, 5.0, "2")]


def test_events_of_json_that_are_odd_are_named_by_their_place() -> None:
    data = [[1, 2, "x"], [2, 1, "x"], {"a": 1}, [1, 2], [True, [], "x"], [1, 2, {}], [1, 2, None], [1, 2, "\ud800"]]
    annotation = parse(json.dumps(data))
    assert events_of(annotation) == [(1.0, 2.0, "x")]
    places = [fault.reason.split("event ")[1].split(":")[0] for fault in annotation.faults]
    assert sorted(places) == ["2", "3", "4", "5", "6", "7", "8"]


def test_labels_become_the_kinds_that_the_settings_say_and_what_is_dropped_is_counted() -> None:
    kinds = {"W": "wheeze", "both": ["crackle", "wheeze"], "speech": None, "NA": None, "1": "first"}
    data = "0\t1\tw\n1\t2\tBoth\n2\t3\tspeech\n3\t4\tna\n4\t5\t1.0\n5\t6\tw+Crackle\n6\t7\tSpeech\n"
    annotation = parse(data, kinds=kinds, separator="+")
    assert annotation.faults == []
    assert events_of(annotation) == [
        (0.0, 1.0, "wheeze"),
        (1.0, 2.0, "crackle"),
        (1.0, 2.0, "wheeze"),
        (4.0, 5.0, "first"),
        (5.0, 6.0, "wheeze"),
        (5.0, 6.0, "Crackle"),
    ]
    assert annotation.notes["label_dropped"].startswith("3 labels are left out, as `kinds` says: ")


def test_flags_give_an_event_of_each_kind_and_every_row_is_a_cycle() -> None:
    data = "start end crackle wheeze\n0.5 1.5 0 1\n1.5 2 1 1\n2 3 0 0\n3 4 2 0\n"
    annotation = parse(data, flags={"crackle": 3, "wheeze": 4}, every="cycle")
    assert events_of(annotation) == [
        (0.5, 1.5, "cycle"),
        (0.5, 1.5, "wheeze"),
        (1.5, 2.0, "cycle"),
        (1.5, 2.0, "crackle"),
        (1.5, 2.0, "wheeze"),
        (2.0, 3.0, "cycle"),
    ]
    assert [(fault.line, fault.reason) for fault in annotation.faults] == [(5, "flag: crackle is '2', expected 0 or 1")]
    assert events_of(parse("1,5,0,1", flags={"crackle": 3, "wheeze": 4})) == [(1.0, 5.0, "wheeze")]


def test_points_are_refused_left_out_or_widened_within_the_recording() -> None:
    data = "0.05\t0.05\tx\n2\t2\ty\n3\t3.5\tz\n3.95\t3.95\tx\n9\t9\tx\n-1\t-1\tx\n"
    assert [fault.line for fault in parse(data).faults] == [1, 2, 4, 5, 6]
    dropped = parse(data, points="drop")
    assert events_of(dropped) == [(3.0, 3.5, "z")]
    assert dropped.notes["point_dropped"].startswith("5 labels")
    widened = parse(data, points=0.5, duration_s=4.0)
    assert events_of(widened) == [(0.0, 0.3, "x"), (1.75, 2.25, "y"), (3.0, 3.5, "z"), (3.7, 4.0, "x")]
    assert [(fault.line, fault.reason.split(":")[0]) for fault in widened.faults] == [
        (5, "beyond the end"),
        (6, "negative time"),
    ]


def test_a_tier_that_is_not_read_is_noted_and_gaps_are_no_faults() -> None:
    annotation = parse(SHORT_GRID, tiers=["sound"])
    assert annotation.notes == {"tier_not_read": "`tiers` leaves out 'peaks'"}
    assert [fault.reason.split(":")[0] for fault in parse(SHORT_GRID).faults] == ["zero length"]


@pytest.mark.parametrize("data", [b"", b"\n \t\r\n", b"\xef\xbb\xbf", b"\xff\xfe"])
def test_a_file_without_any_line_is_blank(data: bytes) -> None:
    assert parse(data) == Annotation([], [], is_blank=True)


def test_a_header_alone_and_an_empty_list_are_not_blank() -> None:
    assert parse("start\tend\tlabel\n") == Annotation([], [])
    assert parse("[]") == Annotation([], [])


def test_events_come_in_the_order_of_their_starts() -> None:
    assert [event.line for event in parse("3\t4\tx\n1\t2\tx\n1\t1.5\tx\n").events] == [3, 2, 1]


SETTINGS = [
    {},
    {"points": 0.5},
    {"unit": "ms", "decimal": "comma"},
    {"unit": "hh:mm:ss"},
    {"start": "a", "duration": "b", "kind": "c", "separator": "+"},
    {"flags": {"x": 3}, "every": "cycle"},
    *({"format": name} for name in ("table", "audacity", "textgrid", "json")),
]
_PIECES = [
    "0",
    "1.5",
    ",",
    "\t",
    " ",
    "\n",
    ":",
    '"',
    "a",
    "start",
    "end",
    "[",
    "{",
    "}",
    "]",
    "\\",
    "\0",
    "1e308",
    "!",
]
_FILES = st.one_of(
    st.binary(max_size=80),
    st.lists(st.sampled_from(_PIECES), max_size=40).map(lambda parts: "".join(parts).encode()),
    st.lists(st.sampled_from([*_PIECES, "<exists>", '"TextTier"']), max_size=30).map(
        lambda parts: ('"ooTextFile"\n"TextGrid"\n0 1 <exists> 1 ' + " ".join(parts)).encode()
    ),
)


@checking(max_examples=400, deadline=None)
@given(data=_FILES, values=st.sampled_from(SETTINGS))
@example(data=b"1e308\t1e308\ta\n", values={"start": 1, "duration": 2})
@example(data=b"\xff\xfe\x00", values={})
def test_any_bytes_give_events_within_bounds_or_a_reason(data: bytes, values: dict[str, Any]) -> None:
    try:
        annotation = parse(data, duration_s=10.0, **values)
    except MalformedError as error:
        assert str(error)
        return
    for event in annotation.events:
        assert 0 <= event.start_s < event.end_s < math.inf
        assert event.kind.strip()
        event.kind.encode()
    assert [event.start_s for event in annotation.events] == sorted(event.start_s for event in annotation.events)


def bands_of(annotation: Annotation) -> list[tuple[float | None, float | None]]:
    assert not annotation.faults
    return [(event.low_hz, event.high_hz) for event in annotation.events]


def test_frequencies_of_label_tracks_belong_to_the_label_before_them() -> None:
    track = "0.5\t1.0\tWheeze\n\\\t200.5\t800\n1.2\t1.3\tCrackle\n2.0\t2.5\tWheeze\n\\\t-1.000000\t600\n"
    assert bands_of(parse(track)) == [(200.5, 800.0), (None, None), (None, 600.0)]
    fault = parse("0.5\t1.0\tWheeze\n\\\t800\t200\n").faults[0]
    assert fault.line == 2
    assert "band: it ends at 200 Hz" in fault.reason
    # A label that cannot be read leaves its frequencies to nobody else.
    left = parse("0.5\t1.0\tWheeze\nx\t1.3\tCrackle\n\\\t200\t800\n")
    assert ([(one.low_hz, one.line) for one in left.events], len(left.faults)) == ([(None, 1)], 1)


def test_raven_selection_tables_are_read_with_their_frequencies() -> None:
    header = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tAnnotation\n"
    rows = "1\tSpectrogram 1\t1\t0.5\t1.0\t200.5\t800.0\tWheeze\n2\tSpectrogram 1\t1\t1.2\t1.3\t\t\tCrackle\n"
    columns = {"start": "Begin Time (s)", "end": "End Time (s)", "kind": "Annotation"}
    bands = {"low_hz": "Low Freq (Hz)", "high_hz": "High Freq (Hz)"}
    found = parse(header + rows, **columns, **bands)
    assert events_of(found) == [(0.5, 1.0, "Wheeze"), (1.2, 1.3, "Crackle")]
    assert bands_of(found) == [(200.5, 800.0), (None, None)]
    assert bands_of(parse(header + rows, **columns)) == [(None, None), (None, None)]
    found = parse(
        '[{"from": 0, "to": 1, "what": "Wheeze", "low": 90}]', start="from", end="to", kind="what", low_hz="low"
    )
    assert bands_of(found) == [(90.0, None)]
