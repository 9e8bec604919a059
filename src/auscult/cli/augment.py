"""`auscult augment`: which augmentations there are, and what those of an experiment do to its clips."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from auscult.config import load_task, paths

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_all() -> None:
    """List the steps that an experiment may name, with what they do."""
    from auscult.config.augment import SPECTROGRAM_AUGMENTATIONS  # noqa: PLC0415 (`--help` stays quick)
    from auscult.config.waveform_augment import WAVEFORM_AUGMENTATIONS  # noqa: PLC0415

    for section, steps in (("waveform", WAVEFORM_AUGMENTATIONS), ("spectrogram", SPECTROGRAM_AUGMENTATIONS)):
        typer.echo(f"{section}:")
        for name, settings in steps.items():
            typer.echo(f"  {name:<18}{(settings.__doc__ or '').strip().splitlines()[0]}")


@app.command()
def preview(
    experiment: Annotated[str, typer.Argument(help="<task>/<name>, such as pneumonia/train2356")],
    *,
    job: Annotated[int, typer.Option(min=1, help="Whose augmentation.")] = 1,
    out: Annotated[Path | None, typer.Option(help="The page; default: <name>-<job>-augmentation.html")] = None,
    clips: Annotated[int, typer.Option(min=1, max=20, help="So many clips of each step.")] = 3,
    config: Annotated[Path, typer.Option(help="The folder with the configuration.")] = Path("config"),
) -> None:
    """Write a page: the same clips before and after each step of a job, to look at and to listen to."""
    from auscult.cli.experiment import find_experiment  # noqa: PLC0415
    from auscult.describe import augmentation, augmentation_page  # noqa: PLC0415 (torch: seconds)

    found = find_experiment(experiment, config, job)
    target = out or Path(f"{found.name}-{job}-augmentation.html")
    shown = augmentation.preview(
        next(run.settings for run in found.runs if run.job == job),
        load_task(config, found.task),
        result=paths.result_dir(found.task, found.name),
        config_dir=config,
        n_clips=clips,
        epoch=1,
    )
    augmentation_page.write_page(shown, target, title=f"{experiment}, job {job}")
    typer.echo(f"{target}: {len(shown.changes) - 1} steps on {clips} of the training clips")
