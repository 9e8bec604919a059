"""Encoders by tasks as a page that stands alone, and in the terminal."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from auscult.formatting.numbers import METRIC_NAMES
from auscult.formatting.terminal import Console
from auscult.reports.html import page_templates
from auscult.storage.files import write_output

if TYPE_CHECKING:
    from auscult.evaluation.probe_table import ProbeTable

SEEN = (
    "† The encoder was trained on a dataset of this column by another split: patients of the test set may be among its "
    "training patients."
)


def print_probes(found: ProbeTable, console: Console) -> None:
    """Print the table, with its notes."""
    table = Table(title=_title(found), title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("encoder", overflow="fold")
    table.add_column("probe")
    for column in found.columns:
        table.add_column(column.label, overflow="fold")
    for row in found.rows:
        cells = [found.cells.get((row, column)) for column in found.columns]
        table.add_row(row.label, row.method, *["–" if cell is None else cell.text for cell in cells])
    console.print(table)
    for note in _notes(found):
        console.print(note, highlight=False)


def write_probes(found: ProbeTable, path: Path) -> None:
    """Write the page.

    Raises:
        ConfigError: The path cannot be written.
    """
    page = page_templates().get_template("probes.html.j2")
    command = " ".join(["auscult probes", *map(shlex.quote, found.folders), "--metric", found.metric])
    write_output(path, page.render(found=found, title=_title(found), notes=_notes(found), command=command))


def _title(found: ProbeTable) -> str:
    return f"Encoders by tasks: {METRIC_NAMES.get(found.metric, found.metric)} on the test set"


def _notes(found: ProbeTable) -> list[str]:
    notes = [
        "Each probe's penalty or number of neighbours was chosen on its validation subset. Where a job has folds or "
        "seeds, the cell is the mean over its runs ± their sample standard deviation."
    ]
    if found.resamples:
        notes.append(f"Intervals: 95%, over patients ({found.resamples:,} resamples for scores that need them).")
    return [*notes, SEEN] if found.has_seen else notes
