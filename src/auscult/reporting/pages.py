"""Templates of pages that stand alone: strict about names, safe about text, all in the look of the reports."""

from __future__ import annotations

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, select_autoescape

_PACKAGE = "auscult.reporting"


def page_templates(package: str = _PACKAGE) -> Environment:
    """Return the templates of a package; those of the reports, with their style, can be included in them."""
    return Environment(
        loader=ChoiceLoader([PackageLoader(name, "templates") for name in dict.fromkeys((package, _PACKAGE))]),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
