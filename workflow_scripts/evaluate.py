"""Judge one trained job on the test part, at the operating point that validation gave."""

from pathlib import Path

import auscult.interrupts  # noqa: F401 (Ctrl-C is quiet from here on)
from auscult.config import JobSettings, TaskSettings
from auscult.config.paths import tables_dir
from auscult.evaluation.evaluate import evaluate
from auscult.logs import stage_log
from auscult.ops.bucket_work import STATE_FOLDER, carried
from auscult.storage.test_readings import READINGS

with stage_log(snakemake.log[0], snakemake.input):
    job = JobSettings.model_validate(snakemake.params.job)
    run_dir = Path(snakemake.output.metrics).parent
    with carried(run_dir, snakemake.output, without=[STATE_FOLDER]):
        evaluate(
            model_dir=run_dir,
            features={name: [Path(path) for path in paths] for name, paths in snakemake.params.features.items()},
            clips={name: [Path(path) for path in paths] for name, paths in snakemake.params.clips.items()},
            embeddings={name: [Path(path) for path in paths] for name, paths in snakemake.params.embeddings.items()},
            tables={name: Path(tables_dir(name)) for name in job.datasets},
            split=Path(snakemake.input.split),
            job=job,
            task=TaskSettings.model_validate(snakemake.params.task),
            output_dir=run_dir,
            device=snakemake.config["device"],
            show_names=snakemake.params.show_names,
            readings=READINGS,
        )
