"""The lists of datasets and layouts on the terminal, and a count of what is decoded."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from auscult.audio.probe import AudioFacts
from auscult.config import DatasetSettings
from auscult.config.paths import is_remote
from auscult.datasets.decode_audio import probe_of
from auscult.datasets.description import layout_lines
from auscult.datasets.listing import Listed
from auscult.formatting.numbers import plural
from auscult.formatting.terminal import Console, console, table

WIDE_WIDTH = 125
GENERAL_LAYOUTS = ("manifest", "uid_json", "label_folders", "files_csv", "label_images")


def print_datasets(datasets: Sequence[Listed]) -> None:
    """Print the datasets, one line each; on a narrow terminal three short ones."""
    screen = console()
    screen.print(_wide(datasets) if screen.width >= WIDE_WIDTH else _narrow(datasets))
    if any(listed.counts is None for listed in datasets):
        screen.print(
            "Counts come from work/tables; `auscult data describe NAME` reads a dataset without them.", style="dim"
        )


def _wide(datasets: Sequence[Listed]) -> Table:
    numbers = ("recordings", "patients", "hours")
    lines = table("dataset", "layout", "root", "tracked by", *numbers, "tasks", numbers=numbers)
    for listed in datasets:
        counts = listed.counts
        cells = ("", "", "")
        if counts is not None:
            cells = (f"{counts.recordings:,}", f"{counts.patients:,}", f"{counts.duration_h:,.2f}")
        settings = listed.settings
        tasks = ", ".join(listed.tasks) or "none"
        lines.add_row(listed.name, settings.layout, _root(listed), settings.tracked_by or "", *cells, tasks)
    return lines


def _narrow(datasets: Sequence[Listed]) -> Table:
    lines = table("dataset", "description")
    for listed in datasets:
        text = Text(f"layout {listed.settings.layout}, root ") + _root(listed)
        if listed.settings.tracked_by:
            text.append(f", tracked by {listed.settings.tracked_by}")
        if listed.counts is not None:
            counts = listed.counts
            text.append(
                f"\n{plural(counts.recordings, 'recording')} of {plural(counts.patients, 'patient')}, "
                f"{counts.duration_h:,.2f} h"
            )
        text.append(f"\ntasks: {', '.join(listed.tasks) or 'none'}")
        lines.add_row(listed.name, text)
    return lines


def _root(listed: Listed) -> Text:
    root = Text(listed.settings.root)
    if not listed.is_present:
        root.append(" (not fetched)" if is_remote(listed.settings.root) else " (absent)", style="yellow")
    return root


def print_layouts() -> None:
    """Print every layout with the first sentence of its reader; the general ones first."""
    lines = layout_lines()
    ordered = [*GENERAL_LAYOUTS, *(layout for layout in lines if layout not in GENERAL_LAYOUTS)]
    shown = table("layout", "what it reads")
    for layout in ordered:
        shown.add_row(layout, Text(lines[layout]))
    console().print(shown)
    console().print(
        "`auscult data layouts NAME` describes one layout; config/schema/dataset.json lists the keys of its YAML.",
        style="dim",
    )


@contextmanager
def counting_probe(settings: DatasetSettings) -> Generator[Callable[[Path], AudioFacts]]:
    """Yield what decodes files of a dataset; on a terminal those that it has decoded are counted on standard error.

    Args:
        settings: Of the dataset.
    """
    probe = probe_of(settings)
    columns = (SpinnerColumn(), TextColumn("{task.completed:,.0f} files decoded"), TimeElapsedColumn())
    screen = Console(stderr=True)
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as progress:
        task = progress.add_task("decoding", total=None)

        def counted(path: Path) -> AudioFacts:
            progress.advance(task)
            return probe(path)

        yield counted
