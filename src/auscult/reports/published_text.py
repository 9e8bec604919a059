"""Published figures beside ours, for a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from auscult.formatting.numbers import plural
from auscult.formatting.published import published_rows
from auscult.provenance import require_as_published
from auscult.storage.files import read_json
from auscult.storage.test_readings import READINGS, read_readings

if TYPE_CHECKING:
    from auscult.config import Experiment, TaskSettings
    from auscult.formatting.terminal import Console


def print_published(experiment: Experiment, task: TaskSettings, result: Path, console: Console) -> None:
    """Print a table for each job, and how many models its test set has judged.

    Args:
        experiment: With its claims.
        task: What was predicted.
        result: The result's folder, published.
        console: Where to print.
    """
    for run in experiment.runs:
        require_as_published(result / run.id / "metrics.json")
        metrics = read_json(result / run.id / "metrics.json")
        table = Table("published by", "metric", "published", "ours", "to know", box=None, pad_edge=False)
        for row in published_rows(metrics, task, experiment.claims):
            part = f", {row.claim.part}" if row.claim.part else ""
            table.add_row(
                Text(f"{row.claim.paper} ({row.claim.source})"),
                Text(f"{row.metric}{part}"),
                row.published.value_text,
                row.ours.text,
                Text("; ".join(row.remarks)),
            )
        if not experiment.claims:
            table.add_row(Text("nothing that was read in its source"), *([""] * 4))
        if len(experiment.runs) > 1:
            console.print(f"job {run.id}: {run.settings.note or run.settings.model.name}", markup=False)
        console.print(table)
        n_models = len(read_readings(READINGS, str(metrics.get("test_set", ""))))
        console.print(f"this test set has judged {plural(n_models, 'model')} in this project", highlight=False)
