"""Decode the recordings of one shard of a dataset, the costly part of reading it, side by side with the others."""

from pathlib import Path

from pydantic import TypeAdapter

import auscult.interrupts  # noqa: F401 (Ctrl-C is quiet from here on)
from auscult.config import DatasetSettings, paths
from auscult.datasets.decode_audio import decode_audio
from auscult.logs import stage_log
from auscult.storage.hdf5 import Shard

with stage_log(snakemake.log[0], snakemake.input):
    dataset = TypeAdapter(DatasetSettings).validate_python(snakemake.params.dataset)
    decode_audio(
        Path(paths.local_root(snakemake.wildcards.dataset, dataset.root)),
        snakemake.wildcards.dataset,
        dataset,
        shard=Shard(int(snakemake.wildcards.part), int(snakemake.wildcards.parts)),
        output=Path(snakemake.output[0]),
    )
