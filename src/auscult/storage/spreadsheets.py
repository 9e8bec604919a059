"""CSV that a spreadsheet shows and does not run: text that it would take for a formula is quoted, and read back."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable

import pandas as pd

# Numbers, also written as text, and lone signs start no formula.
_FORMULA = re.compile(r"'*(?![+-]*\Z)(?![+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?%?\Z)[=+\-@\t\r]", re.DOTALL)


def quote(cell: object) -> object:
    """Return a cell with `'` in front where a spreadsheet would take it for a formula.

    >>> quote("=1+1"), quote("-cough"), quote("-1.5"), quote("-"), quote(-2), quote("wheeze")
    ("'=1+1", "'-cough", '-1.5', '-', -2, 'wheeze')
    """
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


def unquote(cell: object) -> object:
    """Return what `quote` was given.

    >>> unquote(quote("=1+1")), unquote(quote("'=1+1")), unquote("'tis")
    ('=1+1', "'=1+1", "'tis")
    """
    return cell[1:] if isinstance(cell, str) and cell.startswith("'") and _FORMULA.match(cell) else cell


def to_csv(table: pd.DataFrame, float_format: str | None = None) -> str:
    """Return a table as CSV, safe to open in a spreadsheet."""
    quoted = _each_text(table, quote)
    text = quoted.to_csv(index=False, lineterminator="\n", float_format=float_format)
    if "\r" not in text:
        return text
    # A carriage return outside quotes ends a row for whoever reads it, and Python puts none around it.
    return quoted.to_csv(index=False, lineterminator="\n", float_format=float_format, quoting=csv.QUOTE_NONNUMERIC)


def from_csv(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table, as it was read from CSV, with the texts that `to_csv` was given."""
    return _each_text(table, unquote)


def _each_text(table: pd.DataFrame, change: Callable[[object], object]) -> pd.DataFrame:
    texts = [name for name in table if table[name].dtype == object or isinstance(table[name].dtype, pd.StringDtype)]
    changed = {name: table[name].map(change, na_action="ignore").astype(table[name].dtype) for name in texts}
    return table.assign(**changed).rename(columns=change)
