"""`auscult predict`: what a trained model says of audio files."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from rich.table import Table


class Device(StrEnum):
    """Where a model answers."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class OutputFormat(StrEnum):
    """How answers are written."""

    table = "table"
    csv = "csv"
    json = "json"


ModelArgument = Annotated[
    Path, typer.Argument(help="A trained job, such as results/pneumonia/train2356/1: model.json and model.safetensors.")
]
DeviceOption = Annotated[Device, typer.Option(help="auto takes a GPU where there is one.")]
BatchOption = Annotated[
    int | None, typer.Option(min=1, help="Clips at a time; by default 8 on a processor, 64 on a GPU.")
]
ChannelOption = Annotated[str, typer.Option(help="Of multi-channel audio: a number from 0, or mean.")]


def predict(
    model: ModelArgument,
    files: Annotated[list[Path], typer.Argument(help="Audio files, and folders of them.")],
    *,
    output_format: Annotated[
        OutputFormat | None, typer.Option("--format", help="By default as --out ends, else a table.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the answers to this file.")] = None,
    clips: Annotated[
        bool, typer.Option("--clips", help="Show clips in the table too; CSV and JSON hold them.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Draw each file into this folder: spectrogram, and probability over time.")
    ] = None,
    device: DeviceOption = Device.auto,
    batch: BatchOption = None,
    channel: ChannelOption = "mean",
    force: Annotated[bool, typer.Option("--force", help="Overwrite --out.")] = False,
) -> None:
    """Answer audio files of any length and rate, clip by clip and by recording.

    A file that cannot be read is named, the others are answered, and the status is then 1. The threshold is the one
    that validation chose at the task's level.
    """
    from auscult.inference import load_model, output  # noqa: PLC0415 (`--help` stays quick)
    from auscult.inference.run import predict_files  # noqa: PLC0415
    from auscult.outputs import require_free, write_output  # noqa: PLC0415

    chosen = _format(output_format, out)
    if out is not None:
        require_free(out, is_forced=force)
    loaded = load_model(model, device.value)
    found = predict_files(
        loaded,
        files,
        channel=parse_channel(channel),
        batch_clips=batch,
        plot_dir=plot,
        on_fault=lambda path, text: typer.echo(f"error: {path}: {text}", err=True),
    )
    for note in found.notes:
        typer.echo(f"note: {note}", err=True)
    if chosen is OutputFormat.table:
        _print_tables(output.tables(found, loaded, with_clips=clips), out)
    else:
        text = output.csv_text(found) if chosen is OutputFormat.csv else output.json_text(found, loaded)
        if out is None:
            typer.echo(text, nl=False)
        else:
            write_output(out, text)
    if found.errors:
        raise typer.Exit(1)


def parse_channel(text: str) -> int | Literal["mean"]:
    """Return the channel.

    Raises:
        ConfigError: It is neither `mean` nor a number.
    """
    from auscult.errors import ConfigError  # noqa: PLC0415

    if text != "mean" and not text.isdecimal():
        raise ConfigError(f"--channel: found {text!r}, expected mean or a number from 0")
    return "mean" if text == "mean" else int(text)


def _format(given: OutputFormat | None, out: Path | None) -> OutputFormat:
    if given is not None:
        return given
    ending = "" if out is None else out.suffix.lower().removeprefix(".")
    return OutputFormat(ending) if ending in {"csv", "json"} else OutputFormat.table


def _print_tables(tables: list[Table], out: Path | None) -> None:
    import io  # noqa: PLC0415
    import sys  # noqa: PLC0415

    from rich.console import Console  # noqa: PLC0415

    from auscult.outputs import write_output  # noqa: PLC0415

    # Into a file or a pipe long names stand whole; only a terminal has a width to fit.
    stream = io.StringIO() if out is not None else sys.stdout
    width = None if out is None and sys.stdout.isatty() else 10_000
    console = Console(file=stream, width=width, soft_wrap=width is not None)
    for table in tables:
        console.print(table)
    if out is not None and isinstance(stream, io.StringIO):
        write_output(out, "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n")
