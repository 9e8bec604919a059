import json
from collections.abc import Callable

import pytest

from auscult.datasets.readers.sprsound import SprName, parse_annotation, parse_name

STEM = "65101170_0.4_1_p3_3246"


def document(
    *events: tuple[object, object, object], record: object = "Normal", key: str = "record_annotation"
) -> bytes:
    listed = [{"start": start, "end": end, "type": kind} for start, end, kind in events]
    return json.dumps({key: record, "event_annotation": listed}).encode()


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("65101170_0.4_1_p3_3246", SprName("65101170", 0.4, "female", "right posterior")),
        ("65101170_0.4_1_p6_3246", SprName("65101170", 0.4, "female", "p6")),
        ("65101170_young_2_x_1", SprName("65101170", None, None, "x", ("age 'young'", "sex '2'", "location 'x'"))),
        ("2024_p2_17", SprName(location="left lateral")),
        ("new recording", SprName()),
    ],
)
def test_what_a_name_does_not_say_is_unknown_and_what_it_says_oddly_is_named(stem: str, name: SprName) -> None:
    assert parse_name(stem) == name


def test_later_releases_are_read_and_their_patients_are_unknown(
    write_wav: Callable, write_text: Callable, run_ingest: Callable
) -> None:
    for number, stem in enumerate((STEM, "anon_p7_12", "65101171_old_1_p5_7")):
        write_wav(f"wav/{stem}.wav", seed=number)
        write_text(f"json/{stem}.json", document((0, 900, "Wheeze")).replace(b'"record_annotation": "Normal", ', b""))
    write_wav("wav/holiday.wav", seed=9)
    result = run_ingest("sprsound")
    assert result.fault_classes == [("wav/holiday.wav", None, "name")]
    assert result.recordings["label_record"].isna().all()
    assert result.recordings["attr_chest_location"].tolist() == ["right posterior", "p5", "p7"]
    assert result.summary["notices"]["not_understood"]["subjects"] == ["age 'old'"]
    assert result.summary["notices"]["patient_unknown"]["subjects"] == ["set/anon_p7_12"]
    assert result.kinds_of("set/anon_p7_12") == [(0.0, 0.9, "cycle"), (0.0, 0.9, "wheeze")]


def test_known_copies_are_one_line_each_and_a_folder_of_that_name_without_originals_is_read(
    write_wav: Callable, write_text: Callable, run_ingest: Callable
) -> None:
    for folder, stem in (("train_wav", STEM), ("example", STEM), ("test_clip", f"{STEM}_1"), ("example", "7_1_0_p1_2")):
        write_wav(f"{folder}/{stem}.wav", seed=len(stem))
        write_text(f"{folder}/{stem}.json", document((0, 900, "Normal")))
    result = run_ingest("sprsound")
    assert result.rejected == []
    assert result.recordings["recording_id"].tolist() == ["set/7_1_0_p1_2", f"set/{STEM}"]
    assert result.recordings["attr_official_split"].fillna("").tolist() == ["", "train"]
    assert result.summary["notices"] == {"copy": {"count": 2, "subjects": ["example/", "test_clip/"]}}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON"),
        (b"[]", "not JSON: found list"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"[" * 100_000, "not JSON"),
        (b'{"record_annotation": %s}' % (b"9" * 5000), "not JSON"),
        (b'{"record_annotation": "Normal", "record_annotation": "CAS", "event_annotation": []}', "not JSON: the keys"),
        (b'{"record_annotation": NaN, "event_annotation": []}', "not JSON: NaN"),
        (b'{"events": [], "event_annotation": []}', "columns: unknown keys"),
        (
            b'{"record_annotation": "CAS", "recording_annotation": "DAS", "event_annotation": []}',
            "columns: found 2 of the keys",
        ),
        (document(record=["CAS"]), "unknown label"),
        (document(record="Wheezy"), "unknown label: 'Wheezy'"),
        (b'{"record_annotation": "Normal"}', "columns: event_annotation is None"),
        (b'{"record_annotation": "Normal", "event_annotation": [], "note": 1}', "columns: unknown keys"),
        (b'{"record_annotation": "Normal", "event_annotation": ["x"]}', "columns: found 'x'"),
        (document(("1.5", "900", "Wheeze")), "not a number: start is '1.5'"),
        (document((1.5, "900", "Wheeze")), "not a number: start is 1.5"),
        (document((True, "900", "Wheeze")), "not a number: start is True"),
        (document(("-5", "900", "Wheeze")), "not a number: start is '-5'"),
        (document(("900", "500", "Wheeze")), "reversed"),
        (document(("900", "900", "Wheeze")), "zero length"),
        (document(("500", "900", "Squeak")), "unknown event: 'Squeak'"),
        (document(("500", "900", ["Wheeze"])), "unknown event"),
    ],
)
def test_a_bad_annotation_is_one_fault(data: bytes, reason: str) -> None:
    annotation, faults = parse_annotation(data)
    assert annotation.events == []
    assert len(faults) == 1
    assert faults[0].reason.startswith(reason)


def test_one_bad_event_does_not_take_the_others_with_it() -> None:
    annotation, faults = parse_annotation(
        document(("0", "500", "Normal"), ("x", "900", "Wheeze"), (900, 1200, "Stridor"), record="CAS")
    )
    assert [event.kinds for event in annotation.events] == [(), ("stridor",)]
    assert [fault.reason for fault in faults] == ["not a number: start is 'x', expected whole milliseconds (event 2)"]
    assert annotation.record == "cas"


def test_a_clean_tree_gives_every_fact_and_no_fault(
    write_wav: Callable, write_text: Callable, run_ingest: Callable
) -> None:
    write_wav(f"train_wav/{STEM}.wav")
    events = [("2000", "3000", "Fine Crackle"), ("100", "1900", "Normal"), (3000, 3900, "Wheeze+Crackle")]
    write_text(f"train_json/{STEM}.json", document(*events, record="CAS & DAS"))
    write_wav("test_wav/65101171_7.0_0_p1_1.wav", seed=1)
    write_text("test_json/65101171_7.0_0_p1_1.json", document(record="Poor Quality", key="recording_annotation"))
    result = run_ingest("sprsound")
    assert result.rejected == []
    row = result.row(f"set/{STEM}")
    assert (row["patient_id"], row["age_years"], row["sex"]) == ("set/65101170", 0.4, "female")
    assert (row["label_record"], row["attr_chest_location"]) == ("cas+das", "right posterior")
    assert result.kinds_of(f"set/{STEM}") == [
        (0.1, 1.9, "cycle"),
        (2.0, 3.0, "cycle"),
        (2.0, 3.0, "fine_crackle"),
        (3.0, 3.9, "cycle"),
        (3.0, 3.9, "wheeze"),
        (3.0, 3.9, "crackle"),
    ]
    assert result.row("set/65101171_7.0_0_p1_1")["label_record"] == "poor quality"
