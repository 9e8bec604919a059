"""`auscult schema`: write the JSON schemas of the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from auscult.config.schema import write_schemas


def schema(out: Annotated[Path, typer.Option(help="Folder of the schemas.")] = Path("config/schema")) -> None:
    """Write config/schema/*.json, which editors use to complete and check the YAML files."""
    for path in write_schemas(out):
        typer.echo(f"wrote {path}")
