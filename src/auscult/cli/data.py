"""`auscult data`: what datasets there are, what one of them holds, and whether its files are whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from auscult.config import DatasetSettings, load_dataset, paths
from auscult.logs import say

app = typer.Typer(no_args_is_help=True)

_Config = Annotated[Path, typer.Option(help="The folder with the configuration.")]
_Name = Annotated[str, typer.Argument(help="The dataset: a file of config/datasets, without .yaml")]
_Root = Annotated[
    str | None, typer.Option(help="Read this folder (or gs://bucket/prefix) instead of the root in the configuration.")
]


@app.command("list")
def list_all(
    pattern: Annotated[str, typer.Argument(help="Names to show, such as '*bhi'; * stands for any text.")] = "*",
    *,
    layouts: Annotated[bool, typer.Option("--layouts", help="The layouts that can be read as well.")] = False,
    config: _Config = Path("config"),
) -> None:
    """List all datasets: layout, root, what tracks it, what was read, tasks; faulty ones with their fault."""
    from auscult.datasets.listing import list_datasets  # noqa: PLC0415 (`--help` stays quick)
    from auscult.errors import ConfigError  # noqa: PLC0415
    from auscult.reports.terminal import print_datasets, print_layouts  # noqa: PLC0415

    listing = list_datasets(config, pattern)
    print_datasets(listing.datasets)
    if layouts:
        say()
        print_layouts()
    if listing.faults:
        raise ConfigError("\n".join(listing.faults))


@app.command("layouts")
def list_layouts(
    layout: Annotated[str | None, typer.Argument(help="Show all that is known of this one.")] = None,
) -> None:
    """List the layouts that can be read: how to lay out a collection of your own, and what the published ones hold."""
    from auscult.datasets.description import reader_doc  # noqa: PLC0415
    from auscult.datasets.readers import READERS  # noqa: PLC0415
    from auscult.errors import ConfigError, unknown_name  # noqa: PLC0415
    from auscult.reports.terminal import print_layouts  # noqa: PLC0415

    if layout is None:
        print_layouts()
        return
    if layout not in READERS:
        raise ConfigError(unknown_name("layout", layout, READERS))
    say(reader_doc(layout))


@app.command()
def describe(
    name: _Name,
    *,
    root: _Root = None,
    out: Annotated[Path | None, typer.Option(help="Write a page with pictures: one HTML file.")] = None,
    show_ids: Annotated[bool, typer.Option("--show-ids", help="Show ids of patients and recordings too.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite --out.")] = False,
    config: _Config = Path("config"),
) -> None:
    """Describe a dataset: what it holds, what each task knows of it, what was rejected, and the layout's own words.

    The workflow's tables are used where they are there; else, and with --root, the root is read.
    """
    from auscult.datasets.description import describe as gather  # noqa: PLC0415 (`--help` stays quick)
    from auscult.datasets.tasks import load_tasks  # noqa: PLC0415
    from auscult.errors import ConfigError  # noqa: PLC0415
    from auscult.reports.dataset_text import print_description  # noqa: PLC0415
    from auscult.storage.files import require_free  # noqa: PLC0415

    if out is not None:
        require_free(out, is_forced=force)
    settings = _settings(name, root, config)
    tasks, faults = load_tasks(config)
    tables_dir = None if root else Path(paths.tables_dir(name))
    found = gather(name, settings, tasks, tables_dir=tables_dir)
    print_description(found, show_ids=show_ids)
    if out is None:
        say(f"\nWith pictures: auscult data describe {name} --out {name}.html")
    else:
        from auscult.reports.dataset_page import write_page  # noqa: PLC0415

        write_page(found, out, show_ids=show_ids)
        say(f"\nwrote {out}")
    if faults:
        raise ConfigError("\n".join(faults))


@app.command()
def fetch(name: _Name, *, root: _Root = None, config: _Config = Path("config")) -> None:
    """Bring a dataset whose root is gs://bucket/prefix to work/raw, or see whether the bucket has changed since.

    What is there already is not downloaded again. The next run of the workflow reads anew what has changed, and nothing
    when nothing has.
    """
    from auscult.datasets.fetch_raw import fetch as fetch_raw  # noqa: PLC0415 (`--help` stays quick)
    from auscult.errors import ConfigError  # noqa: PLC0415
    from auscult.formatting.numbers import plural, size_text  # noqa: PLC0415

    settings = _settings(name, root, config)
    if not paths.is_remote(settings.root):
        raise ConfigError(f"{name}: its root {settings.root} is a folder; only gs://bucket/prefix is fetched")
    cache, listing = Path(paths.raw_cache_dir(name)), Path(paths.raw_listing_path(name))
    found = fetch_raw(settings.root, cache, listing)
    for refused, reason in found.refused:
        say(f"left out: {refused}: {reason}", err=True)
    say(
        f"{settings.root}: {plural(found.n_objects, 'file')} in {cache}, {found.n_downloaded:,} downloaded now "
        f"({size_text(found.downloaded_bytes)}), {len(found.removed):,} removed"
    )


_Targets = Annotated[list[str] | None, typer.Argument(help="Folders such as data/icbhi; all without.")]
_Remote = Annotated[str | None, typer.Option("--remote", "-r", help="A remote of DVC; the default one without.")]


@app.command()
def pull(targets: _Targets = None, *, remote: _Remote = None) -> None:
    """Run `dvc pull` once the remote is known to answer: a fault is told within seconds, with its remedy."""
    from auscult.ops.dvc_transfer import transfer  # noqa: PLC0415 (`--help` stays quick)

    transfer("pull", Path(), remote, targets or [])


@app.command()
def push(targets: _Targets = None, *, remote: _Remote = None) -> None:
    """Run `dvc push` once the remote is known to answer: a fault is told within seconds, with its remedy."""
    from auscult.ops.dvc_transfer import transfer  # noqa: PLC0415 (`--help` stays quick)

    transfer("push", Path(), remote, targets or [])


def _settings(name: str, root: str | None, config: Path) -> DatasetSettings:
    """Return a dataset's settings, its root replaced by --root, or else by `roots` in config.yaml."""
    from auscult.config.project import project_settings  # noqa: PLC0415

    roots = project_settings(config).roots
    return load_dataset(config, name, {**roots, name: root} if root else roots)


@app.command()
def draft(
    folder: Annotated[Path, typer.Argument(help="The folder with recordings, tables and whatever lies with them.")],
    *,
    name: Annotated[str | None, typer.Option(help="Of dataset and experiment; default: the folder's.")] = None,
    task: Annotated[str | None, typer.Option(help="Of the task; default: what is learnt.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write this file, not config/experiments/TASK/NAME.yaml.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: take the best guess; silence is unknown.")] = False,
    config: _Config = Path("config"),
) -> None:
    """Draft the one YAML file that reads a folder, from what lies in it; each guess has a comment on what it rests on.

    The draft is read and divided once before it is written. On a terminal you are asked where a guess is not sure.
    Silence (no ticked box, no mark in a file) is unknown unless you say that nothing was heard.
    """
    from auscult.ops.draft import Wishes  # noqa: PLC0415 (`--help` stays quick)
    from auscult.ops.draft import draft as write_draft  # noqa: PLC0415
    from auscult.reports.dataset_draft import asker, print_draft  # noqa: PLC0415

    print_draft(write_draft(folder, config, Wishes(name, task, out, force, asker(yes=yes))))


@app.command()
def verify(
    name: _Name,
    *,
    root: _Root = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")] = False,
    compare: Annotated[bool, typer.Option(help="Compare with the tables in work/tables, if they are there.")] = True,
    config: _Config = Path("config"),
) -> None:
    """Verify a dataset: decode every file and name what is wrong. The status is 0 only when nothing is.

    Files and patients are named: keep the output where the recordings are kept. Notices are no faults.
    """
    import json  # noqa: PLC0415 (`--help` stays quick)

    from auscult.datasets.verify import verify as read_all  # noqa: PLC0415
    from auscult.errors import DataError  # noqa: PLC0415
    from auscult.reports.dataset_text import print_verification  # noqa: PLC0415
    from auscult.reports.terminal import counting_probe  # noqa: PLC0415

    settings = _settings(name, root, config)
    tables_dir = Path(paths.tables_dir(name)) if compare else None
    with counting_probe(settings) as probe:
        found = read_all(name, settings, tables_dir=tables_dir, probe=probe)
    if as_json:
        typer.echo(json.dumps(found.as_dict(), indent=2, ensure_ascii=False))
    elif found.error is None:
        print_verification(found)
    if found.error is not None:
        raise DataError(found.error)
    if not found.is_clean:
        raise typer.Exit(1)
