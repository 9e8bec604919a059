"""`auscult evaluate`: a stored model on another dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from auscult.cli.predict import Device, DeviceOption, ModelArgument


def evaluate(
    model: ModelArgument,
    *,
    dataset: Annotated[str, typer.Option(help="A dataset of config/datasets, without .yaml.")],
    task: Annotated[str | None, typer.Option(help="Whose labels are asked for; by default the model's task.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The result's folder; by default evaluations/<task>/<dataset>/<model>.")
    ] = None,
    root: Annotated[str | None, typer.Option(help="Read this folder instead of the root in the configuration.")] = None,
    test_part: Annotated[
        bool, typer.Option("--test-part", help="Of a dataset that the model was trained on: its own test part alone.")
    ] = False,
    device: DeviceOption = Device.auto,
    config: Annotated[Path, typer.Option(help="The folder with the configuration.")] = Path("config"),
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier result.")] = False,
) -> None:
    """Judge a stored model on a dataset that it was not trained on: a full result, with its own thresholds.

    All patients are the test part. What the workflow made of the dataset by equal settings is used where it is there.
    """
    from auscult.inference.evaluation import default_output, evaluate_model, headline_of  # noqa: PLC0415

    folder = out or default_output(model, dataset, task)
    report = evaluate_model(
        model,
        dataset,
        output_dir=folder,
        task_name=task,
        config_dir=config,
        root=root,
        device=device.value,
        test_part_only=test_part,
        is_forced=force,
        say=lambda text: typer.echo(text, err=True),
    )
    typer.echo(headline_of(folder))
    typer.echo(f"\nwrote {report}")
