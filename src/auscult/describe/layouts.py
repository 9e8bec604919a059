"""The layouts that can be read, each by the words of its own reader."""

from __future__ import annotations

import inspect
import sys

from auscult.corpora import READERS


def reader_doc(layout: str) -> str:
    """Return the docstring of a layout's reader: origin, layout, terms of use, known dirt.

    >>> reader_doc("perch").splitlines()[0][:6]
    'PERCH,'
    """
    return inspect.cleandoc(sys.modules[READERS[layout].__module__].__doc__ or "")


def layout_lines() -> dict[str, str]:
    """Return layout -> the first sentence of its reader's docstring, in the order of the registry."""
    return {layout: " ".join(reader_doc(layout).split("\n\n", 1)[0].split()) for layout in READERS}
