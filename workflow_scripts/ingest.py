"""Read the raw layout of one dataset into tables.

Out come the recordings and events that could be placed, `rejected.csv` with what could not and why, and a summary.
"""

from pathlib import Path

from pydantic import TypeAdapter

import auscult.interrupts  # noqa: F401 (Ctrl-C is quiet from here on)
from auscult.config import DatasetSettings, paths
from auscult.datasets.ingest import ingest
from auscult.logs import stage_log

with stage_log(snakemake.log[0], snakemake.input):
    dataset = TypeAdapter(DatasetSettings).validate_python(snakemake.params.dataset)
    ingest(
        root=Path(paths.local_root(snakemake.wildcards.dataset, dataset.root)),
        dataset=snakemake.wildcards.dataset,
        settings=dataset,
        output_dir=Path(snakemake.output.summary).parent,
        audio_facts=[Path(path) for path in snakemake.input.audio_facts],
    )
