"""`auscult events`: the events of trainings and results, on their way to a bus and from there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from auscult.logs import say

app = typer.Typer(no_args_is_help=True)
_CONFIG = typer.Option(help="The folder with the configuration.")


@app.command()
def send(
    runs: Annotated[Path, typer.Argument(help="A folder of runs, or one run.")] = Path("work/runs"),
    *,
    config: Annotated[Path, _CONFIG] = Path("config"),
) -> None:
    """Send what the buses of `events` in config/config.yaml have missed. The status is 1 when anything is left."""
    from filelock import Timeout  # noqa: PLC0415 (`--help` stays quick)

    from auscult.config.files import require_config, require_runs  # noqa: PLC0415
    from auscult.config.project import project_settings  # noqa: PLC0415
    from auscult.config.run_events import require_clients  # noqa: PLC0415
    from auscult.errors import ConfigError  # noqa: PLC0415
    from auscult.formatting.numbers import plural  # noqa: PLC0415
    from auscult.run_events.buses import BusError, open_buses  # noqa: PLC0415
    from auscult.run_events.sender import find_outboxes, send_outbox  # noqa: PLC0415

    require_config(config)
    require_runs(runs)
    settings = project_settings(config).events
    require_clients(settings)
    if not settings.buses:
        raise ConfigError(f"events in {config / 'config.yaml'}: found no bus to send to; name one (docs/run-events.md)")
    outboxes = find_outboxes(runs)
    is_whole = True
    for bus in open_buses(settings):
        n_sent, fault = 0, None
        try:
            for path in outboxes:
                n_sent += send_outbox(path, bus)
        except BusError as error:
            fault = str(error)
        except Timeout:
            fault = "another process sends now; try again later"
        is_whole &= fault is None
        say(f"{bus.name}: {plural(n_sent, 'event')} sent" + (f"; not all: {fault}" if fault else ""))
    if not is_whole:
        raise typer.Exit(1)


@app.command()
def listen(
    results: Annotated[
        list[str] | None, typer.Argument(help="Such as results/pneumonia/train2356; without: all.")
    ] = None,
    *,
    when: Annotated[
        list[str] | None, typer.Option(help="Only events of this kind, such as published; may be repeated.")
    ] = None,
    run: Annotated[str | None, typer.Option(help="Start this command for each, with the event on its input.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Leave after the first.")] = False,
    bus: Annotated[str | None, typer.Option(help="kafka, pubsub or file, where several are set.")] = None,
    group: Annotated[str, typer.Option(help="Kafka: listeners of one group share the events.")] = "auscult",
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Kafka: a new group begins with the oldest event. File: begin there.")
    ] = False,
    config: Annotated[Path, _CONFIG] = Path("config"),
) -> None:
    """Follow the bus of `events` in config/config.yaml: print each event as a line of JSON, start a command for it.

    The status is that of the last command that failed, else 0.
    """
    from auscult.config.files import require_config  # noqa: PLC0415 (`--help` stays quick)
    from auscult.config.project import project_settings  # noqa: PLC0415
    from auscult.config.run_events import KINDS, require_clients  # noqa: PLC0415
    from auscult.errors import ConfigError, unknown_name  # noqa: PLC0415
    from auscult.run_events.buses import open_feed  # noqa: PLC0415
    from auscult.run_events.listen import Wanted  # noqa: PLC0415
    from auscult.run_events.listen import listen as follow  # noqa: PLC0415

    for kind in when or []:
        if kind not in KINDS:
            raise ConfigError(f"--when: {unknown_name('kind of event', kind, KINDS)}")
    require_config(config)
    settings = project_settings(config).events
    require_clients(settings)
    subjects = [name.rstrip("/").removeprefix("results/").removeprefix("work/runs/") for name in results or []]
    with open_feed(settings, bus, group, from_start=from_start) as feed:
        try:
            status = follow(feed, Wanted(when or [], subjects), typer.echo, command=run, once=once)
        except KeyboardInterrupt:
            return
    if status:
        raise typer.Exit(status)
