"""Log an experiment with MLflow after its jobs are evaluated: one parent run, one child run a job.

What is logged is a function of the jobs' folders, so logging again changes nothing: a run is found by its tags, not by
memory. A run that was left half written is completed by what it lacks; one whose job has changed since is marked
`auscult.superseded`. Nothing that names a patient, a recording or an absolute path is logged.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auscult.config import Experiment, TaskSettings, TrackingSettings
from auscult.config.paths import result_dir
from auscult.provenance import data_key, redact
from auscult.storage.files import settings_key, write_json
from auscult.tracking.jobs import JobRecord, read_jobs
from auscult.tracking.metrics import agree, lacking
from auscult.tracking.params import experiment_settings, job_params, redacted, without_wording
from auscult.tracking.register import register_models
from auscult.tracking.store import TrackingUnavailableError, connect, tracking_faults
from auscult.tracking.writer import (
    TAG_COMPLETE,
    TAG_CONTENT,
    TAG_EXPERIMENT,
    TAG_JOB,
    TAG_KIND,
    TAG_NOTE,
    TAG_PARENT,
    TAG_RESULT,
    TAG_SETTINGS,
    TAG_SUPERSEDED,
    TAG_TASK,
    RunWriter,
    is_alive,
    provenance_tags,
)

if TYPE_CHECKING:
    from mlflow.entities import Run

REQUEST_FILE = "tracking_request.json"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Outcome:
    experiment_id: str
    parent: str
    children: dict[str, str]


def track(
    experiment: Experiment,
    task: TaskSettings,
    job_dirs: list[Path],
    *,
    tracking: TrackingSettings,
    output: Path,
    provenance: Mapping[str, Any],
) -> None:
    """Log `experiment` and write to `output` where it was logged, or why it was not.

    Args:
        experiment: Resolved.
        task: Its task.
        job_dirs: One folder a job, in their order, each trained and evaluated.
        tracking: Where to log. When it is off MLflow is not even imported.
        output: JSON with `enabled`, `reached`, `complete`, `reason`, `uri`, `experiment` (name and id), `parent` and
            `children` (run ids), `withheld` (files of each job that are not uploaded because they hold an id),
            `registered` (model and version of each job). Beside it stands what `sync` needs to log the same again.
        provenance: As `auscult.provenance.collect` gives it.

    Raises:
        DataError: A job's folder is not whole. A store that cannot be reached raises nothing: it is a warning, and
            `output` says so.
    """
    report: dict[str, Any] = {
        "enabled": tracking.enabled,
        "reached": False,
        "complete": False,
        "reason": None,
        "uri": redact(tracking.uri),
        "experiment": None,
        "parent": None,
        "children": {},
        "withheld": {},
        "registered": {},
    }
    _write_request(output, experiment, task, job_dirs, provenance)
    if not tracking.enabled:
        write_json(output, {**report, "reason": "tracking is off (tracking.enabled in config/config.yaml)"})
        return
    jobs = read_jobs(experiment, task, job_dirs)
    for job in jobs:
        if job.withheld:
            report["withheld"][job.id] = job.withheld
            logger.warning(
                "job %s: not uploaded, for they hold a patient's or recording's id: %s", job.id, job.withheld
            )
    try:
        writer = RunWriter(connect(tracking.uri), tracking.uri)
        report["reached"] = True
        outcome = _log(writer, experiment, task, jobs, provenance=provenance, uri=tracking.uri)
        if tracking.register_model:
            report["registered"] = register_models(
                writer,
                f"{experiment.group}/{experiment.name}",
                task,
                jobs,
                children=outcome.children,
                provenance=provenance,
            )
    except TrackingUnavailableError as error:
        report["reason"] = str(error)
    except tracking_faults() as error:
        report["reason"] = redact(f"{type(error).__name__}: {error}")
    else:
        report |= {
            "complete": True,
            "experiment": {"name": experiment.task, "id": outcome.experiment_id},
            "parent": outcome.parent,
            "children": outcome.children,
        }
    if report["reason"] is not None:
        logger.warning("not logged with MLflow; `auscult sync` completes it: %s", report["reason"])
    write_json(output, report)


def _write_request(
    output: Path, experiment: Experiment, task: TaskSettings, job_dirs: list[Path], provenance: Mapping[str, Any]
) -> None:
    """Write beside `output` what is logged, so that it can be logged again, or elsewhere, under later settings too."""
    request = {
        "experiment": experiment.model_dump(mode="json"),
        "task": task.model_dump(mode="json"),
        "job_dirs": [str(folder) for folder in job_dirs],
        "provenance": provenance,
    }
    write_json(output.with_name(REQUEST_FILE), request)


def _grown(writer: RunWriter, runs: list[Run], job: JobRecord, uri: str) -> Run | None:
    """Return the run that grew while the job was trained, if all that stands there is of this training."""
    for run in runs:
        if (
            job.live_run == (redact(uri), run.info.run_id)
            and TAG_CONTENT not in run.data.tags
            and run.data.params.items() <= job.params.items()
            and agree(writer.history(run.info.run_id), job.points)
        ):
            return run
    return None


def _log(
    writer: RunWriter,
    experiment: Experiment,
    task: TaskSettings,
    jobs: list[JobRecord],
    *,
    provenance: Mapping[str, Any],
    uri: str,
) -> _Outcome:
    name = f"{experiment.group}/{experiment.name}"
    experiment_id = writer.experiment(experiment.task)
    writer.close_dead_runs(experiment_id)
    common = {
        TAG_EXPERIMENT: name,
        TAG_TASK: experiment.task,
        TAG_RESULT: result_dir(experiment.group, experiment.name),
        **provenance_tags(provenance),
    }
    parent, is_new = _parent(writer, experiment_id, experiment, task, jobs=jobs, common=common)
    existing = writer.find(experiment_id, {TAG_EXPERIMENT: name, TAG_KIND: "job"})
    children: dict[str, str] = {}
    for job, settings in zip(jobs, (run.settings for run in experiment.runs), strict=True):
        of_job = [run for run in existing if run.data.tags.get(TAG_JOB) == job.id]
        same = [run for run in of_job if run.data.tags.get(TAG_CONTENT) == job.content]
        grown = None if same else _grown(writer, of_job, job, uri)
        tags = {
            **common,
            TAG_KIND: "job",
            TAG_JOB: job.id,
            TAG_SETTINGS: settings_key(without_wording(job.settings)),
            TAG_CONTENT: job.content,
            TAG_PARENT: parent,
            TAG_NOTE: settings.note,
        }
        if same:
            child = same[0].info.run_id
            # A child moves to the parent of the present settings; who made it and from what stays as it was.
            writer.refresh(
                same[0], {TAG_PARENT: parent, TAG_NOTE: tags[TAG_NOTE]}, name=job.name, drop=(TAG_SUPERSEDED,)
            )
        elif grown is not None:
            child = grown.info.run_id
            writer.refresh(grown, tags, name=job.name, drop=(TAG_SUPERSEDED,))
        else:
            child = writer.start(experiment_id, job.name, tags, job.start_ms)
        if not same or same[0].data.tags.get(TAG_COMPLETE) != "true":
            _log_job(writer, child, job, settings.datasets, provenance, is_new=not same and grown is None)
        for run in of_job:
            # One that is alive is trained elsewhere: by another person, or in another working copy.
            if run.info.run_id != child and not is_alive(run):
                writer.supersede(run, {TAG_SUPERSEDED: child})
        children[job.id] = child
    # A job that was taken out of the experiment has nothing that takes its place.
    for run in existing:
        if run.data.tags.get(TAG_JOB) not in children and not is_alive(run):
            writer.supersede(run, {TAG_SUPERSEDED: parent})
    if is_new:
        writer.complete(parent, {TAG_COMPLETE: "true"}, max(job.end_ms for job in jobs))
    return _Outcome(experiment_id, parent, children)


def _parent(
    writer: RunWriter,
    experiment_id: str,
    experiment: Experiment,
    task: TaskSettings,
    *,
    jobs: list[JobRecord],
    common: dict[str, str],
) -> tuple[str, bool]:
    """Return the parent of these settings, and whether it has still to be completed; other parents are superseded."""
    settings = experiment_settings(experiment, task)
    note = "\n".join([experiment.description, "", *(f"- {job.name}" for job in jobs)])
    parents = writer.find(experiment_id, {TAG_EXPERIMENT: common[TAG_EXPERIMENT], TAG_KIND: "experiment"})
    same = [run for run in parents if run.data.tags.get(TAG_SETTINGS) == settings]
    if same:
        parent = same[0].info.run_id
        writer.refresh(same[0], {TAG_NOTE: note}, name=experiment.name, drop=(TAG_SUPERSEDED,))
        is_open = same[0].data.tags.get(TAG_COMPLETE) != "true"
    else:
        tags = {**common, TAG_KIND: "experiment", TAG_SETTINGS: settings, TAG_NOTE: note}
        parent = writer.start(experiment_id, experiment.name, tags, min(job.start_ms for job in jobs))
        is_open = True
    if is_open:
        params = job_params(experiment, task)
        writer.params(
            parent, {key: value for key, value in params[0].items() if all(p.get(key) == value for p in params)}
        )
        writer.json_artifact(parent, "settings.json", redacted(experiment.model_dump(mode="json")))
    for run in parents:
        if run.info.run_id != parent:
            writer.supersede(run, {TAG_SUPERSEDED: parent})
    return parent, is_open


def _log_job(
    writer: RunWriter,
    run_id: str,
    job: JobRecord,
    datasets: tuple[str, ...],
    provenance: Mapping[str, Any],
    *,
    is_new: bool,
) -> None:
    writer.params(run_id, job.params)
    logged = {} if is_new else writer.history(run_id) | writer.system_history(run_id)
    writer.points(run_id, lacking(logged, job.points))
    for upload in job.uploads:
        writer.artifact(run_id, upload.path, upload.folder)
    writer.json_artifact(run_id, "settings.json", job.settings)
    writer.json_artifact(run_id, "provenance.json", provenance)
    inputs, data = provenance["inputs"], data_key(provenance["data"])
    writer.datasets(run_id, {name: str(inputs.get(name, data)) for name in datasets}, data)
    # Last of all: a run without this tag is one that was cut off.
    writer.complete(run_id, {TAG_COMPLETE: "true"}, job.end_ms)
