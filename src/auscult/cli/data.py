"""`auscult data`: what datasets there are, what one of them holds, and whether its files are whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)

_Config = Annotated[Path, typer.Option(help="The folder with the configuration.")]
_Name = Annotated[str, typer.Argument(help="The dataset: a file of config/datasets, without .yaml")]
_Root = Annotated[str | None, typer.Option(help="Read this folder instead of the root that the configuration names.")]


@app.command("list")
def list_all(
    pattern: Annotated[str, typer.Argument(help="Names to show, such as '*bhi'; * stands for any text.")] = "*",
    *,
    layouts: Annotated[bool, typer.Option("--layouts", help="The layouts that can be read as well.")] = False,
    config: _Config = Path("config"),
) -> None:
    """List all datasets: layout, root, what tracks it, what was read, tasks; faulty ones with their fault."""
    from auscult.describe.listing import list_datasets  # noqa: PLC0415 (`--help` stays quick)
    from auscult.describe.tables import print_datasets, print_layouts  # noqa: PLC0415
    from auscult.errors import ConfigError  # noqa: PLC0415

    listing = list_datasets(config, pattern)
    print_datasets(listing.datasets)
    if layouts:
        typer.echo()
        print_layouts()
    if listing.faults:
        raise ConfigError("\n".join(listing.faults))


@app.command("layouts")
def list_layouts(
    layout: Annotated[str | None, typer.Argument(help="Show all that is known of this one.")] = None,
) -> None:
    """List the layouts that can be read: how to lay out a collection of your own, and what the published ones hold."""
    from auscult.corpora import READERS  # noqa: PLC0415
    from auscult.describe.layouts import reader_doc  # noqa: PLC0415
    from auscult.describe.tables import print_layouts  # noqa: PLC0415
    from auscult.errors import ConfigError, unknown_name  # noqa: PLC0415

    if layout is None:
        print_layouts()
        return
    if layout not in READERS:
        raise ConfigError(unknown_name("layout", layout, READERS))
    typer.echo(reader_doc(layout))
