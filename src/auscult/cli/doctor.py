"""`auscult doctor`: is all in place that the workflow needs?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def doctor(
    *,
    job: Annotated[bool, typer.Option(help="On a cluster, run a job of seconds to see whether it gets a GPU.")] = True,
    wait: Annotated[float, typer.Option(min=1, help="Seconds to wait for that GPU.")] = 30.0,
) -> None:
    """Check versions, disk, data, tracking, GPU and cluster; each fault with its remedy. Status 1 if any failed."""
    from rich.console import Console  # noqa: PLC0415 (`--help` stays quick)
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from auscult.project.doctor import examine  # noqa: PLC0415

    table = Table("check", "state", "found", "remedy", box=None, pad_edge=False)
    colours = {"ok": "green", "failed": "bold red", "skipped": "dim"}
    states: list[str] = []
    for finding in examine(Path(), wait_s=wait, runs_job=job):
        states.append(finding.state)
        state = Text(finding.state, style=colours[finding.state])
        table.add_row(Text(finding.check), state, Text(finding.text), Text(finding.remedy))
    Console().print(table)
    if "failed" in states:
        typer.echo(f"{states.count('failed')} of {len(states)} checks failed", err=True)
        raise typer.Exit(1)
