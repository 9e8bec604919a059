"""All trainings below a folder as a table: what each is doing, and which of them are dead."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auscult.training.lock import LOCK_FILE, STALE_AFTER_S, heartbeat_age_s, read_owner
from auscult.training.progress import PROGRESS_FILE, RUNNING, read_progress

if TYPE_CHECKING:
    from rich.table import Table

_COLUMNS = ("training", "status", "epoch", "batch", "train loss", "monitored", "samples/s", "waiting", "left", "try")


@dataclass(frozen=True)
class Watched:
    """One training.

    Attributes:
        name: `<task>/<experiment>/<job>`, the folder below the watched one.
        values: The content of its progress file.
        is_dead: It says that it runs, and nobody lives who does it.
    """

    name: str
    values: dict[str, Any]
    is_dead: bool

    @property
    def status(self) -> str:
        """What it is doing, in a word."""
        return f"dead ({self.values['status']})" if self.is_dead else str(self.values["status"])


def find_trainings(runs_dir: Path, *, everything: bool = False) -> list[Watched]:
    """Return the trainings below `runs_dir` that run or died, with `everything` the ended ones too; sorted by name."""
    found: list[Watched] = []
    for path in sorted(Path(runs_dir).glob(f"**/state/{PROGRESS_FILE}")):
        values = read_progress(path)
        if values is None:
            continue
        is_running = values.get("status") in RUNNING
        if is_running or everything:
            name = path.parent.parent.relative_to(runs_dir).as_posix()
            found.append(Watched(name, values, is_running and not _is_alive(path.parent)))
    return found


def _is_alive(state_dir: Path) -> bool:
    owner = read_owner(state_dir / LOCK_FILE)
    if owner is not None and owner.is_local:
        return owner.is_alive_here
    age_s = heartbeat_age_s(state_dir)
    return age_s is not None and age_s <= STALE_AFTER_S


def as_table(trainings: list[Watched]) -> Table:
    """Return a table for a terminal, a row a training."""
    from rich.table import Table  # noqa: PLC0415 (slow to import)

    table = Table(*_COLUMNS, box=None, pad_edge=False)
    for training in trainings:
        style = "red" if training.is_dead or training.values["status"] == "failed" else None
        table.add_row(*_cells(training), style=style)
    return table


def follow(runs_dir: Path, *, everything: bool, interval_s: float) -> Iterator[list[Watched]]:
    """Yield the trainings again and again."""
    while True:
        yield find_trainings(runs_dir, everything=everything)
        time.sleep(interval_s)


def _cells(training: Watched) -> tuple[str, ...]:
    values = training.values
    monitor = values.get("monitor")
    monitored = None if monitor is None else values.get(monitor)
    why = values.get("resumed_because")
    attempt = str(values.get("attempt", ""))
    return (
        training.name,
        training.status if values.get("reason") is None else f"{training.status}: {values['reason']}",
        _of(values.get("epoch"), values.get("epochs")),
        _of(values.get("batch"), values.get("n_batches")),
        _number(values.get("train/loss"), ".4f"),
        "" if monitored is None else f"{monitor} {monitored:.4f}",
        _number(values.get("samples_per_s"), ".0f"),
        _number(values.get("data_wait_share"), ".1%"),
        _duration(values.get("eta_s")),
        attempt if why is None else f"{attempt} ({why})",
    )


def _of(part: Any, whole: Any) -> str:
    return "" if part is None else f"{part}/{whole}"


def _number(value: Any, style: str) -> str:
    return "" if value is None else format(value, style)


def _duration(seconds: float | None) -> str:
    """Say seconds as people do.

    >>> _duration(45), _duration(3723), _duration(None)
    ('45 s', '1:02 h', '')
    """
    if seconds is None:
        return ""
    minutes = int(seconds) // 60
    return (
        f"{seconds:.0f} s"
        if minutes < 1
        else f"{minutes} min"
        if minutes < 60
        else f"{minutes // 60}:{minutes % 60:02d} h"
    )
