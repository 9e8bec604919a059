"""What `auscult explain` and `auscult watch` print: the jobs that would run, and the trainings that do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Column, Table

from auscult.formatting.numbers import duration_text, plural, size_text
from auscult.formatting.terminal import Console

if TYPE_CHECKING:
    from auscult.ops.batch_search import BatchSearch
    from auscult.ops.explain import Explanation
    from auscult.ops.study_status import StudyStatus
    from auscult.training.progress import Watched

_COLUMNS = (
    "training",
    "status",
    "epoch",
    "batch",
    "train loss",
    "monitored",
    "samples/s",
    "waiting",
    "left",
    "try",
)


def print_explanation(found: Explanation, console: Console) -> None:
    """Print the jobs that would run, why, and an estimate of their time and memory."""
    for line in found.changes:
        console.print(f"since it was published, {line}", markup=False, highlight=False, soft_wrap=True)
    if not found.jobs:
        console.print(f"{found.target} is up to date: nothing would run", markup=False, highlight=False)
        return
    table = Table("what would run", "why", "estimate", box=None, pad_edge=False)
    for job in found.jobs:
        seconds = job.cost.seconds
        estimate = "unknown" if seconds is None else f"{duration_text(seconds)} ({job.cost.basis})"
        table.add_row(job.message, "\n".join(job.reasons), estimate)
    console.print(table, markup=False, highlight=False)
    memory = max((job.cost.memory_mb or 0.0 for job in found.jobs), default=0.0)
    text = f"{plural(len(found.jobs), 'job')}, about {duration_text(found.known_s)} one after another"
    if memory:
        text += f", at most {size_text(memory * 1e6)} at a time"
    if found.n_unknown:
        bases = Counter(job.cost.basis for job in found.jobs if job.cost.seconds is None)
        text += f"; {found.n_unknown} without an estimate ({', '.join(bases)})"
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def trainings_table(trainings: Sequence[Watched]) -> Table:
    """Return a table for a terminal; failed and dead trainings stand in red."""
    table = Table(*_COLUMNS, box=None, pad_edge=False)
    for training in trainings:
        style = "red" if training.is_dead or training.values["status"] == "failed" else None
        table.add_row(*_cells(training), style=style)
    return table


def watched_tables(trainings: Sequence[Watched], studies: Sequence[StudyStatus]) -> Group:
    """Return what runs, for a terminal: the studies, where there are any, and the trainings."""
    tables = [trainings_table(trainings)]
    if studies:
        table = Table("study", "status", "trials", "complete", "failed", "best so far", box=None, pad_edge=False)
        for study in studies:
            table.add_row(*_study_cells(study), style="red" if study.is_dead else None)
        tables.insert(0, table)
    return Group(*tables)


def batch_table(found: BatchSearch) -> Table:
    """Return what was found by batch size; the recommended one is marked, and in bold."""
    columns = ("batch size", "lr", "clips/s", "memory (MB)", found.metric)
    table = Table(*(Column(name, justify="right") for name in columns), "", box=None, pad_edge=False)
    for trial in found.trials:
        rung = trial.rung
        table.add_row(
            str(trial.size),
            f"{trial.lr:g}",
            _formatted(rung.samples_per_s, ".0f"),
            _formatted(rung.peak_memory_mb, ".0f"),
            "failed" if rung.value is None else f"{rung.value:.4f}",
            rung.reason if rung.value is None else "recommended" if trial is found.best else "",
            style="bold" if trial is found.best else None,
        )
    return table


def _study_cells(study: StudyStatus) -> tuple[str, ...]:
    values = study.values
    best = values.get("best_value")
    return (
        study.name,
        f"dead; auscult tune run {study.name} goes on" if study.is_dead else str(values.get("status")),
        _of(values.get("trials"), values.get("of")),
        str(values.get("complete", "")),
        str(values.get("failed", "")),
        "" if best is None else f"{values.get('metric')} {best:.4f}, trial {values.get('best_trial')}",
    )


def _cells(training: Watched) -> tuple[str, ...]:
    values = training.values
    monitor = values.get("monitor")
    monitored = None if monitor is None else values.get(monitor)
    why = values.get("resumed_because")
    attempt = str(values.get("attempt", ""))
    left_s = values.get("eta_s")
    return (
        training.name,
        training.status if values.get("reason") is None else f"{training.status}: {values['reason']}",
        _of(values.get("epoch"), values.get("epochs")),
        _of(values.get("batch"), values.get("n_batches")),
        _formatted(values.get("train/loss"), ".4f"),
        "" if monitored is None else f"{monitor} {monitored:.4f}",
        _formatted(values.get("samples_per_s"), ".0f"),
        _formatted(values.get("data_wait_share"), ".1%"),
        "" if left_s is None else duration_text(left_s),
        attempt if why is None else f"{attempt} ({why})",
    )


def _of(part: Any, whole: Any) -> str:
    return "" if part is None else f"{part}/{whole}"


def _formatted(value: Any, style: str) -> str:
    return "" if value is None else format(value, style)
