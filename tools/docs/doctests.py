"""Show the examples of a docstring as code: an extension of griffe, which reads the source for the API's pages."""

from __future__ import annotations

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^([ ]*)>>> .*(?:\n[ ]*\S.*)*", re.MULTILINE)


class FencedDoctests(griffe.Extension):
    """Put each run of lines from `>>>` to the next blank line between fences; Markdown would read it as prose."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring that was read, never the file."""
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(docstring: str) -> str:
    """A docstring with its examples between fences, at their own indentation."""
    return _EXAMPLE.sub(r"\1```pycon\n\g<0>\n\1```", docstring)
