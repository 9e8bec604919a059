"""Praat's TextGrid: both text forms, and what is refused."""

import pytest

from auscult.datasets.readers.reading import MalformedError
from auscult.datasets.readers.textgrid import Interval, is_textgrid, parse_textgrid

LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 2.5
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "sound 1"
        xmin = 0
        xmax = 2.5
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 0.5
            text = ""
        intervals [2]:
            xmin = 0.5
            xmax = 1.25
            text = "a ""fine"" crackle"
        intervals [3]:
            xmin = 1.25
            xmax = 2.5
            text = " "
    item [2]:
        class = "TextTier"
        name = "peaks"
        xmin = 0
        xmax = 2.5
        points: size = 1
        points [1]:
            number = 0.75
            mark = "peak"
"""
SHORT = """File type = "ooTextFile"
Object class = "TextGrid"

0
2.5
<exists>
2
"IntervalTier"
"sound 1"
0
2.5
3
0
0.5
""
0.5
1.25
"a ""fine"" crackle"
1.25
2.5
" "
"TextTier"
"peaks"
0
2.5
1
0.75
"peak"
"""


@pytest.mark.parametrize(("text", "lines"), [(LONG, (22, 35)), (SHORT, (18, 28))])
@pytest.mark.parametrize("end", ["\n", " \r\n"])
def test_both_text_forms_say_the_same(text: str, lines: tuple[int, int], end: str) -> None:
    text = text.replace("\n", end)
    assert is_textgrid(text)
    grid = parse_textgrid(text)
    assert grid.tiers == ["sound 1", "peaks"]
    assert grid.intervals == [
        Interval("sound 1", 0.5, 1.25, 'a "fine" crackle', lines[0]),
        Interval("peaks", 0.75, 0.75, "peak", lines[1]),
    ]


def test_comments_labels_over_two_lines_and_a_grid_without_tiers_are_read() -> None:
    text = SHORT.replace("2.5\n<exists>", '2.5 ! the end, "quoted"\n<exists>').replace('"peak"', '"two\nlines"')
    assert parse_textgrid(text).intervals[1].text == "two\nlines"
    assert parse_textgrid('"ooTextFile"\n"TextGrid"\n0 2 <absent>').tiers == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('"Praat chronological TextGrid text file"\n0 2.5', "chronological form"),
        (LONG.replace('class = "TextGrid"', 'class = "PitchTier"'), "'PitchTier', expected a TextGrid"),
        (LONG.replace('"TextTier"', '"SpectrumTier"'), "a tier of class 'SpectrumTier'"),
        (LONG.replace("xmin = 0\nxmax", "xmin = 5\nxmax"), "starts at 5 s, expected 0"),
        (SHORT[:-8], "the file ends where a label is expected"),
        (SHORT[:150], "the file ends"),
        (SHORT.replace('"peak"', '"peak'), "the quote of line 28 has no partner"),
        (SHORT.replace("0.75", '"0.75"'), "line 27 has '0.75', expected a time"),
        (SHORT.replace("1\n0.75", "1.5\n0.75"), "expected the number of intervals or points"),
        (SHORT.replace("0.75", "0.7.5"), "not a number: a time of line 27 is '0.7.5'"),
        ("start\tend\tlabel", "does not open as Praat's text files do"),
    ],
)
def test_other_forms_and_broken_files_are_refused_by_name(text: str, reason: str) -> None:
    with pytest.raises(MalformedError) as raised:
        parse_textgrid(text)
    assert reason in str(raised.value)
