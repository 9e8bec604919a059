"""A comparison in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from auscult.comparison.differences import Line
from auscult.comparison.run import LETTERS, Comparison
from auscult.comparison.wording import delong_text, interval, signed, verdict
from auscult.presentation import Number
from auscult.reporting.settings import settings_text

_COLOURS = {"better": "green", "worse": "red", "": "none"}


def print_comparison(found: Comparison, console: Console) -> None:
    """Print which results, their metrics and differences, DeLong's test, and the settings that differ."""
    console.print(f"{found.results[0].task_name}: {found.counts}, judged by {found.level}.", highlight=False)
    console.print(
        f"Differences are to A, with 95% intervals by {found.draws:,} draws of patients, the same for all.\n",
        highlight=False,
    )
    for label, result in zip(found.labels, found.results, strict=True):
        console.print(f"{label}  ({result.model})", highlight=False)
    for view in found.views:
        console.print()
        console.print(_metrics(found, view.name, view.lines))
        for letter, answer in zip(LETTERS[1:], view.delong, strict=False):
            console.print(f"  AUROC by DeLong, {letter} − A: {delong_text(answer)}", highlight=False)
    console.print()
    console.print(_settings(found))


def _metrics(found: Comparison, name: str, lines: list[Line]) -> Table:
    table = Table(title=name, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("")
    letters = LETTERS[: len(found.results)]
    for letter in letters:
        table.add_column(letter, justify="right")
    for letter in letters[1:]:
        table.add_column(f"{letter} − A", justify="left")
    for line in lines:
        cells = [_value(number) for number in line.values]
        cells += [_difference(line, number) for number in line.differences]
        table.add_row(line.metric + (" ↓" if line.is_lower_better else ""), *cells)
    return table


def _value(number: Number) -> str:
    return f"{number.value_text} ({number.interval_text})" if number.interval_text else number.value_text


def _difference(line: Line, number: Number) -> str:
    word = verdict(line, number)
    between = interval(number)
    text = f"{signed(number)} ({between})" if between else signed(number)
    return f"[{_COLOURS[word]}]{text} {word}[/]" if word else text


def _settings(found: Comparison) -> Table:
    table = Table(title="What differs", title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("setting")
    for letter in LETTERS[: len(found.results)]:
        table.add_column(letter, overflow="fold")
    for key, values in found.settings:
        table.add_row(key, *[settings_text(value) for value in values])
    if not found.settings:
        table.add_row("no setting", *["" for _ in found.results])
    for index, (name, _) in enumerate(found.results[0].facts):
        table.add_row(name, *[result.facts[index][1] for result in found.results], style="dim")
    return table
