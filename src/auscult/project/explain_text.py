"""An explanation for the terminal."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.table import Table

from auscult.formatting.numbers import plural
from auscult.project.explain import Explanation


def print_explanation(found: Explanation, console: Console) -> None:
    """Print what would run, why, and the estimate."""
    for line in found.changes:
        console.print(f"since it was published, {line}", markup=False, highlight=False, soft_wrap=True)
    if not found.jobs:
        console.print(f"{found.target} is up to date: nothing would run", markup=False, highlight=False)
        return
    table = Table("what would run", "why", "estimate", box=None, pad_edge=False)
    for job in found.jobs:
        seconds = job.cost.seconds
        estimate = "unknown" if seconds is None else f"{duration(seconds)} ({job.cost.basis})"
        table.add_row(job.message, "\n".join(job.reasons), estimate)
    console.print(table, markup=False, highlight=False)
    memory = max((job.cost.memory_mb or 0.0 for job in found.jobs), default=0.0)
    text = f"{plural(len(found.jobs), 'job')}, about {duration(found.known_s)} one after another"
    if memory:
        text += f", at most {memory:,.0f} MB at a time"
    if found.n_unknown:
        bases = Counter(job.cost.basis for job in found.jobs if job.cost.seconds is None)
        text += f"; {found.n_unknown} without an estimate ({', '.join(bases)})"
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """Return a time for people.

    >>> duration(4.2), duration(75), duration(7300), duration(200000)
    ('4 s', '1 min 15 s', '2 h 1 min', '2 d 7 h')
    """
    whole = round(seconds)
    for unit, name, below, below_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= unit:
            return f"{whole // unit} {name} {whole % unit // below} {below_name}"
    return f"{whole} s"
