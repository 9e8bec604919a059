"""`auscult compare`: results set beside each other."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

_WIDE = 200


def compare(
    results: Annotated[
        list[Path],
        typer.Argument(
            help="Jobs (results/<task>/<experiment>/<job>), or experiments for all their jobs; first the base."
        ),
    ],
    *,
    out: Annotated[Path | None, typer.Option(help="Write a page too: one HTML file.")] = None,
    level: Annotated[
        str | None, typer.Option(help="clip, recording or patient; by default where the task is judged.")
    ] = None,
    draws: Annotated[int, typer.Option(min=0, max=100_000, help="Of the bootstrap; 0: no intervals.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Overwrite --out.")] = False,
) -> None:
    """Compare results on one test part: differences with intervals, DeLong's test, the settings that differ.

    Results of different splits, or with other labels, are refused with what differs.
    """
    from rich.console import Console  # noqa: PLC0415 (`--help` stays quick)

    from auscult.comparison.run import compare as gather  # noqa: PLC0415
    from auscult.comparison.text import print_comparison  # noqa: PLC0415
    from auscult.outputs import require_free  # noqa: PLC0415

    if out is not None:
        require_free(out, is_forced=force)
    found = gather(results, level=level, draws=draws, seed=seed)
    # Only a terminal has a width to fit.
    print_comparison(found, Console() if sys.stdout.isatty() else Console(width=_WIDE))
    if out is not None:
        from auscult.comparison.page import write_page  # noqa: PLC0415

        write_page(found, out)
        typer.echo(f"\nwrote {out}")
