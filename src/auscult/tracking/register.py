"""Models in MLflow's registry: one name a job, a version each time it was trained anew, each with its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from auscult.config import TaskSettings
from auscult.tracking.card import model_name, write_card
from auscult.tracking.record import JobRecord
from auscult.tracking.tags import TAG_EXPERIMENT, TAG_JOB, provenance_tags
from auscult.tracking.writer import MODEL_FOLDER, RunWriter


def register_models(
    writer: RunWriter,
    experiment: str,
    task: TaskSettings,
    jobs: Sequence[JobRecord],
    *,
    children: Mapping[str, str],
    provenance: Mapping[str, Any],
) -> dict[str, str]:
    """Register each job's model, unless its files were withheld.

    Args:
        writer: Connected.
        experiment: `<task>/<name>`.
        task: What is predicted.
        jobs: Logged.
        children: Job -> run id.
        provenance: As `auscult.provenance.collect` gives it.

    Returns:
        Job -> name and version, such as `pneumonia.train2356.1:2`.
    """
    of_all = {key: value for key, value in provenance_tags(provenance).items() if key.startswith("auscult.")}
    registered: dict[str, str] = {}
    for job in jobs:
        if sum(upload.folder == MODEL_FOLDER for upload in job.uploads) < 2:  # the weights and their description
            continue
        name = model_name(experiment, job.id)
        tags = {**of_all, TAG_EXPERIMENT: experiment, TAG_JOB: job.id}
        version = writer.register(name, children[job.id], write_card(experiment, task, job, provenance), tags)
        registered[job.id] = f"{name}:{version}"
    return registered
