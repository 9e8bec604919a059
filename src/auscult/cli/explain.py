"""`auscult explain`: what would run again, why, and what it costs."""

from __future__ import annotations

from typing import Annotated

import typer


def explain(
    target: Annotated[str, typer.Argument(help="Such as results/pneumonia/train2356, or a file of the workflow.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(help="More for Snakemake, after --, such as -- --config device=cpu")
    ] = None,
) -> None:
    """Explain what would run for a target and why, what changed since it was published, and what it may cost."""
    from rich.console import Console  # noqa: PLC0415 (`--help` stays quick)

    from auscult.project.explain import explain as explain_target  # noqa: PLC0415
    from auscult.project.explain_text import print_explanation  # noqa: PLC0415

    print_explanation(explain_target(target, arguments or ()), Console())
