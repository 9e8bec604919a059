"""Pages that stand alone: strict templates, escaped text, docstrings as HTML."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from auscult.formatting.numbers import metric_text
from auscult.provenance import redact


def page_templates() -> Environment:
    """Return the templates of all pages, with the filters `count`, `metric` and `redact`."""
    environment = Environment(
        loader=PackageLoader("auscult.reports", "templates"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": "{:,}".format, "metric": metric_text, "redact": redact}
    return environment


@dataclass(frozen=True)
class PageScript:
    """The script of a page, and the source by which its content security policy allows it and no other.

    Attributes:
        text: The script itself.
        digest: `sha256-…` of it.
    """

    text: Markup
    digest: str


def page_script() -> PageScript:
    """Return what sorts and saves the tables of a page."""
    text = files("auscult.reports").joinpath("templates", "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
    return PageScript(Markup(text), f"sha256-{digest}")  # noqa: S704 (a file of this package)


_CODE = re.compile(r"`([^`]+)`")
_ITEM = "- "


def doc_html(text: str) -> Markup:
    r"""Return a docstring's text as HTML; whatever it holds is escaped.

    >>> print(doc_html("One <b>.\n\n- `a.wav`;\n- two\n  lines."))
    <p>One &lt;b&gt;.</p>
    <ul><li><code>a.wav</code>;</li><li>two lines.</li></ul>
    """
    blocks = [_block(block.splitlines()) for block in re.split(r"\n\s*\n", text.strip())]
    return Markup("\n").join(blocks)


def _block(lines: list[str]) -> Markup:
    if not lines or not lines[0].startswith(_ITEM):
        return Markup("<p>{}</p>").format(_inline(" ".join(line.strip() for line in lines)))
    items: list[list[str]] = []
    for line in lines:
        if line.startswith(_ITEM):
            items.append([line.removeprefix(_ITEM)])
        else:
            items[-1].append(line.strip())
    return Markup("<ul>{}</ul>").format(
        Markup("").join(Markup("<li>{}</li>").format(_inline(" ".join(item))) for item in items)
    )


def _inline(text: str) -> Markup:
    # Escaped first, so that text between backticks stays text.
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704
