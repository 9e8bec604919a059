"""Turn the clips of one dataset into embeddings of a frozen encoder; all probes of that encoder read them."""

from pathlib import Path

import auscult.interrupts  # noqa: F401 (Ctrl-C is quiet from here on)
from auscult.logs import stage_log
from auscult.models.embeddings import embed_clips

with stage_log(snakemake.log[0], snakemake.input):
    shape = snakemake.params.shape
    embed_clips(
        stored=Path(snakemake.input.stored),
        encoder=Path(shape["encoder"]),
        output=Path(snakemake.output[0]),
        full_settings=shape["all"],
        dataset=snakemake.wildcards.dataset,
        device=snakemake.config["device"],
        threads=snakemake.threads,
    )
