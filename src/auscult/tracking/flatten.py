"""Nested settings and results as the flat names that a tracking page shows."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MAX_PARAM_CHARACTERS = 6000
"""What MLflow stores of one parameter; its SQL column holds no more."""

HEADLINE_GROUPS = ("macro", "four_class", "multi_class")
"""Groups of a summary that speak of all targets together."""

_UNSAFE = re.compile(r"[^\w.\- :]")
_RUN_NAME_CHARACTERS = 80


def flatten_settings(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return settings as `section.key` -> text; the parts of a list of sections are numbered from 1.

    A value too long for MLflow is cut, and ends with a digest of the whole, so that two long values still differ.

    >>> flatten_settings({"train": {"optimizer": {"lr": 0.001}, "mixed": True}, "kernel_sizes": [3, 5], "hop_s": None})
    {'train.optimizer.lr': '0.001', 'train.mixed': 'true', 'kernel_sizes': '3, 5', 'hop_s': 'none'}
    >>> flatten_settings({"augment": [{"name": "mixup", "quantity": 0.2}, {"name": "augmix"}]})
    {'augment.1.name': 'mixup', 'augment.1.quantity': '0.2', 'augment.2.name': 'augmix'}
    """
    flat: dict[str, str] = {}
    for parts, value in _leaves(settings):
        flat[".".join(_safe(part) for part in parts)] = _shortened(_as_text(value))
    return flat


def _leaves(value: Mapping[str, Any], parents: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, inner in value.items():
        section = inner
        if isinstance(inner, list | tuple) and any(isinstance(entry, Mapping) for entry in inner):
            section = {str(number): entry for number, entry in enumerate(inner, start=1)}
        if isinstance(section, Mapping) and section:
            yield from _leaves(section, (*parents, str(key)))
        else:
            yield (*parents, str(key)), inner


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


def _safe(part: str) -> str:
    """Return one part of a name with the characters that MLflow takes; `.` and `..` would be folders to it."""
    cleaned = _UNSAFE.sub("_", part).strip()
    return cleaned if cleaned.strip(".") else "_" * max(1, len(cleaned))


def flatten_summary(summary: Mapping[str, Any], side: str, task_type: str, level: str) -> dict[str, float]:
    """Return a summary as `<side>/<level>/<target>/<metric>` -> number; undefined numbers are left out.

    A metric with an interval gives three numbers: `auroc`, `auroc_low`, `auroc_high`. Counts and confusion are given
    where the task is judged, at `level`. What stands at that level for all targets together (for a binary task: its
    one target) comes once more, without interval, as `<side>/<metric>`: the short name that runs are compared by.

    Args:
        summary: level -> target or group -> metric -> `{"value", "low", "high"}`, number, or mapping of numbers.
        side: `test` or `val`.
        task_type: `binary`, `multi_label` or `multi_class`.
        level: The task's level.

    >>> pneumonia = {"auroc": {"value": 0.9, "low": 0.8, "high": None}, "confusion": {"tp": 3}}
    >>> flatten_summary({"patient": {"pneumonia": pneumonia}}, "test", "binary", "patient") == {
    ...     "test/auroc": 0.9,
    ...     "test/patient/pneumonia/auroc": 0.9,
    ...     "test/patient/pneumonia/auroc_low": 0.8,
    ...     "test/patient/pneumonia/confusion/tp": 3.0,
    ... }
    True
    """
    flat: dict[str, float] = {}
    for name, groups in summary.items():
        if not isinstance(groups, Mapping):
            continue
        for group, metrics in groups.items():
            # The mean over the one target of a binary task says nothing new.
            if not isinstance(metrics, Mapping) or (task_type == "binary" and group == "macro"):
                continue
            speaks_for_all = task_type == "binary" or group in HEADLINE_GROUPS
            for parts, number in _numbers(metrics):
                if name != level and len(parts) > 1:
                    continue
                flat["/".join([side, *(_safe(part) for part in (name, group, *parts))])] = number
                if name == level and speaks_for_all and len(parts) == 1 and not parts[0].endswith(("_low", "_high")):
                    flat.setdefault(f"{side}/{_safe(parts[0])}", number)
    return dict(sorted(flat.items()))


def _numbers(value: Mapping[str, Any], parents: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], float]]:
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            if "value" in inner:
                for bound, ending in (("value", ""), ("low", "_low"), ("high", "_high")):
                    number = finite(inner.get(bound))
                    if number is not None:
                        yield (*parents, f"{key}{ending}"), number
            else:
                yield from _numbers(inner, (*parents, str(key)))
        else:
            number = finite(inner)
            if number is not None:
                yield (*parents, str(key)), number


def finite(value: Any) -> float | None:
    """Return a number that a chart can show, or None: for null, text, lists, truth values, NaN and infinities."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def metric_name(name: str) -> str:
    """Return a metric's name in MLflow's characters (`@` and the like become `_`); a bare name belongs to training.

    >>> metric_name("val/recall@0.9"), metric_name("lr")
    ('val/recall_0.9', 'train/lr')
    """
    parts = [_safe(part) for part in name.split("/") if part]
    # Charts are grouped by what stands before the slash.
    return "/".join(parts if len(parts) > 1 else ["train", *parts])


def run_names(experiment: str, ids: Sequence[str], jobs: Sequence[Mapping[str, str]]) -> list[str]:
    """Return one short name a job: experiment and id, model, and what differs from the first job.

    >>> first = {"model.name": "mixednet", "spectrogram.n_fft": "1024"}
    >>> run_names("train2356", ["1", "2"], [first, {"model.name": "timm/resnet18", "spectrogram.n_fft": "512"}])
    ['train2356/1 mixednet', 'train2356/2 resnet18 n_fft=512']
    """
    names: list[str] = []
    for run_id, params in zip(ids, jobs, strict=True):
        model = params.get("model.name", "").rsplit("/", 1)[-1]
        differences = [
            f"{key.rsplit('.', 1)[-1]}={value}"
            for key, value in params.items()
            if not key.startswith(("model.", "note")) and jobs[0].get(key) != value
        ]
        name = " ".join([f"{experiment}/{run_id}", model, *differences]).strip()
        names.append(name if len(name) <= _RUN_NAME_CHARACTERS else name[: _RUN_NAME_CHARACTERS - 3] + "...")
    return names
