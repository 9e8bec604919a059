"""What differs between the jobs of an experiment, and what they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from auscult.config import JobSettings

_WHOLE = {"model.name": "model.", "split.kind": "split."}
"""Settings of another model or another kind of split differ throughout: the name says it all."""


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings under dotted keys; lists stay whole.

    >>> flatten({"train": {"epochs": 3, "optimizer": {"lr": 0.1}}, "datasets": ["a"]})
    {'train.epochs': 3, 'train.optimizer.lr': 0.1, 'datasets': ['a']}
    """
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def settings_text(value: Any) -> str:
    """Return a setting as a reader wants it.

    >>> settings_text(0.001), settings_text(["a", "b"]), settings_text(None), settings_text(True), settings_text([])
    ('0.001', 'a, b', '–', 'yes', '–')
    >>> settings_text([{"name": "mixup", "quantity": 0.2, "classes": [0, 1], "alpha": None, "unpadded_only": False}])
    'mixup (quantity: 0.2, classes: [0, 1])'
    """
    if value is None or value in ([], {}, ""):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        # As one writes it, without what is not in use.
        said = {key: part for key, part in value.items() if key != "name" and part not in (None, False, [], {}, "")}
        text = yaml.safe_dump(said, default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True)
        return f"{value.get('name', '')} ({text.strip()[1:-1]})".strip()
    if isinstance(value, list | tuple):
        return ", ".join(settings_text(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def job_settings(job: JobSettings) -> dict[str, Any]:
    """Return a job's settings under dotted keys, without its note and task."""
    return flatten(job.model_dump(mode="json", exclude={"note", "task"}))


def differing_keys(jobs: Sequence[JobSettings]) -> list[str]:
    """Return the dotted keys whose values are not the same in all jobs, in the order of the settings."""
    flat = [job_settings(job) for job in jobs]
    keys = list(dict.fromkeys(key for settings in flat for key in settings))
    absent = object()
    return [key for key in keys if any(settings.get(key, absent) != flat[0].get(key, absent) for settings in flat)]


def shared_settings(jobs: Sequence[JobSettings]) -> dict[str, dict[str, str]]:
    """Return what all jobs share: section -> key -> text."""
    differing = set(differing_keys(jobs))
    sections: dict[str, dict[str, str]] = {}
    for key, value in job_settings(jobs[0]).items():
        section, _, name = key.partition(".")
        if key not in differing:
            sections.setdefault(section if name else "data", {})[name or section] = settings_text(value)
    return sections


def job_labels(jobs: Sequence[JobSettings]) -> list[str]:
    """Name each job by what sets it apart; a single job by its model."""
    keys = differing_keys(jobs)
    for name, prefix in _WHOLE.items():
        if name in keys:
            keys = [key for key in keys if key == name or not key.startswith(prefix)]
    labels: list[str] = []
    for job in jobs:
        settings = job_settings(job)
        parts = [_part(key, settings[key]) for key in keys if key in settings]
        labels.append(", ".join(parts) or job.model.name)
    return labels


def _part(key: str, value: Any) -> str:
    text = settings_text(value)
    if key == "model.name":
        return text
    last = key.rsplit(".", 1)[-1]
    named = f"{key.split('.', maxsplit=1)[0]} by" if key == "split.kind" else last
    return f"{named} {text}"
