"""What is printed on a terminal: whatever names and cells hold, nothing in them is obeyed by it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import rich.console
from rich import box
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table

from auscult.logs import visible

PIPED_WIDTH = 200
"""Where the output is no terminal: wide enough that `grep` finds whole lines."""


class Console(rich.console.Console):
    """Rich's console, on which all text is as `visible` shows it; colours and cursor are Rich's own."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of what is printed."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)


def console() -> Console:
    """Return a console on standard output."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=PIPED_WIDTH)


def table(*columns: str, numbers: Sequence[str] = (), title: str | None = None) -> Table:
    """Return an empty table in the common style; the columns in `numbers` are aligned right."""
    made = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        # Folded instead of cut: names must be readable on a narrow terminal too.
        made.add_column(name, justify="right" if name in numbers else "left", no_wrap=name in numbers, overflow="fold")
    return made
