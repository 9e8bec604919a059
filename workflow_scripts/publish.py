"""Gather all jobs of an experiment into its result folder, with a report that stands alone."""

from pathlib import Path

import auscult.interrupts  # noqa: F401 (Ctrl-C is quiet from here on)
from auscult import provenance
from auscult.config import Experiment, TaskSettings, load_project
from auscult.config.paths import result_dir
from auscult.logs import stage_log
from auscult.ops.bucket_work import STATE_FOLDER, fetch_folders, note_readings
from auscult.ops.result_bucket import send_published
from auscult.reports.publish import publish
from auscult.run_events.live import tell_published
from auscult.storage.files import read_json
from auscult.storage.study_ids import KEY_FILE, StudyIds

with stage_log(snakemake.log[0], snakemake.input):
    experiment = Experiment.model_validate(snakemake.params.experiment)
    result = result_dir(experiment.group, experiment.name)
    summaries = {Path(path).parent.name: Path(path) for path in snakemake.input.summaries}
    job_dirs = fetch_folders((Path(path).parent for path in snakemake.input.metrics), without=[STATE_FOLDER])
    fetch_folders(Path(path).parent for path in snakemake.input.audits)
    note_readings(job_dirs)
    ids = StudyIds.read({name: path.parent for name, path in summaries.items()}, show_names=snakemake.params.show_names)
    ids.write_key(Path(snakemake.input.tracked).with_name(KEY_FILE))
    publish(
        experiment=experiment,
        task=TaskSettings.model_validate(snakemake.params.task),
        job_dirs=job_dirs,
        audits=[Path(path) for path in snakemake.input.audits],
        summaries=summaries,
        output_dir=Path(snakemake.output[0]),
        provenance={
            **provenance.collect(
                command=f"snakemake --cores all {result}",
                inputs=summaries,
                contents={name: read_json(summaries[name])["content_sha256"] for name in snakemake.params.untracked},
                uses_pointer=len(snakemake.params.untracked) < len(summaries),
            ),
            "tracking": read_json(Path(snakemake.input.tracked)),
            **({"plugins": dict(snakemake.params.plugins)} if snakemake.params.plugins else {}),
        },
        ids=ids,
        studies=[Path(path) for path in snakemake.input.studies],
        protocol=next(map(Path, snakemake.input.protocol), None),
        search=next(map(Path, snakemake.input.search), None),
    )
    project = load_project(snakemake.config)
    if project.publish_to is not None:
        send_published(Path(snakemake.output[0]), project.publish_to, with_names=snakemake.params.show_names)
    tell_published(
        project.events,
        group=experiment.group,
        experiment=experiment.name,
        jobs=[run.id for run in experiment.runs],
        folder=Path(snakemake.input.tracked).parent,
    )
