"""The command `auscult`. Each command imports what it needs when it runs: `--help` stays quick."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from auscult import __version__
from auscult.cli import data, events, experiment, inference, ops, simulate, tune
from auscult.errors import AuscultError
from auscult.logs import speak_utf8

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(
    experiment.augment_app, name="augment", help="The augmentations that an experiment may name, and what they do."
)
app.add_typer(data.app, name="data", help="The datasets of this project: what they hold, and whether it is whole.")
app.add_typer(events.app, name="events", help="Events of trainings and results, on Kafka, Pub/Sub or in a file.")
app.add_typer(experiment.app, name="experiment", help="The experiments of this project.")
app.add_typer(experiment.models_app, name="models", help="The models that an experiment may name.")
app.add_typer(simulate.app, name="simulate", help="Simulated lung sounds in the layouts of real datasets.")
app.add_typer(tune.app, name="tune", help="Searches of settings, learning rate and batch size on validation.")
for command in (
    ops.checklist,
    inference.compare,
    ops.doctor,
    inference.embed,
    inference.evaluate,
    ops.explain,
    inference.export,
    experiment.freeze,
    inference.predict,
    inference.probes,
    experiment.reproduce,
    experiment.schema,
    ops.sync,
    ops.upload,
    ops.verify,
    ops.watch,
):
    app.command()(command)


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
    speak_utf8()
    try:
        app()
    except AuscultError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
