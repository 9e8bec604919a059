"""A comparison of results as a page that stands alone, and in the terminal."""

from __future__ import annotations

import io
import shlex
from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from auscult.formatting.numbers import Number
from auscult.metrics.comparison import LETTERS, Line
from auscult.metrics.delong import AreaDifference
from auscult.plots.comparison import draw_curves, draw_differences
from auscult.plots.inline import PageFigure, inline_svg
from auscult.plots.style import styled
from auscult.reports.comparison import Comparison
from auscult.reports.html import page_templates
from auscult.reports.settings import settings_text
from auscult.storage.files import write_output


def signed(number: Number) -> str:
    """Return a difference with its sign, `undefined` where it is.

    >>> signed(Number(0.0312)), signed(Number(-1.25, is_percent=True)), signed(Number(None))
    ('+0.031', '−1.2', 'undefined')
    """
    is_positive = number.value is not None and number.value >= 0
    return f"+{number.value_text}" if is_positive else number.value_text


def interval(number: Number) -> str:
    """Return the interval of a difference, empty without one.

    >>> interval(Number(0.1, -0.02, 0.22))
    '−0.020 to +0.220'
    """
    if number.low is None or number.high is None:
        return ""
    ends = (signed(Number(end, is_percent=number.is_percent)) for end in (number.low, number.high))
    return " to ".join(ends)


def verdict(line: Line, number: Number) -> str:
    """Say whether an interval leaves zero out: `better`, `worse`, or nothing."""
    if number.low is None or number.high is None or number.low <= 0 <= number.high:
        return ""
    return "better" if (number.low > 0) != line.is_lower_better else "worse"


def p_text(p: float) -> str:
    """Return a p-value.

    >>> p_text(0.0432), p_text(2e-5)
    ('0.043', '< 0.001')
    """
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def delong_text(found: AreaDifference | None) -> str:
    """Return DeLong's answer in one line."""
    if found is None:
        return "undefined (too few patients of a class)"
    number = Number(found.value, found.low, found.high)
    return f"{signed(number)} ({interval(number)}), p {p_text(found.p)}"


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
            signed=signed,
            interval=interval,
            verdict=verdict,
            delong_text=delong_text,
            settings_text=settings_text,
        )
    )


def _figures(found: Comparison, number: int) -> list[PageFigure]:
    view = found.views[number]
    made: list[PageFigure] = []
    figure = draw_differences(view, LETTERS[: len(found.results)])
    caption = "Each result less A, with 95% intervals over patients. The line marks no difference."
    if figure is not None:
        made.append(PageFigure("Differences", caption, _inline(figure, f"v{number}-differences", caption)))
    if view.target is None:
        return made
    curves = draw_curves(found, view.target)
    caption = f"Test part, {found.level} level, all results on the same {found.level}s."
    for title, index in (("ROC curves", 0), ("Precision-recall curves", 1)):
        image = None if curves is None else _inline(curves[index], f"v{number}-curve{index}", f"{title}. {caption}")
        made.append(PageFigure(title, caption, image, "the test part holds one class only"))
    return made


def _inline(figure: Figure, prefix: str, label: str) -> Markup:
    buffer = io.StringIO()
    with styled():
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return inline_svg(buffer.getvalue(), prefix, label)


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
