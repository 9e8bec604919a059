"""`auscult sync`: log what an MLflow server missed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def sync(
    results: Annotated[
        list[str] | None, typer.Argument(help="Such as results/pneumonia/train2356; without: everything in work/runs.")
    ] = None,
    *,
    uri: Annotated[
        str | None, typer.Option(help="Log to this store instead of `tracking.uri` in config/config.yaml.")
    ] = None,
    runs: Annotated[Path, typer.Option(help="The folder of the runs.")] = Path("work/runs"),
    config: Annotated[Path, typer.Option(help="The folder with the configuration.")] = Path("config"),
) -> None:
    """Log what the tracking server missed while it was down, each point once. The status is 1 when any is left."""
    from auscult.config import TrackingSettings  # noqa: PLC0415 (`--help` stays quick)
    from auscult.describe.listing import project_settings  # noqa: PLC0415
    from auscult.tracking.sync import find_experiments, require_store  # noqa: PLC0415
    from auscult.tracking.sync import sync as sync_experiment  # noqa: PLC0415
    from auscult.training.watch import find_trainings  # noqa: PLC0415

    tracking = project_settings(config).tracking
    if uri is not None:
        tracking = TrackingSettings.model_validate({**tracking.model_dump(), "uri": uri})
    folders = find_experiments(runs, results or [])
    if not folders:
        typer.echo(f"{runs} holds no training: nothing to log")
        return
    require_store(tracking)
    running = {runs / training.name for training in find_trainings(runs) if not training.is_dead}
    has_failed = False
    for folder in folders:
        for done in sync_experiment(folder, tracking, is_running=lambda path: path in running, again=bool(results)):
            has_failed |= done.status == "failed"
            typer.echo(f"{done.name}: {done.status}: {done.text}")
    if has_failed:
        raise typer.Exit(1)
