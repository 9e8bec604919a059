"""The project and its runs looked after: `auscult run`, `doctor`, `explain`, `sync`, `verify` and `watch`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from auscult.logs import say


def checklist(
    result: Annotated[Path, typer.Argument(help="Such as results/pneumonia/train2356.")],
    *,
    every: Annotated[bool, typer.Option("--all", help="Print all rows, not only those that are missing.")] = False,
) -> None:
    """Print what TRIPOD+AI, STARD-AI and CLAIM still miss of a result, and where to say it."""
    from auscult.formatting.terminal import Console  # noqa: PLC0415 (`--help` stays quick)
    from auscult.reports.checklist_text import print_checklists  # noqa: PLC0415

    print_checklists(result, Console(), shows_all=every)


def doctor(
    *,
    job: Annotated[bool, typer.Option(help="On a cluster, run a job of seconds to see whether it gets a GPU.")] = True,
    wait: Annotated[float, typer.Option(min=1, help="Seconds to wait for that GPU.")] = 30.0,
) -> None:
    """Check versions, disk, data, tracking, GPU and cluster; each fault with its remedy. Status 1 if any failed."""
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from auscult.config.files import require_config  # noqa: PLC0415
    from auscult.formatting.terminal import Console  # noqa: PLC0415 (`--help` stays quick)
    from auscult.ops.doctor import examine  # noqa: PLC0415

    require_config(Path("config"))
    table = Table("check", "state", "found", "remedy", box=None, pad_edge=False)
    colours = {"ok": "green", "failed": "bold red", "skipped": "dim"}
    states: list[str] = []
    for finding in examine(Path(), wait_s=wait, runs_job=job):
        states.append(finding.state)
        state = Text(finding.state, style=colours[finding.state])
        table.add_row(Text(finding.check), state, Text(finding.text), Text(finding.remedy))
    Console().print(table)
    if "failed" in states:
        say(f"{states.count('failed')} of {len(states)} checks failed", err=True)
        raise typer.Exit(1)


def explain(
    target: Annotated[str, typer.Argument(help="Such as results/pneumonia/train2356, or a file of the workflow.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(help="More for Snakemake, after --, such as -- --config device=cpu")
    ] = None,
) -> None:
    """Explain what would run for a target and why, what changed since it was published, and what it may cost."""
    from auscult.formatting.terminal import Console  # noqa: PLC0415 (`--help` stays quick)
    from auscult.ops.explain import explain as explain_target  # noqa: PLC0415
    from auscult.reports.workflow_text import print_explanation  # noqa: PLC0415

    print_explanation(explain_target(target, arguments or ()), Console())


def run(
    target: Annotated[
        str | None,
        typer.Argument(help="Such as results/pneumonia/train2356; without: all on the data that DVC tracks."),
    ] = None,
    arguments: Annotated[
        list[str] | None, typer.Argument(help="More for Snakemake, after --, such as -- --config device=cpu")
    ] = None,
    *,
    profile: Annotated[
        str | None,
        typer.Option(
            help="Of a cluster, such as slurm-gpu; without: the environment's AUSCULT_PROFILE, or this machine."
        ),
    ] = None,
    cores: Annotated[
        str | None, typer.Option(help="A number or `all`; without: all of this machine, or what the profile says.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Name the jobs that would run, and why.")] = False,
) -> None:
    """Make a target with Snakemake, behind one bar over jobs and epochs; the status is Snakemake's."""
    from auscult.ops.run_target import PROFILE, run_target, snakemake_command  # noqa: PLC0415 (`--help` stays quick)

    if profile is None:
        profile = os.environ.get(PROFILE)
    command = snakemake_command(target, arguments or (), profile=profile, cores=cores, is_dry=dry_run)
    raise typer.Exit(run_target(command))


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
    from auscult.config.files import require_config, require_runs  # noqa: PLC0415
    from auscult.config.project import project_settings  # noqa: PLC0415
    from auscult.tracking.sync import find_experiments, require_store  # noqa: PLC0415
    from auscult.tracking.sync import sync as sync_experiment  # noqa: PLC0415
    from auscult.training.progress import find_trainings  # noqa: PLC0415

    require_runs(runs)
    tracking = project_settings(config).tracking
    if uri is not None:
        tracking = TrackingSettings.model_validate({**tracking.model_dump(), "uri": uri})
    folders = find_experiments(runs, results or [])
    if not folders:
        require_config(config)
        say(f"{runs} holds no training: nothing to log")
        return
    require_store(tracking)
    running = {runs / training.name for training in find_trainings(runs) if not training.is_dead}
    has_failed = False
    for folder in folders:
        for done in sync_experiment(folder, tracking, is_running=lambda path: path in running, again=bool(results)):
            has_failed |= done.status == "failed"
            say(f"{done.name}: {done.status}: {done.text}")
    if has_failed:
        raise typer.Exit(1)


def upload(
    results: Annotated[list[Path], typer.Argument(help="Folders of results, such as results/pneumonia/train2356.")],
    *,
    to: Annotated[
        str | None, typer.Option(help="gs://bucket/prefix, instead of `publish_to` in config/config.yaml.")
    ] = None,
    config: Annotated[Path, typer.Option(help="The folder with the configuration.")] = Path("config"),
) -> None:
    """Copy results with their checksums into a bucket; what is there already is not sent again."""
    from auscult.config import load_project  # noqa: PLC0415 (`--help` stays quick)
    from auscult.config.project import project_settings  # noqa: PLC0415
    from auscult.errors import ConfigError  # noqa: PLC0415
    from auscult.ops.result_bucket import send_result  # noqa: PLC0415

    project = project_settings(config)
    target = project.publish_to if to is None else load_project({"publish_to": to}, config).publish_to
    if target is None:
        raise ConfigError(f"{config / 'config.yaml'}: publish_to: missing; say gs://bucket/prefix there, or --to")
    for result in results:
        say(send_result(result, target, with_names=project.publish.names).text)


def verify(
    results: Annotated[
        list[str],
        typer.Argument(help="Folders of results, such as results/pneumonia/train2356, or gs://bucket/... of copies."),
    ],
) -> None:
    """Compare every file of a result with its checksums; name what is damaged, missing or extra. Status 1 if any is."""
    from auscult.config.dataset import REMOTE  # noqa: PLC0415 (`--help` stays quick)
    from auscult.formatting.numbers import plural  # noqa: PLC0415
    from auscult.ops.result_bucket import verify_bucket  # noqa: PLC0415
    from auscult.ops.verify import verify_result  # noqa: PLC0415

    is_whole = True
    for written in results:
        is_remote = written.startswith(REMOTE)
        result = written.rstrip("/") if is_remote else Path(written).as_posix()
        found = verify_bucket(result) if is_remote else verify_result(Path(written))
        is_whole &= found.is_whole
        for kind, names in (("damaged", found.damaged), ("missing", found.missing), ("extra", found.extra)):
            for name in names:
                say(f"{kind}: {result}/{name}")
        for notice in found.notices:
            say(f"note: {result}: {notice}")
        if found.is_whole:
            say(f"{result}: {plural(found.n_files, 'file')}, all as published")
        else:
            n_faults = len(found.damaged) + len(found.missing) + len(found.extra)
            again = "snakemake --cores all --forcerun publish --"
            remedy = "send it again: auscult upload results/..." if is_remote else f"publish it again: {again} {result}"
            say(f"{result}: {plural(n_faults, 'fault')} in {plural(found.n_files, 'file')}; {remedy}")
    if not is_whole:
        raise typer.Exit(1)


def watch(
    runs: Annotated[Path, typer.Argument(help="The folder of the runs.")] = Path("work/runs"),
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also trainings that ended.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Print the table and leave.")] = False,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 1.0,
) -> None:
    """Show what all trainings and studies are doing: epoch, losses, speed, time left, attempt; dead ones are marked."""
    from rich.console import Group  # noqa: PLC0415 (slow to import)
    from rich.live import Live  # noqa: PLC0415

    from auscult.config.files import require_config, require_runs  # noqa: PLC0415
    from auscult.formatting.terminal import Console  # noqa: PLC0415
    from auscult.ops.study_status import STUDIES, find_studies  # noqa: PLC0415
    from auscult.reports.workflow_text import watched_tables  # noqa: PLC0415
    from auscult.training.progress import find_trainings  # noqa: PLC0415

    require_runs(runs)
    if not runs.is_dir() and not STUDIES.is_dir():
        require_config(Path("config"))
        say(f"{runs}: no training has begun yet", err=True)
    console = Console()

    def look() -> Group:
        trainings = [
            *find_trainings(runs, everything=everything),
            # The trials that rest or were stopped are the study's to count.
            *find_trainings(STUDIES, everything=everything, prefix="tune/"),
        ]
        return watched_tables(trainings, find_studies(everything=everything))

    if once or not sys.stdout.isatty():
        console.print(look())
        return
    with Live(console=console, auto_refresh=False) as live:
        try:
            while True:
                live.update(look(), refresh=True)
                time.sleep(interval)
        except KeyboardInterrupt:
            return
