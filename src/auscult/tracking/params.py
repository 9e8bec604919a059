"""Settings as runs show them: flat, without wording, and without a path that names a person or a machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auscult.config import Experiment, JobSettings, TaskSettings
from auscult.provenance import redact
from auscult.storage.files import settings_key
from auscult.tracking.flatten import flatten_settings

_WORDING = frozenset({"description", "note"})
"""Keys that say something to people and change no number."""
_OF_TASK = frozenset({"type", "targets", "level", "overlap", "aggregate", "four_class"})


def experiment_settings(experiment: Experiment, task: TaskSettings) -> str:
    """Return the digest that tells one state of an experiment's settings from another; wording plays no part."""
    jobs = [run.settings.model_dump(mode="json", exclude=set(_WORDING)) for run in experiment.runs]
    return settings_key({"jobs": jobs, "task": task.model_dump(mode="json", exclude=set(_WORDING))})


def training_params(job: JobSettings, task: TaskSettings) -> dict[str, str]:
    """Return the settings of a training, flat; those of its evaluation are not known for good while it runs.

    Of the task: what stands beside its labels' rules. The rules themselves stand in the run's `settings.json`: equal
    for all jobs, they would only hide what differs.
    """
    of_job = redacted(job.model_dump(mode="json", exclude={*_WORDING, "evaluate"}))
    of_task = task.model_dump(mode="json", include=set(_OF_TASK))
    return flatten_settings(of_job) | flatten_settings({"task": of_task})


def job_params(experiment: Experiment, task: TaskSettings) -> list[dict[str, str]]:
    """Return every run's resolved settings, flat."""
    return [
        training_params(run.settings, task)
        | flatten_settings(redacted({"evaluate": run.settings.evaluate.model_dump(mode="json")}))
        for run in experiment.runs
    ]


def without_wording(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return sections of settings without what only says something to people."""
    return {
        part: {key: value for key, value in section.items() if key not in _WORDING}
        for part, section in settings.items()
    }


def redacted(value: Any) -> Any:
    """Return JSON-like settings with absolute paths and credentials hidden in every text.

    >>> redacted({"evaluate_only": "/home/zarah/results/pneumonia/train2356/1", "seeds": [1]})
    {'evaluate_only': '.../1', 'seeds': [1]}
    """
    if isinstance(value, Mapping):
        return {key: redacted(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(inner) for inner in value]
    return redact(value) if isinstance(value, str) else value
