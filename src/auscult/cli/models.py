"""`auscult models`: which models an experiment may name."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _models() -> None:
    """Keep `list` a command of its own: typer folds a single one into the group."""


@app.command("list")
def list_all(
    pattern: Annotated[
        str | None,
        typer.Argument(help="Names to show, such as '*net*'; * stands for any text. Looks through timm too."),
    ] = None,
    *,
    timm: Annotated[bool, typer.Option("--timm", help="Without a pattern: all architectures of timm as well.")] = False,
    counts: Annotated[bool, typer.Option(help="Count the parameters; slow for hundreds of models.")] = True,
    mels: Annotated[int, typer.Option(min=1, help="Mel bands of the spectrograms.")] = 128,
    frames: Annotated[int, typer.Option(min=1, help="Frames of the spectrograms.")] = 311,
) -> None:
    """List models: name, family, parameters for one target, and how they take spectrograms of [1, mels, frames]."""
    from auscult.config.model import timm_names  # noqa: PLC0415 (`--help` stays quick)
    from auscult.models.listing import list_models, matching_names, table_lines  # noqa: PLC0415

    names = matching_names(pattern, with_timm=timm)
    shape = (mels, frames)
    heading = f"{'parameters':>13}  input [1, {mels}, {frames}]" if counts else ""
    for line in table_lines(names, list_models(names, with_counts=counts, input_shape=shape), heading):
        typer.echo(line)
    if pattern is None and not timm:
        typer.echo(
            f"\nand {len(timm_names()):,} architectures of timm: auscult models list 'timm/*', or by part of a name"
        )
