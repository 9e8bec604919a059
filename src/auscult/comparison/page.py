"""A comparison's page: one HTML file, nothing loaded from anywhere, in the look of the reports."""

from __future__ import annotations

import io
import shlex
from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import Figure

from auscult.comparison.figures import draw_curves, draw_differences
from auscult.comparison.run import LETTERS, Comparison
from auscult.comparison.wording import delong_text, interval, signed, verdict
from auscult.figures.style import styled
from auscult.outputs import write_output
from auscult.reporting.page import PageFigure
from auscult.reporting.pages import page_templates
from auscult.reporting.settings import settings_text
from auscult.reporting.svg import inline_svg


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
        page_templates("auscult.comparison")
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
