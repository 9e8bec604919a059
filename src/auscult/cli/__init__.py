"""The command `auscult`. Each command imports what it needs when it runs: `--help` stays quick."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from auscult import __version__
from auscult.cli import (
    augment,
    compare,
    data,
    doctor,
    embed,
    evaluate,
    experiment,
    explain,
    models,
    predict,
    schema,
    simulate,
    sync,
    verify,
    watch,
)
from auscult.errors import AuscultError

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(augment.app, name="augment", help="The augmentations that an experiment may name, and what they do.")
app.add_typer(data.app, name="data", help="The datasets of this project: what they hold, and whether it is whole.")
app.add_typer(experiment.app, name="experiment", help="The experiments of this project.")
app.add_typer(models.app, name="models", help="The models that an experiment may name.")
app.add_typer(simulate.app, name="simulate", help="Simulated lung sounds in the layouts of real datasets.")
app.command()(compare.compare)
app.command()(doctor.doctor)
app.command()(embed.embed)
app.command()(evaluate.evaluate)
app.command()(explain.explain)
app.command()(predict.predict)
app.command()(schema.schema)
app.command()(sync.sync)
app.command()(verify.verify)
app.command()(watch.watch)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"auscult {__version__}")
        raise typer.Exit


@app.callback()
def auscult(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Reproducible training of auscultation classifiers."""


def main() -> None:
    """Run a command; a fault of the input ends with its message alone and status 1."""
    try:
        app()
    except AuscultError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
