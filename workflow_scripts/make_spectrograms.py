"""Turn the clips of one dataset into log-mel spectrograms."""

from pathlib import Path

import auscult.interrupts  # noqa: F401 (Ctrl-C is quiet from here on)
from auscult.config import SpectrogramSettings
from auscult.logs import stage_log
from auscult.spectrograms.make_spectrograms import make_spectrograms

with stage_log(snakemake.log[0], snakemake.input):
    shape = snakemake.params.shape
    make_spectrograms(
        clips=Path(snakemake.input.clips),
        settings=SpectrogramSettings.model_validate(shape["settings"]),
        output=Path(snakemake.output[0]),
        full_settings=shape["all"],
        dataset=snakemake.wildcards.dataset,
        threads=snakemake.threads,
    )
