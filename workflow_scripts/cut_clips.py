"""Cut the recordings of one dataset into resampled clips of a fixed length; bring its pictures to one size."""

from pathlib import Path

import auscult.interrupts  # noqa: F401 (Ctrl-C is quiet from here on)
from auscult.audio.cut_clips import cut_clips
from auscult.config import ClipSettings, paths
from auscult.images.make_pictures import make_pictures
from auscult.logs import stage_log
from auscult.storage.hdf5 import Shard

with stage_log(snakemake.log[0], snakemake.input):
    shape = snakemake.params.shape
    settings = ClipSettings.model_validate(shape["settings"])
    shared = {
        "root": Path(paths.local_root(snakemake.wildcards.dataset, snakemake.params.dataset["root"])),
        "dataset": snakemake.wildcards.dataset,
        "tables_dir": Path(snakemake.input.recordings).parent,
        "settings": settings,
        "output": Path(snakemake.output[0]),
        "full_settings": shape["all"],
        "shard": Shard(**shape["shard"]),
        "threads": snakemake.threads,
    }
    if settings.is_image:
        make_pictures(**shared)
    else:
        cut_clips(
            **shared,
            channel=snakemake.params.dataset["channel"],
            full_scale=shape["all"].get("full_scale", 1.0),
        )
