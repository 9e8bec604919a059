"""The layouts that can be read, each by the words of its own reader."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from auscult.config import DatasetSettings, TaskSettings
from auscult.config.paths import local_root
from auscult.config.plugins import find_plugin, unknown_plugin
from auscult.datasets.facts import Facts, collect
from auscult.datasets.readers import READERS
from auscult.datasets.sources import DatasetTables, has_tables, read_root, read_tables, root_folder
from auscult.datasets.tasks import TaskBalance, balances


def reader_doc(layout: str) -> str:
    """Return the docstring of a layout's reader: origin, layout, terms of use, known dirt.

    >>> reader_doc("perch").splitlines()[0][:6]
    'PERCH,'
    """
    if layout not in READERS:
        plugin = find_plugin("reader", layout)
        return f"Read by {plugin.where}." if plugin else unknown_plugin("reader", layout)
    return inspect.cleandoc(sys.modules[READERS[layout].__module__].__doc__ or "")


def layout_lines() -> dict[str, str]:
    """Return layout -> the first sentence of its reader's docstring, in the order of the registry."""
    return {layout: " ".join(reader_doc(layout).split("\n\n", 1)[0].split()) for layout in READERS}


EXAMPLES_SEED = 0


@dataclass(frozen=True)
class Description:
    """A dataset.

    Attributes:
        name: Its YAML file's stem.
        settings: What that file says.
        root: Where the recordings lie.
        tables: What the ingest found.
        origin: Where the tables come from, as a sentence.
        facts: The numbers.
        tasks: What is known for each task that maps it.
        reader_doc: The words of the layout's reader.
    """

    name: str
    settings: DatasetSettings
    root: Path
    tables: DatasetTables
    origin: str
    facts: Facts
    tasks: list[TaskBalance]
    reader_doc: str


def describe(
    name: str,
    settings: DatasetSettings,
    tasks: Mapping[str, TaskSettings],
    *,
    tables_dir: Path | None,
) -> Description:
    """Gather what is known of a dataset; nothing is written.

    Args:
        name: Its name, the first part of every id.
        settings: What its YAML file says.
        tasks: The project's tasks.
        tables_dir: The workflow's tables, used when they are there; None reads the root in any case.

    Raises:
        DataError: There are no tables and the root cannot be read.
    """
    root = Path(local_root(name, settings.root))
    if tables_dir is not None and has_tables(tables_dir):
        tables = read_tables(tables_dir)
        written = datetime.fromtimestamp((tables_dir / "summary.json").stat().st_mtime)
        origin = f"From {tables_dir}, written on {written:%Y-%m-%d at %H:%M}."
    else:
        tables = read_root(root_folder(name, settings), name, settings)
        why = "" if tables_dir is None else f": there are no tables in {tables_dir}"
        origin = f"Read from {settings.root} just now, into a temporary folder{why}."
    return Description(
        name=name,
        settings=settings,
        root=root,
        tables=tables,
        origin=origin,
        facts=collect(tables),
        tasks=balances(name, tables, tasks),
        reader_doc=reader_doc(settings.layout),
    )


def examples_generator() -> np.random.Generator:
    """Return the source of chance for examples: the same each time, so that two pages of one dataset agree."""
    return np.random.default_rng(EXAMPLES_SEED)
