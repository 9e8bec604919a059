"""`auscult verify`: is a published result as it was published?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def verify(
    results: Annotated[list[Path], typer.Argument(help="Folders of results, such as results/pneumonia/train2356")],
) -> None:
    """Compare every file of a result with its checksums; name what is damaged, missing or extra. Status 1 if any is."""
    from auscult.presentation import plural  # noqa: PLC0415 (`--help` stays quick)
    from auscult.project.published import verify_result  # noqa: PLC0415

    is_whole = True
    for result in results:
        found = verify_result(result)
        is_whole &= found.is_whole
        for kind, names in (("damaged", found.damaged), ("missing", found.missing), ("extra", found.extra)):
            for name in names:
                typer.echo(f"{kind}: {result / name}")
        for notice in found.notices:
            typer.echo(f"note: {result}: {notice}")
        if found.is_whole:
            typer.echo(f"{result}: {plural(found.n_files, 'file')}, all as published")
        else:
            n_faults = len(found.damaged) + len(found.missing) + len(found.extra)
            typer.echo(
                f"{result}: {plural(n_faults, 'fault')} in {plural(found.n_files, 'file')}; publish it again: "
                f"snakemake --cores all --forcerun publish -- {result}"
            )
    if not is_whole:
        raise typer.Exit(1)
