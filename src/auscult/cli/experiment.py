"""`auscult experiment`: what experiments there are, and what one of them comes to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
import yaml

from auscult.config import Experiment, list_experiments, load_experiment
from auscult.config.paths import result_dir
from auscult.errors import AuscultError, ConfigError

app = typer.Typer(no_args_is_help=True)

_CONFIG = typer.Option(help="The folder with the configuration.")


@app.command("list")
def list_all(config: Annotated[Path, _CONFIG] = Path("config")) -> None:
    """List all experiments: task, name, number of jobs, datasets, description; faulty ones with their fault."""
    from rich.console import Console  # noqa: PLC0415 (slow to import)
    from rich.table import Table  # noqa: PLC0415

    table = Table("experiment", "jobs", "datasets", "description", box=None, pad_edge=False)
    faults: list[str] = []
    for task, name in list_experiments(config):
        try:
            experiment = load_experiment(config, task, name)
        except AuscultError as error:
            faults.append(str(error))
            continue
        datasets = dict.fromkeys(dataset for job in experiment.jobs for dataset in job.datasets)
        table.add_row(f"{task}/{name}", str(len(experiment.jobs)), ", ".join(datasets), experiment.description)
    Console().print(table)
    if faults:
        raise ConfigError("\n".join(faults))


@app.command()
def show(
    experiment: Annotated[str, typer.Argument(help="<task>/<name>, such as pneumonia/train2356")],
    job: Annotated[int | None, typer.Option(min=1, help="Show this job alone.")] = None,
    config: Annotated[Path, _CONFIG] = Path("config"),
) -> None:
    """Print an experiment as YAML with presets, defaults and jobs resolved."""
    resolved = find_experiment(experiment, config, job)
    shown = resolved.model_dump(mode="json") if job is None else resolved.job(job).model_dump(mode="json")
    typer.echo(f"# snakemake --cores all {result_dir(resolved.task, resolved.name)}")
    typer.echo(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True), nl=False)


def find_experiment(experiment: str, config: Path, job: int | None = None) -> Experiment:
    """Return the experiment of `<task>/<name>`, resolved.

    Raises:
        ConfigError: There is none, or it has no such job.
    """
    task, _, name = experiment.partition("/")
    if not name:
        known = ", ".join("/".join(pair) for pair in list_experiments(config))
        raise ConfigError(f"found {experiment!r}, expected <task>/<name>; known: {known}")
    resolved = load_experiment(config, task, name)
    if job is not None and job > len(resolved.jobs):
        raise ConfigError(f"{experiment} has {len(resolved.jobs)} jobs; job {job} was asked for")
    return resolved
