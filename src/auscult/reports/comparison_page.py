"""A comparison of results as a page that stands alone, and in the terminal."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from auscult.formatting.numbers import Number, p_text
from auscult.metrics.comparison import LETTERS, Line
from auscult.metrics.delong import AreaDifference
from auscult.plots.comparison import draw_curves, draw_differences
from auscult.plots.inline import PageFigure, page_figure
from auscult.reports.html import page_templates
from auscult.reports.settings import settings_text
from auscult.storage.files import write_output

if TYPE_CHECKING:
    from auscult.evaluation.compare import Comparison

_VERDICT_COLOURS = {"better": "green", "worse": "red"}


def verdict(line: Line, number: Number) -> str:
    """Return `better` or `worse` where the interval excludes zero; else nothing."""
    if number.low is None or number.high is None or number.low <= 0 <= number.high:
        return ""
    return "better" if (number.low > 0) != line.is_lower_better else "worse"


def delong_text(found: AreaDifference | None) -> str:
    """Return DeLong's difference, interval and p-value in one line."""
    if found is None:
        return "undefined (too few patients of a class)"
    return f"{_difference(Number(found.value, found.low, found.high))}, p {p_text(found.p)}"


def write_page(found: Comparison, path: Path) -> None:
    """Write the page of a comparison.

    Raises:
        ConfigError: The path cannot be written.
    """
    write_output(path, render(found))


def render(found: Comparison) -> str:
    """Return the page."""
    first = found.results[0]
    return (
        page_templates()
        .get_template("compare.html.j2")
        .render(
            found=found,
            title=f"{first.task_name}: {len(found.results)} results",
            letters=list(LETTERS[: len(found.results)]),
            figures=[_figures(found, number) for number in range(len(found.views))],
            facts=[
                (name, [result.facts[index][1] for result in found.results])
                for index, (name, _) in enumerate(first.facts)
            ],
            command="auscult compare " + " ".join(shlex.quote(result.folder.as_posix()) for result in found.results),
            verdict=verdict,
            delong_text=delong_text,
            settings_text=settings_text,
        )
    )


def _figures(found: Comparison, number: int) -> list[PageFigure]:
    view = found.views[number]
    made: list[PageFigure] = []
    figure = draw_differences(view, LETTERS[: len(found.results)])
    caption = "Each result minus A, with 95% intervals over patients."
    if figure is not None:
        made.append(page_figure(figure, f"v{number}-differences", "Differences", caption))
    if view.target is None:
        return made
    curves = draw_curves(found, view.target)
    caption = f"Test set, {found.level} level."
    for title, index in (("ROC curves", 0), ("Precision-recall curves", 1)):
        if curves is None:
            made.append(PageFigure(title, caption, None, "the test set has one class only"))
        else:
            made.append(page_figure(curves[index], f"v{number}-curve{index}", title, caption))
    return made


def print_comparison(found: Comparison, console: Console) -> None:
    """Print the results, their metrics and differences, DeLong's test, and the settings that differ."""
    console.print(f"{found.results[0].task_name}: {found.counts}, {found.level} level.", highlight=False)
    console.print(
        f"Differences are to A, with 95% intervals by paired bootstrap ({found.resamples:,} resamples of patients).\n",
        highlight=False,
    )
    for label, result in zip(found.labels, found.results, strict=True):
        console.print(f"{label}  ({result.model})", highlight=False)
    for view in found.views:
        console.print()
        console.print(_metrics(found, view.name, view.lines))
        for letter, difference in zip(LETTERS[1:], view.delong, strict=False):
            console.print(f"  AUROC by DeLong, {letter} − A: {delong_text(difference)}", highlight=False)
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
        cells = [number.text for number in line.values]
        cells += [_coloured(line, number) for number in line.differences]
        table.add_row(line.metric + (" ↓" if line.is_lower_better else ""), *cells)
    return table


def _difference(number: Number) -> str:
    interval = number.signed_interval_text
    return f"{number.signed_text} ({interval})" if interval else number.signed_text


def _coloured(line: Line, number: Number) -> str:
    word = verdict(line, number)
    return f"[{_VERDICT_COLOURS[word]}]{_difference(number)} {word}[/]" if word else _difference(number)


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
