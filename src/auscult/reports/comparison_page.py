"""A comparison of results as a page that stands alone, and in the terminal."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from auscult.formatting.numbers import Number, p_text, plural
from auscult.formatting.terminal import Console
from auscult.metrics.comparison import LETTERS, Line
from auscult.metrics.delong import AreaDifference
from auscult.metrics.multiplicity import holm
from auscult.plots.comparison import draw_curves, draw_differences
from auscult.plots.inline import PageFigure, page_figure
from auscult.reports.html import page_templates
from auscult.reports.settings import settings_text
from auscult.storage.files import write_output

if TYPE_CHECKING:
    from auscult.evaluation.compare import Comparison

_VERDICT_COLOURS = {"better": "green", "worse": "red"}


def delong_texts(found: Sequence[AreaDifference | None]) -> list[str]:
    """Return DeLong's difference, interval and p-value of each result in one line; of several, Holm's p too."""
    adjusted = holm([None if one is None else one.p for one in found])
    return [_delong_text(one, p if len(found) > 1 else None) for one, p in zip(found, adjusted, strict=True)]


def _delong_text(found: AreaDifference | None, adjusted: float | None) -> str:
    if found is None:
        return "not tested (too few patients of a class, or areas without variance)"
    text = f"{_difference(Number(found.value, found.low, found.high))}, p {p_text(found.p)}"
    return text if adjusted is None else f"{text}, by Holm {p_text(adjusted)}"


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
            correction=correction_text(found),
            p_text=p_text,
            delong_texts=delong_texts,
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
        f"Differences are to A, with 95% intervals by paired bootstrap ({found.resamples:,} resamples of patients). "
        f"Words and p are corrected for all that is compared: {correction_text(found)}.\n",
        highlight=False,
    )
    for label, result in zip(found.labels, found.results, strict=True):
        console.print(f"{label}  ({result.model})", highlight=False)
    for view in found.views:
        console.print()
        console.print(_metrics(found, f"{view.name}: {view.people}" if view.people else view.name, view.lines))
        if view.too_few:
            console.print(f"  {view.too_few}", style="yellow", highlight=False)
        for letter, text in zip(LETTERS[1:], delong_texts(view.delong), strict=False):
            console.print(f"  AUROC by DeLong, {letter} − A: {text}", highlight=False)
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
        cells += [_coloured(line, other) for other in range(len(line.differences))]
        table.add_row(line.metric + (" ↓" if line.is_lower_better else ""), *cells)
    return table


def _difference(number: Number) -> str:
    interval = number.signed_interval_text
    return f"{number.signed_text} ({interval})" if interval else number.signed_text


def correction_text(found: Comparison) -> str:
    """Return over what the words and p-values of a comparison are corrected, and how."""
    n_figures = sum(len(view.lines) for view in found.views)
    n_others = len(found.results) - 1
    return (
        f"{found.views[0].lines[0].metric} is primary, and all {plural(n_figures * n_others, 'difference')} together "
        "are called better or worse by chance at most once in 20 such comparisons (step-down maximum statistic)"
    )


def _coloured(line: Line, other: int) -> str:
    number, word, p = line.differences[other], line.verdict(other), line.p[other]
    text = _difference(number)
    if not word or p is None:
        return text
    return f"[{_VERDICT_COLOURS[word]}]{text} {word} (p {p_text(p)})[/]"


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
