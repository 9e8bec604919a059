"""`auscult watch`: all running trainings, live."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def watch(
    runs: Annotated[Path, typer.Argument(help="The folder of the runs.")] = Path("work/runs"),
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also trainings that ended.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Print the table and leave.")] = False,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 1.0,
) -> None:
    """Show what all trainings are doing: epoch, losses, speed, time left, attempt; dead ones are marked."""
    from rich.console import Console  # noqa: PLC0415 (slow to import)
    from rich.live import Live  # noqa: PLC0415

    from auscult.training.watch import as_table, find_trainings, follow  # noqa: PLC0415

    console = Console()
    if once or not sys.stdout.isatty():
        console.print(as_table(find_trainings(runs, everything=everything)))
        return
    with Live(console=console, auto_refresh=False) as live:
        try:
            for trainings in follow(runs, everything=everything, interval_s=interval):
                live.update(as_table(trainings), refresh=True)
        except KeyboardInterrupt:
            return
