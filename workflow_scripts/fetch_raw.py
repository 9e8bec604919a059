"""Bring the files of a dataset in a bucket into `work/raw`, and list them.

What is there already is not downloaded again. `auscult data fetch` looks whether the bucket has changed since.
"""

from pathlib import Path

import auscult.interrupts  # noqa: F401 (Ctrl-C is quiet from here on)
from auscult.config import paths
from auscult.datasets.fetch_raw import fetch
from auscult.errors import ConfigError
from auscult.logs import stage_log

with stage_log(snakemake.log[0], snakemake.input):
    dataset = snakemake.wildcards.dataset
    root = snakemake.params.root
    if not paths.is_remote(root):
        raise ConfigError(f"{dataset}: its root {root} is a folder; there is nothing to fetch")
    fetch(
        root=root,
        cache=Path(paths.raw_cache_dir(dataset)),
        listing=Path(snakemake.output[0]),
    )
