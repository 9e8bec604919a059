"""What differs between the jobs of an experiment, and what they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from auscult.config import JobSettings
from auscult.config import flatten as flat
from auscult.config.documents import dump_yaml
from auscult.provenance import redact

_NAMES = ("model.name", "split.kind", "train.optimizer.name")
"""Where such a name differs, nearly everything beside it differs too: the name says it all."""


NO_SEED = "none of its own"
"""Stands for the seed of an ensemble, and for its part of the patients."""


def settings_text(value: Any) -> str:
    """Return the value of a setting in one line; of an absolute path only what names neither user nor machine.

    >>> settings_text(0.001), settings_text(["a", "b"]), settings_text(None), settings_text(True), settings_text([])
    ('0.001', 'a, b', '–', 'yes', '–')
    >>> settings_text([{"name": "mixup", "quantity": 0.2, "classes": [0, 1], "alpha": None, "unpadded_only": False}])
    'mixup (quantity: 0.2, classes: [0, 1])'
    >>> settings_text("/mnt/zarah/results/t/e/1"), settings_text("results/t/e/1")
    ('.../1', 'results/t/e/1')
    """
    if value is None or value in ([], {}, ""):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        # As in YAML, without what is not in use.
        used = {key: part for key, part in value.items() if key != "name" and part not in (None, False, [], {}, "")}
        text = dump_yaml(used, width=10_000, flow=True)
        return redact(f"{value.get('name', '')} ({text.strip()[1:-1]})".strip())
    if isinstance(value, list | tuple):
        return ", ".join(settings_text(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else redact(str(value))


def job_settings(job: JobSettings) -> dict[str, Any]:
    """Return a job's settings under dotted keys, without its note and task."""
    found = job.model_dump(mode="json", exclude={"note", "task"})
    if isinstance(job.ensemble, tuple):
        # The seed is that of no training.
        found["ensemble"] = f"of {len(job.ensemble)}"
        found["train"]["seed"] = NO_SEED
        if job.split.val_fold is not None:
            found["split"]["val_fold"]["fold"] = NO_SEED
    return flat.flatten(found)


def differing_keys(jobs: Sequence[JobSettings]) -> list[str]:
    """Return the dotted keys whose values are not the same in all jobs, in the order of the settings."""
    return flat.differing_keys([job_settings(job) for job in jobs])


def names_before_details(keys: Sequence[str]) -> list[str]:
    """Leave out the settings of a model, split or optimizer whose name is among `keys`.

    >>> names_before_details(["model.name", "model.dropout", "train.epochs"])
    ['model.name', 'train.epochs']
    """
    sections = [f"{name.rpartition('.')[0]}." for name in _NAMES if name in keys]
    return [key for key in keys if key in _NAMES or not key.startswith(tuple(sections))]


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
    keys = names_before_details(differing_keys(jobs))
    labels: list[str] = []
    for job in jobs:
        settings = job_settings(job)
        parts = [
            _part(key, settings[key])
            for key in keys
            # Among the trainings of a job, what makes no ensemble goes without saying.
            if key in settings and not (key == "ensemble" and not settings[key]) and settings[key] != NO_SEED
        ]
        labels.append(", ".join(parts) or job.model.name)
    return labels


def _part(key: str, value: Any) -> str:
    text = settings_text(value)
    if key.endswith(".name"):
        return text
    if key.startswith("split.val_fold."):
        return f"validation {key.rsplit('.', 1)[-1]} {text}"
    return f"split by {text}" if key == "split.kind" else f"{key.rsplit('.', 1)[-1]} {text}"
