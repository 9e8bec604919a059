"""Divide the patients of a task's datasets into train, val and test, and audit the result for leakage."""

from pathlib import Path

from pydantic import TypeAdapter

import auscult.interrupts  # noqa: F401 (Ctrl-C is quiet from here on)
from auscult.config import SplitSettings, TaskSettings
from auscult.config.paths import tables_dir
from auscult.logs import stage_log
from auscult.splits.make_split import make_split

with stage_log(snakemake.log[0], snakemake.input):
    shape = snakemake.params.shape
    make_split(
        tables={name: Path(tables_dir(name)) for name in shape["datasets"]},
        settings=TypeAdapter(SplitSettings).validate_python(shape["settings"]),
        task=TaskSettings.model_validate(shape["task"]),
        output=Path(snakemake.output.split),
        audit=Path(snakemake.output.audit),
    )
