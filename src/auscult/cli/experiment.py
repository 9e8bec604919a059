"""What an experiment may say: `auscult experiment`, `auscult models`, `auscult augment` and `auscult schema`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from auscult.config import Experiment, list_experiments, load_experiment, load_task, paths
from auscult.config.documents import dump_yaml
from auscult.config.paths import result_dir
from auscult.config.schema import write_schemas
from auscult.errors import AuscultError, ConfigError
from auscult.logs import say

app = typer.Typer(no_args_is_help=True)

_CONFIG = typer.Option(help="The folder with the configuration.")


@app.command("list")
def list_all(config: Annotated[Path, _CONFIG] = Path("config")) -> None:
    """List all experiments: folder, name, number of jobs, datasets, description; faulty ones with their fault."""
    from rich.table import Table  # noqa: PLC0415

    from auscult.formatting.terminal import Console  # noqa: PLC0415 (slow to import)

    table = Table("experiment", "jobs", "datasets", "description", box=None, pad_edge=False)
    faults: list[str] = []
    for group, name in list_experiments(config):
        try:
            experiment = load_experiment(config, group, name)
        except AuscultError as error:
            faults.append(str(error))
            continue
        datasets = dict.fromkeys(dataset for job in experiment.jobs for dataset in job.datasets)
        table.add_row(f"{group}/{name}", str(len(experiment.jobs)), ", ".join(datasets), experiment.description)
    Console().print(table)
    if faults:
        raise ConfigError("\n".join(faults))


@app.command()
def show(
    experiment: Annotated[str, typer.Argument(help="<folder>/<name>, such as pneumonia/train2356")],
    job: Annotated[int | None, typer.Option(min=1, help="Show this job alone.")] = None,
    config: Annotated[Path, _CONFIG] = Path("config"),
) -> None:
    """Print an experiment as YAML with presets, defaults and jobs resolved."""
    resolved = find_experiment(experiment, config, job)
    shown = resolved.model_dump(mode="json") if job is None else resolved.job(job).model_dump(mode="json")
    say(f"# snakemake --cores all {result_dir(resolved.group, resolved.name)}")
    typer.echo(dump_yaml(shown, width=80), nl=False)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Of the new experiment, in the folder of the study's.")],
    *,
    from_study: Annotated[str, typer.Option(help="<folder>/<name> of an experiment whose study is finished.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    config: Annotated[Path, _CONFIG] = Path("config"),
) -> None:
    """Write what a study chose as an experiment of its own, with the reason."""
    from auscult.ops.from_study import create_from_study  # noqa: PLC0415 (`--help` stays quick)

    found = find_experiment(from_study, config)
    path = create_from_study(config, found.group, found.name, name, is_forced=force)
    say(f"{path}: written; snakemake --cores all {result_dir(found.group, path.stem)}")


@app.command()
def rerun(
    result: Annotated[Path, typer.Argument(help="experiment.yaml of a result, or the result's folder.")],
    *,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of every job, such as train.epochs=5 (may be repeated); YAML."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Of the new experiment; default: its own where free, else <name>_rerun.")
    ] = None,
    run: Annotated[bool, typer.Option("--run", help="Run it at once.")] = False,
    config: Annotated[Path, _CONFIG] = Path("config"),
) -> None:
    """Write the experiment of a result anew, with settings replaced, and run it or say how."""
    from auscult.ops.rerun import parse_values, write_rerun  # noqa: PLC0415 (`--help` stays quick)

    made = write_rerun(config, result, parse_values(values or []), name)
    for note in made.notes:
        say(f"note: {note}", err=True)
    if made.task_path is not None:
        say(f"{made.task_path}: written")
    target = result_dir(made.group, made.path.stem)
    say(f"{made.path}: written; snakemake --cores all {target}")
    if run:
        _run_snakemake(target, [])


def _run_snakemake(target: str, arguments: list[str]) -> None:
    """Make a result, with all cores unless the arguments say otherwise; end with Snakemake's status where it fails."""
    import subprocess  # noqa: PLC0415 (`--help` stays quick)

    is_said = any(word.split("=")[0] in {"--cores", "-c", "--profile"} for word in arguments)
    cores = [] if is_said else ["--cores", "all"]
    command = [sys.executable, "-m", "snakemake", *cores, target, *arguments]
    done = subprocess.run(command, check=False)  # noqa: S603 (Snakemake, with the user's own arguments)
    if done.returncode != 0:
        raise typer.Exit(done.returncode)


def reproduce(
    experiment: Annotated[str, typer.Argument(help="<folder>/<name>, such as sprsound/task21")],
    arguments: Annotated[
        list[str] | None, typer.Argument(help="More for Snakemake, after --, such as -- --profile slurm-gpu")
    ] = None,
    config: Annotated[Path, _CONFIG] = Path("config"),
) -> None:
    """Run an experiment on a published task, and print the published figures beside ours."""
    from auscult.formatting.terminal import Console  # noqa: PLC0415 (`--help` stays quick)
    from auscult.reports.published_text import print_published  # noqa: PLC0415

    found = find_experiment(experiment, config)
    _run_snakemake(result_dir(found.group, found.name), arguments or [])
    print_published(found, load_task(config, found.task), Path(result_dir(found.group, found.name)), Console())


def freeze(
    experiment: Annotated[str, typer.Argument(help="<folder>/<name>, such as pneumonia/train2356")],
    *,
    primary: Annotated[
        str | None, typer.Option(help="The primary metric, such as auroc; default: the first of the report.")
    ] = None,
    of: Annotated[
        str | None, typer.Option(help="What it is of: a target, macro, four_class or multi_class.", show_default=False)
    ] = None,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            help="A planned comparison, such as 2:1, job 2 against job 1; default: every job against the first."
        ),
    ] = None,
    comparisons: Annotated[bool, typer.Option(help="Plan any comparison.")] = True,
    late: Annotated[
        bool, typer.Option("--late", help="Though the test part was read: the report will say so.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier protocol.")] = False,
    config: Annotated[Path, _CONFIG] = Path("config"),
) -> None:
    """Freeze question, split, primary figure, operating rule and comparisons before the test part is read."""
    from auscult.ops.freeze import freeze as freeze_experiment  # noqa: PLC0415 (`--help` stays quick)
    from auscult.reports.protocol_section import primary_text  # noqa: PLC0415

    found = find_experiment(experiment, config)
    frozen = freeze_experiment(
        config,
        found.group,
        found.name,
        metric=primary,
        view=of,
        comparisons=compare if comparisons else [],
        is_late=late,
        is_forced=force,
    )
    protocol = frozen.protocol
    pairs = ", ".join(f"job {pair.job} against job {pair.base}" for pair in protocol.comparisons)
    say(f"{frozen.path}: frozen, SHA-256 {protocol.sha256[:12]}")
    say(f"primary figure       {primary_text(protocol.primary)}")
    say(f"planned comparisons  {pairs or 'none'}")
    if protocol.late:
        say(f"late: {protocol.late}; the report will call every figure exploratory")
    if frozen.missing:
        say(
            "the split is frozen by its settings alone, for its table has not been made: to freeze the table too, run\n"
            f"  snakemake --cores 1 {' '.join(frozen.missing)}\nand freeze again with --force"
        )
    say("commit this file before you run the experiment: git then bears witness to when")


def find_experiment(experiment: str, config: Path, job: int | None = None) -> Experiment:
    """Return the experiment of `<folder>/<name>`, resolved.

    Raises:
        ConfigError: There is none, or it has no such job.
    """
    group, _, name = experiment.partition("/")
    if not name:
        known = ", ".join("/".join(pair) for pair in list_experiments(config))
        raise ConfigError(f"found {experiment!r}, expected <folder>/<name>; known: {known}")
    resolved = load_experiment(config, group, name)
    if job is not None and job > len(resolved.jobs):
        raise ConfigError(f"{experiment} has {len(resolved.jobs)} jobs; job {job} was asked for")
    return resolved


models_app = typer.Typer(no_args_is_help=True)


@models_app.command("list")
def list_models(
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
    from auscult.models import registry  # noqa: PLC0415

    names = registry.matching_names(pattern, with_timm=timm)
    shape = (mels, frames)
    heading = f"{'parameters':>13}  input [1, {mels}, {frames}]" if counts else ""
    for line in registry.table_lines(
        names, registry.list_models(names, with_counts=counts, input_shape=shape), heading
    ):
        say(line)
    if pattern is None and not timm:
        say(f"\nand {len(timm_names()):,} architectures of timm: auscult models list 'timm/*', or by part of a name")


@models_app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="Weights: safetensors, or PyTorch's .pt, .pth, .bin.")],
) -> None:
    """Say what a weights file is (a published encoder, timm's, auscult's own), and how an experiment names it."""
    from auscult.models.weights_file import inspection_lines  # noqa: PLC0415 (torch: seconds)

    for line in inspection_lines(file):
        say(line)


augment_app = typer.Typer(no_args_is_help=True)


@augment_app.command("list")
def list_augmentations() -> None:
    """List the steps that an experiment may name, with what they do."""
    from auscult.config.augment import PICTURE, SPECTROGRAM  # noqa: PLC0415 (`--help` stays quick)
    from auscult.config.waveform_augment import WAVEFORM  # noqa: PLC0415

    for section, steps in (("waveform", WAVEFORM), ("spectrogram", SPECTROGRAM), ("picture", PICTURE)):
        say(f"{section}:")
        for name, settings in steps.items():
            say(f"  {name:<18}{(settings.__doc__ or '').strip().splitlines()[0]}")


@augment_app.command()
def preview(
    experiment: Annotated[str, typer.Argument(help="<task>/<name>, such as pneumonia/train2356")],
    *,
    job: Annotated[int, typer.Option(min=1, help="Whose augmentation.")] = 1,
    out: Annotated[Path | None, typer.Option(help="The page; default: <name>-<job>-augmentation.html")] = None,
    clips: Annotated[int, typer.Option(min=1, max=20, help="So many clips of each step.")] = 3,
    force: Annotated[bool, typer.Option("--force", help="Overwrite --out.")] = False,
    config: Annotated[Path, typer.Option(help="The folder with the configuration.")] = Path("config"),
) -> None:
    """Write a page: the same clips before and after each step of a job, to look at and to listen to."""
    from auscult.reports import augmentation_page  # noqa: PLC0415
    from auscult.storage.files import require_free  # noqa: PLC0415
    from auscult.training import augmentation_preview  # noqa: PLC0415 (torch: seconds)

    if out is not None:
        require_free(out, is_forced=force)
    found = find_experiment(experiment, config, job)
    target = out or Path(f"{found.name}-{job}-augmentation.html")
    shown = augmentation_preview.preview(
        next(run.settings for run in found.runs if run.job == job),
        load_task(config, found.task),
        result=paths.result_dir(found.group, found.name),
        config_dir=config,
        n_clips=clips,
        epoch=1,
    )
    augmentation_page.write_page(shown, target, title=f"{experiment}, job {job}")
    say(f"{target}: {len(shown.changes) - 1} steps on {clips} of the training clips")


def schema(
    *,
    out: Annotated[Path | None, typer.Option(help="Another folder than config/schema.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what --out holds.")] = False,
) -> None:
    """Write config/schema/*.json, which editors use to complete and check the YAML files."""
    from auscult.errors import ConfigError  # noqa: PLC0415 (`--help` stays quick)

    if out is not None and not force and out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ConfigError(f"--out {out}: is there already; name another folder, or overwrite it with --force")
    for path in write_schemas(out or Path("config/schema")):
        say(f"wrote {path}")
