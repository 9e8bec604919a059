"""`auscult embed`: what a trained model sees in clips, as numbers for a method of one's own."""

from __future__ import annotations

import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from auscult.cli.predict import BatchOption, ChannelOption, Device, DeviceOption, ModelArgument, parse_channel


class Layer(StrEnum):
    """Where features are taken."""

    backbone = "backbone"
    head = "head"


def embed(
    model: ModelArgument,
    data: Annotated[list[str], typer.Argument(help="A dataset's name, or audio files and folders of them.")],
    *,
    out: Annotated[Path, typer.Option(help="PREFIX of PREFIX.parquet (ids and features) and PREFIX.npy (features).")],
    layer: Annotated[
        Layer, typer.Option(help="The pooled backbone, or the head's first dense layer before its activation.")
    ] = Layer.backbone,
    device: DeviceOption = Device.auto,
    batch: BatchOption = None,
    channel: ChannelOption = "mean",
    config: Annotated[Path, typer.Option(help="The folder with the configuration.")] = Path("config"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite the two files.")] = False,
) -> None:
    """Write the features of every clip, one row each, with its ids.

    Clips of a dataset come as the workflow cuts them, cycles too; those of files as `auscult predict` does. A file that
    cannot be read is named, and the status is then 1.
    """
    from auscult.inference import dataset as datasets  # noqa: PLC0415 (`--help` stays quick)
    from auscult.inference import embeddings, load_model  # noqa: PLC0415
    from auscult.outputs import require_free  # noqa: PLC0415

    for path in embeddings.output_paths(out):
        require_free(path, is_forced=force)
    loaded = load_model(model, device.value)
    errors: dict[str, str] = {}
    if _is_dataset(data, config):
        settings = datasets.settings_of(data[0], config)
        job = datasets.job_like(loaded.saved.meta, (data[0],))
        with tempfile.TemporaryDirectory(prefix="auscult-embed-") as folder:
            prepared = datasets.prepare(data[0], settings, job, Path(folder), reads_anew=False)
            ids, features = embeddings.embed_dataset(loaded, prepared, layer.value, batch_clips=batch)
    else:
        ids, features, errors = loaded.embed(data, layer.value, channel=parse_channel(channel), batch_clips=batch)
    for file, text in errors.items():
        typer.echo(f"error: {file}: {text}", err=True)
    if len(features):
        written = embeddings.write_embeddings(out, ids, features)
        typer.echo(f"wrote {' and '.join(map(str, written))}: {len(features)} clips, {features.shape[1]} features each")
    if errors:
        raise typer.Exit(1)


def _is_dataset(data: list[str], config: Path) -> bool:
    """Whether a dataset is named; a file or folder of that name goes before it."""
    from auscult.config.definitions import defined_names  # noqa: PLC0415
    from auscult.errors import ConfigError, unknown_name  # noqa: PLC0415

    if len(data) > 1 or Path(data[0]).exists():
        return False
    known = defined_names(config, "dataset")
    if data[0] not in known and not Path(data[0]).suffix:
        raise ConfigError(f"there is no file or folder {data[0]}, and {unknown_name('dataset', data[0], known)}")
    return data[0] in known
