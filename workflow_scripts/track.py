"""Log an experiment with MLflow: one parent run, one child run a job."""

from pathlib import Path

import auscult.interrupts  # noqa: F401 (Ctrl-C is quiet from here on)
from auscult import provenance, tracking
from auscult.config import Experiment, TaskSettings, TrackingSettings
from auscult.config.paths import result_dir
from auscult.logs import stage_log
from auscult.ops.bucket_work import STATE_FOLDER, fetch_folders
from auscult.storage.files import read_json

with stage_log(snakemake.log[0], snakemake.input):
    experiment = Experiment.model_validate(snakemake.params.experiment)
    result = result_dir(experiment.group, experiment.name)
    job_dirs = fetch_folders((Path(path).parent for path in snakemake.input.metrics), without=[STATE_FOLDER])
    summaries = {Path(path).parent.name: Path(path) for path in snakemake.input.summaries}
    simulated = [name for name, path in summaries.items() if "simulated" in read_json(path).get("notices", {})]
    tracking.track(
        experiment=experiment,
        task=TaskSettings.model_validate(snakemake.params.task),
        job_dirs=job_dirs,
        tracking=TrackingSettings.model_validate(snakemake.params.tracking),
        output=Path(snakemake.output[0]),
        provenance={
            **provenance.collect(
                command=f"snakemake --cores all {result}",
                inputs=summaries,
                contents={name: read_json(summaries[name])["content_sha256"] for name in snakemake.params.untracked},
                uses_pointer=len(snakemake.params.untracked) < len(summaries),
            ),
            "simulated": simulated,
        },
    )
