"""Models in MLflow's registry: one name a job, a version each time it was trained anew, each with its card.

A card says what a model predicts, from what it was made, how well it does, and what it is not for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from auscult.config import TaskSettings
from auscult.provenance import data_key
from auscult.tracking.jobs import MODEL_FILES, JobRecord
from auscult.tracking.writer import MODEL_FOLDER, TAG_EXPERIMENT, TAG_JOB, RunWriter, provenance_tags

_METRICS = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "Positive predictive value",
    "npv": "Negative predictive value",
    "f1": "F1",
    "balanced_accuracy": "Balanced accuracy",
    "icbhi_score": "ICBHI score",
    "brier": "Brier score",
}


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
        if sum(upload.folder == MODEL_FOLDER for upload in job.uploads) < len(MODEL_FILES):
            continue
        name = model_name(experiment, job.id)
        tags = {**of_all, TAG_EXPERIMENT: experiment, TAG_JOB: job.id}
        version = writer.register(name, children[job.id], write_card(experiment, task, job, provenance), tags)
        registered[job.id] = f"{name}:{version}"
    return registered


def model_name(experiment: str, job: str) -> str:
    """Return the name in the registry, which takes no slash.

    >>> model_name("pneumonia/train2356", "2/fold1")
    'pneumonia.train2356.2.fold1'
    """
    return f"{experiment}/{job}".replace("/", ".")


def write_card(experiment: str, task: TaskSettings, job: JobRecord, provenance: Mapping[str, Any]) -> str:
    """Return the card as Markdown; it names no patient, no file and no path.

    Args:
        experiment: `<task>/<name>`.
        task: What is predicted.
        job: The evaluated job.
        provenance: As `auscult.provenance.collect` gives it; `simulated` names the datasets that are.
    """
    settings = job.settings["job"]
    datasets = ", ".join(settings["datasets"])
    simulated = [name for name in settings["datasets"] if name in provenance.get("simulated", ())]
    parts = [
        f"# {job.name}",
        f"Predicts **{', '.join(task.targets)}** ({task.type}, evaluated by {task.level}) from lung sounds."
        + (f" {task.description}" if task.description else ""),
        f"**Warning:** the sounds of {', '.join(simulated)} are simulated: nothing here speaks of patients."
        if simulated
        else "",
        "## Made from\n\n"
        f"- model `{settings['model']['name']}`, job {job.id} of `{experiment}`\n"
        f"- datasets: {datasets}\n"
        f"- data version: `{data_key(provenance['data'])}`\n"
        f"- code: commit `{provenance['git']['commit']}`"
        + (" with changes" if provenance["git"]["dirty"] is True else ""),
        _scores(task, job),
        "## Use\n\n`model/model.safetensors` and `model/model.json` among the run's artifacts hold all that is needed: "
        "architecture, preparation of the sound, normalisation, targets and thresholds. Both are data, never code.",
        "## Limits\n\nFor research. It is no medical device, and was evaluated on patients of the datasets above: "
        "other devices, sites, ages and diseases may give other predictions. Thresholds are chosen on validation "
        "patients.",
    ]
    return "\n\n".join(part for part in parts if part)


def _scores(task: TaskSettings, job: JobRecord) -> str:
    """Return the test set's metrics with their intervals."""
    numbers = {point.key: point.value for point in job.points if point.step == 0}
    rows: list[str] = []
    for target in (*task.targets, "macro", "four_class", "multi_class"):
        base = f"test/{task.level}/{target}"
        for key, title in _METRICS.items():
            value, low, high = (numbers.get(f"{base}/{key}{end}") for end in ("", "_low", "_high"))
            if value is not None:
                interval = "" if low is None or high is None else f"{low:.3f} to {high:.3f}"
                rows.append(f"| {target} | {title} | {value:.3f} | {interval} |")
    head = "| target | metric | value | 95% interval |\n|---|---|---|---|\n"
    return f"## How well it does, on the test patients\n\n{head}" + "\n".join(rows) if rows else ""
