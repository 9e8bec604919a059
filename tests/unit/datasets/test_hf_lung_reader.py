from collections.abc import Callable

import pytest

from auscult.datasets.readers.hf_lung import parse_labels, parse_name
from auscult.datasets.readers.reading import MalformedError

ROWS = (
    b"I 00:00:00.000 00:00:01.000\n"
    b"E 00:00:01.000 00:00:02.500\n"
    b"D 00:00:00.500 00:00:01.250\n"
    b"Wheeze 00:00:01.100 00:00:02.000\n"
    b"Rhonchi 00:00:02 00:00:02.5\n"
    b"Stridor 00:00:02.1 00:00:03.0"
)


def test_all_pieces_of_one_recording_are_one_patient() -> None:
    first = parse_name("trunc_2019-07-31-11-20-43-L8_12")
    second = parse_name("trunc_2019-07-31-11-20-43-Tc_1")
    other = parse_name("steth_20180814_09_37_11")
    assert first.patient == second.patient
    assert (first.channel, second.channel, other.channel) == ("L8", "Tc", None)
    assert (first.date, other.date, other.patient) == ("20190731", "20180814", "steth_20180814_09_37_11")


@pytest.mark.parametrize(
    "stem", ["steth_2018_09_37_11", "trunc_2019-07-31-11-20-43-L8", "other_20180814_09_37_11", "x"]
)
def test_a_name_that_cannot_be_placed(stem: str) -> None:
    with pytest.raises(MalformedError, match="is neither like steth_20180814_09_37_11"):
        parse_name(stem)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"I 00:00:00.000", "columns: found 2"),
        (b"I 00:00:00.000 00:00:01.000 x", "columns: found 4"),
        (b"C 00:00:00.000 00:00:01.000", "unknown event: 'C'"),
        (b"i 00:00:00.000 00:00:01.000", "unknown event: 'i'"),
        (b"I 0.0 1.0", "not a time: '0.0'"),
        (b"I 00:60:00.000 00:61:00.000", "not a time: '00:60:00.000'"),
        (b"I 00:00:61.000 00:00:62.000", "not a time"),
        (b"I -00:00:01.0 00:00:02.000", "not a time"),
        (b"I 00:00:02.000 00:00:01.000", "reversed"),
        (b"I 00:00:02.000 00:00:02.000", "zero length"),
        (b"I\xe9 00:00:02.000 00:00:02.000", "not UTF-8"),
    ],
)
def test_a_bad_row_is_named_and_the_rest_goes_on(row: bytes, reason: str) -> None:
    events, faults = parse_labels(ROWS + b"\r\n" + row)
    assert len(events) == 6
    assert [fault.line for fault in faults] == [7]
    assert faults[0].reason.startswith(reason)


def test_a_clean_tree_gives_every_fact_and_no_fault(
    write_wav: Callable, write_text: Callable, run_ingest: Callable
) -> None:
    write_wav("train/steth_20180814_09_37_11.wav")
    write_text("train/steth_20180814_09_37_11_label.txt", ROWS)
    write_wav("test/trunc_2019-07-31-11-20-43-L8_12.wav", seed=1)
    write_text("test/trunc_2019-07-31-11-20-43-L8_12_label.txt", b"")
    result = run_ingest("hf_lung")
    assert result.rejected == []
    assert [kind for _, _, kind in result.kinds_of("set/steth_20180814_09_37_11")] == [
        "inhalation",
        "exhalation",
        "crackle",
        "wheeze",
        "rhonchus",
        "stridor",
    ]
    assert "cycle" not in result.summary["events"], "a gap between events is not a normal sound"
    row = result.row("set/trunc_2019-07-31-11-20-43-L8_12")
    assert (row["device"], row["attr_official_split"], row["attr_channel"]) == ("trunc", "test", "L8")
    assert result.summary["notices"]["empty_label_file"]["count"] == 1
