"""The command `auscult`. Each command imports what it needs when it runs: `--help` stays quick."""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated

import typer

from auscult import __version__
from auscult.cli import data, events, experiment, inference, ops, simulate, tune
from auscult.errors import AuscultError
from auscult.logs import say, speak_utf8

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
    ops.run,
    experiment.schema,
    ops.sync,
    ops.upload,
    ops.verify,
    ops.watch,
):
    app.command()(command)


def _print_version(asked: bool) -> None:
    if asked:
        say(f"auscult {__version__}")
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
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison] (where the shell closed it)
        say("error: standard output is closed; send it to a file, or to /dev/null", err=True)
        sys.exit(1)
    speak_utf8()
    try:
        app()
    except (AuscultError, OSError) as error:
        fault = fault_of(error)
        if fault is None:
            raise
        say(f"error: {fault}", err=True)
        if isinstance(error, OSError):
            # What waits in the stream would fail once more as the interpreter ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(1)


def fault_of(error: BaseException) -> str | None:
    """Return the message of a fault of the input, a path that cannot be used among them; None: it is another one.

    >>> fault_of(OSError(36, "File name too long", "x/y"))
    'x/y: File name too long; name another path'
    >>> fault_of(KeyError("a")) is None
    True
    """
    if isinstance(error, AuscultError):
        return str(error)
    if isinstance(error, OSError) and error.filename is not None and error.strerror is not None:
        return f"{error.filename}: {error.strerror}; name another path"
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EIO}:
        return f"what was asked for cannot be written: {error.strerror}; make room there, or send it elsewhere"
    return None
