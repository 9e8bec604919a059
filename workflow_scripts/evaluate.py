"""Judge one trained job on the test part, at the operating point that validation gave."""

from pathlib import Path

import auscult.interrupts  # noqa: F401 (Ctrl-C is quiet from here on)
from auscult.config import JobSettings, TaskSettings
from auscult.config.paths import tables_dir
from auscult.evaluation.evaluate import evaluate
from auscult.logs import stage_log
from auscult.storage.test_readings import READINGS

with stage_log(snakemake.log[0]):
    job = JobSettings.model_validate(snakemake.params.job)
    run_dir = Path(snakemake.output.metrics).parent
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
