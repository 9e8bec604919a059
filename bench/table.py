"""The one table of all benchmarks: on the terminal, as JSON, and beside the last one that was committed."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from auscult.storage.files import read_json, write_json
from bench.measure import INSTALL, Row

WORSE = 1 / 1.25
"""Ratio now by ratio then, below which a row is noted as worse."""


def read_ratios(path: Path) -> dict[str, float]:
    """Return the ratios of a table by `<title> | <peer>`; none if there is no such file."""
    return {_key(row): row["ratio"] for row in read_json(path)["rows"]} if path.is_file() else {}


def write_table(path: Path, rows: list[Row]) -> None:
    """Write the rows as JSON; what was not measured now stays as the file has it."""
    kept = {_key(row): row for row in read_json(path)["rows"]} if path.is_file() else {}
    kept |= {_key(asdict(row)): asdict(row) for row in rows if row.ratio is not None}
    write_json(path, {"ratio": "the peer's time by ours", "rows": [_rounded(row) for row in kept.values()]})


def show(rows: list[Row], before: dict[str, float]) -> None:
    """Print the table; `before` holds the ratios of the last committed one."""
    table = Table("benchmark", "peer", title="the peer's time by ours: above 1 we are faster")
    for name in ("ratio", "low", "high", "last", "now / last"):
        table.add_column(name, justify="right")
    table.add_column("note")
    for row in rows:
        table.add_row(*_cells(row, before.get(_key(asdict(row)))))
    Console(file=sys.stdout, width=140).print(table)


def _cells(row: Row, last: float | None) -> list[str]:
    change = row.ratio / last if row.ratio is not None and last else None
    numbers = [_number(value) for value in (row.ratio, row.low, row.high, last, change)]
    return [row.title, row.peer, *numbers, _note(row, change)]


def _note(row: Row, change: float | None) -> str:
    if row.ratio is None:
        return INSTALL.replace("[", r"\[")
    notes = [f"below {row.least:g}"] if row.is_too_slow else []
    if change is not None and change < WORSE:
        notes.append("worse by more than 25%")
    return "; ".join(notes)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _key(row: dict[str, Any]) -> str:
    return f"{row['title']} | {row['peer']}"


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in row.items()}
