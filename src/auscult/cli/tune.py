"""Searches on validation: `auscult tune run`, `lr` and `batch`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auscult.logs import say

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

app = typer.Typer(no_args_is_help=True)

_CONFIG = typer.Option(help="The folder with the configuration.")
_EXPERIMENT = typer.Argument(help="<folder>/<name>, such as pneumonia/train2356")
_PROFILE = typer.Option(help="A profile of Snakemake, such as slurm-gpu; default: this machine.")
_CORES = typer.Option(help="Cores of this machine: a number, or all.")
_JOB = typer.Option(min=1, help="Which job.")
_OUT = typer.Option(help="The picture, without its ending; default: in work/tune/<folder>/<name>.")
_FORCE = typer.Option("--force", help="Overwrite --out.")
_MORE = typer.Argument(help="More for Snakemake, after --, such as -- --config device=cpu")


class Scale(StrEnum):
    """How the learning rate follows the batch size."""

    auto = "auto"
    linear = "linear"
    sqrt = "sqrt"
    none = "none"


def workflow_arguments(profile: str | None, cores: str, more: list[str] | None) -> list[str]:
    """Return what says where the workflow runs."""
    asked = more or []
    if profile is not None:
        return ["--profile", profile, *asked]
    is_said = any(word.split("=")[0] in {"--cores", "-c", "--profile"} for word in asked)
    return asked if is_said else ["--cores", cores, *asked]


@app.command()
def run(
    experiment: Annotated[str, _EXPERIMENT],
    arguments: Annotated[list[str] | None, _MORE] = None,
    *,
    profile: Annotated[str | None, _PROFILE] = None,
    cores: Annotated[str, _CORES] = "all",
    config: Annotated[Path, _CONFIG] = Path("config"),
) -> None:
    """Search an experiment's settings on validation; killed, the same command goes on where it was."""
    from auscult.cli.experiment import find_experiment  # noqa: PLC0415 (`--help` stays quick)
    from auscult.config.paths import result_dir  # noqa: PLC0415
    from auscult.config.project import project_settings  # noqa: PLC0415
    from auscult.ops.rung_maker import RungMaker  # noqa: PLC0415
    from auscult.ops.study import open_study  # noqa: PLC0415
    from auscult.tracking.search import track_search  # noqa: PLC0415

    found = find_experiment(experiment, config)
    name = (found.group, found.name)
    make = RungMaker(*name, workflow_arguments(profile, cores, arguments), say)
    study = open_study(config, *name, make, say)
    chosen = study.run()
    reason = track_search(chosen, found.task, project_settings(config).tracking)
    if reason is not None:
        say(f"not logged with MLflow; the same command logs it later: {reason}", err=True)
    say(f"{study.folder}: finished. {chosen.reason}")
    for key, value in chosen.values.items():
        say(f"  {key}: {value}")
    say(f"retrain it and judge it on the test part once:\n  snakemake --cores all {result_dir(*name)}")


@app.command()
def lr(
    experiment: Annotated[str, _EXPERIMENT],
    arguments: Annotated[list[str] | None, _MORE] = None,
    *,
    job: Annotated[int, _JOB] = 1,
    steps: Annotated[int, typer.Option(min=20, help="Steps of the range test.")] = 150,
    lowest: Annotated[float, typer.Option(help="First rate of the range test.")] = 1e-7,
    highest: Annotated[float, typer.Option(help="Last rate of the range test.")] = 1.0,
    trials: Annotated[int, typer.Option(min=3, help="Trainings of the coarse search, and of the fine one.")] = 6,
    coarse_epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs of a coarse training; default: a third of the job's.")
    ] = None,
    fine_epochs: Annotated[int | None, typer.Option(min=1, help="Of a fine training; default: the job's.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the rates that are drawn.")] = 0,
    out: Annotated[Path | None, _OUT] = None,
    force: Annotated[bool, _FORCE] = False,
    profile: Annotated[str | None, _PROFILE] = None,
    cores: Annotated[str, _CORES] = "all",
    config: Annotated[Path, _CONFIG] = Path("config"),
) -> None:
    """Recommend a learning rate: a range test, a coarse random search, a fine one; a picture and the line to paste."""
    from auscult.cli.experiment import find_experiment  # noqa: PLC0415 (`--help` stays quick)
    from auscult.errors import ConfigError  # noqa: PLC0415
    from auscult.formatting.numbers import metric_text  # noqa: PLC0415
    from auscult.ops.lr_search import LrTuner, lr_yaml  # noqa: PLC0415
    from auscult.ops.rung_maker import alone_in_study  # noqa: PLC0415
    from auscult.plots.tuning import draw_lr  # noqa: PLC0415

    if not 0 < lowest < highest:
        raise ConfigError(f"--lowest {lowest:g}, --highest {highest:g}: expected a smaller and a larger rate above 0")
    found = find_experiment(experiment, config, job)
    target = _target(out, found.group, found.name, job, "lr", force=force)
    epochs = found.job(job).train.epochs
    with alone_in_study(found.group, found.name, workflow_arguments(profile, cores, arguments), say) as make:
        searched = LrTuner(config, found, job, make=make, tell=say).run(
            n_steps=steps,
            low=lowest,
            high=highest,
            n_trials=trials,
            coarse_epochs=min(coarse_epochs or max(epochs // 3, 1), epochs),
            fine_epochs=min(fine_epochs or epochs, epochs),
            seed=seed,
        )
    _write(draw_lr(searched), searched.table(), target)
    best = searched.best
    value = "" if best.rung.value is None else f": {searched.metric} {metric_text(best.rung.value)} on validation"
    say(f"{target}.svg, .png and .csv: written\nrecommended{value}\n  {lr_yaml(best.lr)}")
    if searched.caution:
        say(f"note: {searched.caution}")


@app.command()
def batch(
    experiment: Annotated[str, _EXPERIMENT],
    arguments: Annotated[list[str] | None, _MORE] = None,
    *,
    job: Annotated[int, _JOB] = 1,
    sizes: Annotated[str, typer.Option(help="Batch sizes, with commas between.")] = "8,16,32,64,128",
    epochs: Annotated[int | None, typer.Option(min=1, help="Of each training; default: the job's.")] = None,
    scale: Annotated[
        Scale, typer.Option(help="How the rate follows the size; auto: linear for SGD, else by its root.")
    ] = Scale.auto,
    tolerance: Annotated[
        float, typer.Option(min=0, help="How much worse than the best result a faster size may be.")
    ] = 0.01,
    out: Annotated[Path | None, _OUT] = None,
    force: Annotated[bool, _FORCE] = False,
    profile: Annotated[str | None, _PROFILE] = None,
    cores: Annotated[str, _CORES] = "all",
    config: Annotated[Path, _CONFIG] = Path("config"),
) -> None:
    """Compare batch sizes: speed, memory and the validation result, the rate scaled; with the line to paste."""
    from auscult.cli.experiment import find_experiment  # noqa: PLC0415
    from auscult.errors import ConfigError  # noqa: PLC0415
    from auscult.formatting.terminal import Console  # noqa: PLC0415 (`--help` stays quick)
    from auscult.ops.batch_search import batch_yaml, tune_batch  # noqa: PLC0415
    from auscult.ops.rung_maker import alone_in_study  # noqa: PLC0415
    from auscult.plots.tuning import draw_batch  # noqa: PLC0415
    from auscult.reports.workflow_text import batch_table  # noqa: PLC0415

    words = [word.strip() for word in sizes.split(",")]
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        raise ConfigError(f"--sizes: found {sizes!r}, expected numbers above 0 with commas between, such as 16,32,64")
    found = find_experiment(experiment, config, job)
    target = _target(out, found.group, found.name, job, "batch", force=force)
    whole = found.job(job).train.epochs
    with alone_in_study(found.group, found.name, workflow_arguments(profile, cores, arguments), say) as make:
        searched = tune_batch(
            config,
            found,
            job,
            sizes=list(map(int, words)),
            epochs=min(epochs or whole, whole),
            scale=scale.value,
            tolerance=tolerance,
            make=make,
            tell=say,
        )
    _write(draw_batch(searched), searched.table(), target)
    Console().print(batch_table(searched))
    say(f"{target}.svg, .png and .csv: written")
    say(f"recommended, the fastest within {tolerance:g} of the best {searched.metric}:\n  {batch_yaml(searched.best)}")


def _target(out: Path | None, group: str, name: str, job: int, kind: str, *, force: bool) -> Path:
    """Return where a picture and its table go, without their endings; what --out names must be free."""
    from auscult.config.trials import study_dir  # noqa: PLC0415 (`--help` stays quick)
    from auscult.storage.files import require_free  # noqa: PLC0415

    if out is None:
        return study_dir(group, name) / f"{kind}-job{job}"
    require_free(out, is_forced=force)
    target = out.with_suffix("")
    for ending in (".svg", ".png", ".csv"):
        require_free(target.with_name(f"{target.name}{ending}"), is_forced=force)
    return target


def _write(figure: Figure, table: pd.DataFrame, target: Path) -> None:
    from auscult.plots.style import save_both  # noqa: PLC0415 (`--help` stays quick)
    from auscult.storage.tables import write_csv  # noqa: PLC0415

    save_both(figure, target)
    write_csv(target.with_name(f"{target.name}.csv"), table)
