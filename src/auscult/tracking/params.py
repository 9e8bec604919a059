"""Settings as runs show them: flat, without wording, and without a path that names a person or a machine."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from auscult.config import Experiment, JobSettings, TaskSettings
from auscult.config.flatten import differing_keys, leaves
from auscult.provenance import redact
from auscult.storage.files import settings_key

MAX_PARAM_CHARACTERS = 6000
"""What MLflow stores of one parameter; its SQL column holds no more."""

_WORDING = frozenset({"description", "note"})
"""Keys that say something to people and change no number."""
_OF_TASK = frozenset({"type", "targets", "level", "overlap", "aggregate", "four_class"})
_UNSAFE = re.compile(r"[^\w.\- :]")
_RUN_NAME_CHARACTERS = 80


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
    return flat_params(of_job) | flat_params({"task": of_task})


def job_params(experiment: Experiment, task: TaskSettings) -> list[dict[str, str]]:
    """Return every run's resolved settings, flat."""
    return [
        training_params(run.settings, task)
        | flat_params(redacted({"evaluate": run.settings.evaluate.model_dump(mode="json")}))
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


def flat_params(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return settings as `section.key` -> text; the parts of a list of sections are numbered from 1.

    A value too long for MLflow is cut, and ends with a digest of the whole, so that two long values still differ.

    >>> flat_params({"train": {"optimizer": {"lr": 0.001}, "mixed": True}, "kernel_sizes": [3, 5], "hop_s": None})
    {'train.optimizer.lr': '0.001', 'train.mixed': 'true', 'kernel_sizes': '3, 5', 'hop_s': 'none'}
    >>> flat_params({"augment": [{"name": "mixup", "quantity": 0.2}, {"name": "augmix"}]})
    {'augment.1.name': 'mixup', 'augment.1.quantity': '0.2', 'augment.2.name': 'augmix'}
    """
    return {
        ".".join(safe_name(part) for part in parts): _shortened(_as_text(value))
        for parts, value in leaves(settings, numbers_sections=True)
    }


def safe_name(part: str) -> str:
    """Return one part of a name with the characters that MLflow takes; `.` and `..` would be folders to it."""
    cleaned = _UNSAFE.sub("_", part).strip()
    return cleaned if cleaned.strip(".") else "_" * max(1, len(cleaned))


def _as_text(value: Any) -> str:
    """The page that compares runs prints a JSON list over many lines, so a plain list is joined instead."""
    if isinstance(value, list | tuple) and not any(isinstance(entry, list | tuple) for entry in value):
        return ", ".join(_as_text(entry) for entry in value) or "none"
    if value is None or value == {}:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _shortened(text: str) -> str:
    if len(text) <= MAX_PARAM_CHARACTERS:
        return text
    ending = f" ... (sha256 {hashlib.sha256(text.encode()).hexdigest()[:16]}, {len(text)} characters)"
    return text[: MAX_PARAM_CHARACTERS - len(ending)] + ending


def run_names(experiment: str, ids: Sequence[str], jobs: Sequence[Mapping[str, str]]) -> list[str]:
    """Return one short name a job: experiment and id, model, and what differs from the first job.

    >>> first = {"model.name": "mixednet", "spectrogram.n_fft": "1024"}
    >>> run_names("train2356", ["1", "2"], [first, {"model.name": "timm/resnet18", "spectrogram.n_fft": "512"}])
    ['train2356/1 mixednet', 'train2356/2 resnet18 n_fft=512']
    """
    names: list[str] = []
    for run_id, params in zip(ids, jobs, strict=True):
        model = params.get("model.name", "").rsplit("/", 1)[-1]
        differing = set(differing_keys([jobs[0], params]))
        values = [
            f"{key.rsplit('.', 1)[-1]}={value}"
            for key, value in params.items()
            if key in differing and not key.startswith(("model.", "note"))
        ]
        name = " ".join([f"{experiment}/{run_id}", model, *values]).strip()
        names.append(name if len(name) <= _RUN_NAME_CHARACTERS else name[: _RUN_NAME_CHARACTERS - 3] + "...")
    return names
