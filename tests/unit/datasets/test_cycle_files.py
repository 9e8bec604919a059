import pytest

from auscult.datasets.readers.annotations import OVERLAP_TOLERANCE_S, parse_cycles


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"0.1\t0.5\t0", "columns: found 3"),
        (b"0.1\t0.5\t0\t1\t0", "columns: found 5"),
        (b"start\tend\tcrackle\twheeze", "not a number: start is 'start'"),
        (b"nan\t0.5\t0\t0", "not a number: start is 'nan'"),
        (b"0.1\tinf\t0\t0", "not a number: end is 'inf'"),
        (b"0.1\t1e999\t0\t0", "not a number: end '1e999' is too large"),
        (b"0,1\t0,5\t0\t0", "not a number: start is '0,1'"),
        (b"1_0\t20\t0\t0", "not a number: start is '1_0'"),
        ("\u0661\t20\t0\t0".encode(), "not a number: start is '\u0661'"),
        (b"-0.5\t0.5\t0\t0", "negative time"),
        (b"2\t1\t0\t0", "reversed"),
        (b"1\t1.0\t0\t0", "zero length"),
        (b"0.1\t0.5\t2\t0", "flag: crackle is '2'"),
        (b"0.1\t0.5\t0\t1.0", "flag: wheeze is '1.0'"),
        (b"0.1\t0.5\t0\tyes", "flag: wheeze is 'yes'"),
        (b"0.1\t0.5\t\t0", "flag: crackle is ''"),
        (b"0.1\t0.5\xe9\t0\t0", "not UTF-8: byte 0xe9 at position 8"),
        (b"2 3 0 0\x0b", "flag: wheeze is '0\\x0b'"),
        (b"1.0\t2.0\t0\t0", "overlap: starts at 1 s, the cycle of line 1 ends at 1.5 s"),
    ],
)
def test_a_bad_line_is_named_and_the_rest_goes_on(line: bytes, reason: str) -> None:
    cycles, faults = parse_cycles(b"0.5\t1.5\t0\t1\n" + line + b"\n3\t4\t1\t0\n")
    assert [(cycle.line, cycle.start_s) for cycle in cycles] == [(1, 0.5), (3, 3.0)]
    assert [fault.line for fault in faults] == [2]
    assert faults[0].reason.startswith(reason)


@pytest.mark.parametrize(
    "data",
    [
        b"0.5\t1.5\t0\t1\n1.5\t2.5\t1\t1\n",
        b"0.5\t1.5\t0\t1\r\n1.5\t2.5\t1\t1\r\n",
        b"0.5\t1.5\t0\t1\r1.5\t2.5\t1\t1",
        b"\xef\xbb\xbf0.5\t1.5\t0\t1\n1.5\t2.5\t1\t1",
        b"\n\n0.5 1.5 0 1\n   \n1.5  2.5 1 1  \n\n",
        b"0.5,1.5,0,1\n1.5, 2.5, 1, 1\n",
    ],
)
def test_line_ends_and_separators_of_all_copies_read_the_same(data: bytes) -> None:
    cycles, faults = parse_cycles(data)
    assert not faults
    assert [(c.start_s, c.end_s, c.has_crackle, c.has_wheeze) for c in cycles] == [
        (0.5, 1.5, False, True),
        (1.5, 2.5, True, True),
    ]


def test_neighbours_may_overlap_by_rounding_and_no_more() -> None:
    within = f"0\t1\t0\t0\n{1 - OVERLAP_TOLERANCE_S / 2}\t2\t0\t0".encode()
    beyond = f"0\t1\t0\t0\n{1 - 2 * OVERLAP_TOLERANCE_S}\t2\t0\t0".encode()
    assert (len(parse_cycles(within)[0]), len(parse_cycles(within)[1])) == (2, 0)
    assert (len(parse_cycles(beyond)[0]), len(parse_cycles(beyond)[1])) == (1, 1)


def test_cycles_come_in_the_order_of_time_whatever_the_order_of_lines() -> None:
    cycles, faults = parse_cycles(b"3\t4\t0\t0\n1\t2\t0\t0\n1.2\t1.8\t0\t0\n")
    assert [cycle.line for cycle in cycles] == [2, 1]
    assert [fault.line for fault in faults] == [3]


def test_a_utf16_file_is_one_fault() -> None:
    cycles, faults = parse_cycles("0.5\t1.5\t0\t1\n".encode("utf-16"))
    assert not cycles
    assert [(fault.line, fault.reason.split(":")[0]) for fault in faults] == [(None, "not UTF-8")]
