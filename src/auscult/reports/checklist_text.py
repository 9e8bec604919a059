"""Checklists of a result in the terminal."""

from __future__ import annotations

from pathlib import Path

from rich.markup import escape
from rich.table import Table

from auscult.formatting.numbers import plural
from auscult.formatting.terminal import Console
from auscult.reports.checklist import PAGE, read_checklist, sheet_names


def print_checklists(result: Path, console: Console, *, shows_all: bool) -> None:
    """Print each sheet: the rows that are missing, or all.

    Args:
        result: Such as `results/pneumonia/train2356`.
        console: Where to.
        shows_all: Print filled rows too.

    Raises:
        DataError: The result has no checklists.
    """
    sheets = {name: read_checklist(result, key) for key, name in sheet_names().items()}
    for name, rows in sheets.items():
        found = rows["status"].tolist()
        console.print(
            f"{name}: {found.count('FILLED')} of {plural(len(found), 'row')} filled, "
            f"{found.count('FROM THE AUTHOR')} from the author, {found.count('MISSING')} missing",
            style="bold",
            highlight=False,
        )
        shown = rows if shows_all else rows.loc[rows["status"] == "MISSING"]
        table = Table("item", *(("status",) if shows_all else ()), "what is asked", "where", box=None, pad_edge=False)
        for row in shown.to_dict("records"):
            where = row["place"] or (
                f"study.yaml: {row['study_field']}" if row["study_field"] else "no part of the report"
            )
            cells = [row["item"], *([row["status"]] if shows_all else []), row["text"], where]
            table.add_row(*(escape(cell) for cell in cells))
        if len(shown):
            console.print(table)
        console.print()
    console.print(f"All rows with links: {result / PAGE}", highlight=False)
