"""What `auscult data draft` says: what was taken for what, what was not used, and what to do next."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from rich.prompt import IntPrompt
from rich.text import Text

from auscult.datasets.draft.proposal import Ask, Drafted
from auscult.formatting.numbers import plural
from auscult.formatting.terminal import console, table


def asker(*, yes: bool) -> Ask | None:
    """Return what asks on the terminal; None where nobody answers, or wants to be asked."""
    return None if yes or not sys.stdin.isatty() else _ask


def _ask(question: str, answers: Sequence[str], best: str) -> str:
    screen = console()
    screen.print(Text(question))
    for number, answer in enumerate(answers, 1):
        screen.print(Text(f"  {number}  {answer}"))
    numbers = [str(number) for number in range(1, len(answers) + 1)]
    try:
        return answers[IntPrompt.ask("Number", choices=numbers, default=answers.index(best) + 1) - 1]
    except EOFError:
        return best


def print_draft(drafted: Drafted) -> None:
    """Print a draft: ten guesses and what each rests on, doubts, what was not used, and the next two commands."""
    screen = console()
    shown = table("what", "taken from", "what it rests on", title=f"{drafted.path}")
    for what, taken, basis in draft_rows(drafted):
        shown.add_row(what, Text(taken), Text(basis))
    screen.print(shown)
    doubts = [doubt for doubt in drafted.proposal.doubts if doubt != drafted.changes]
    for title, lines in (("Look at this", doubts), ("Not used", drafted.proposal.unused)):
        if lines:
            screen.print(f"{title}:", style="bold")
            for line in lines:
                screen.print(Text(f"  {line}"))
    if drafted.path.resolve() != drafted.place.resolve():
        screen.print(Text(f"The workflow looks for it at {drafted.place}: move it there first."))
    if drafted.changes is not None:
        screen.print(Text(f"First, in {drafted.path}:", style="bold"))
        screen.print(Text(f"  {drafted.changes}"))
    screen.print("Next:", style="bold")
    # A command that is broken over two lines cannot be copied.
    screen.print(f"  auscult data verify {drafted.name}", soft_wrap=True)
    screen.print(f"  snakemake --cores all results/{drafted.task}/{drafted.name}", soft_wrap=True)


def draft_rows(drafted: Drafted) -> list[tuple[str, str, str]]:
    """Return the ten rows: what, taken from, what it rests on."""
    proposal, tables = drafted.proposal, drafted.tables
    settings, task = proposal.settings, drafted.guess.settings
    columns = settings.get("columns", {})

    def say(*place: str) -> str:
        said = [text for at, text in proposal.comments.items() if at[: len(place)] == place]
        return "; ".join(said)

    recordings = f"{plural(len(tables.recordings), 'recording')} read, {len(tables.rejected)} rejected"
    n_patients = plural(len(set(tables.recordings["patient_id"])), "patient")
    joined = [str(join["table"]) for join in settings.get("join", ())]
    is_own = settings["layout"] == "manifest"
    names = ", ".join(key for key in ("pattern", "path_pattern") if key in settings)
    absent = "not found" if is_own else f"the layout {settings['layout']}"
    no_patient = "each recording is one" if is_own else absent
    return [
        ("recordings", _shown(columns.get("path")) or f"the layout {settings['layout']}", recordings),
        ("table", settings.get("manifest") or names or "none", say("manifest") or say("pattern") or say("layout")),
        ("joined", ", ".join(joined) or "none", say("join")),
        ("patient", _shown(columns.get("patient")) or no_patient, say("columns", "patient") or n_patients),
        ("labels", ", ".join(columns.get("labels", ())) or absent, say("columns", "labels")),
        (
            "events",
            settings.get("annotations", {}).get("files") or _shown(columns.get("event")) or absent,
            say("annotations") or say("columns", "event") or plural(len(tables.events), "event"),
        ),
        ("sex", _shown(columns.get("sex")) or absent, say("columns", "sex")),
        ("age", _shown(columns.get("age_years")) or absent, say("columns", "age_years")),
        ("task", f"{drafted.task}, {task['type']}: {', '.join(task['targets'])}", drafted.guess.reason),
        ("split", "patients" if drafted.is_feasible else "not feasible yet", drafted.split),
    ]


def _shown(column: Any) -> str:
    if isinstance(column, dict):
        return str(column.get("column") or f"{column['born']} to {column['at']}")
    return "" if column is None else str(column)
