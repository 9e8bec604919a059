"""Which settings and which data differ between what was made and what is wanted now."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from auscult.config import load_experiment
from auscult.errors import AuscultError
from auscult.project.published import data_notices
from auscult.provenance import UNKNOWN
from auscult.storage.files import read_json

_ABSENT = object()
_GIT_TIMEOUT_S = 20


def differing(before: Any, now: Any, key: str = "") -> list[str]:
    """Say which settings differ, by dotted key; entries of lists are numbered from 1.

    >>> differing({"train": {"epochs": 3}, "note": "a"}, {"train": {"epochs": 4}, "note": "a"})
    ['train.epochs: 3 -> 4']
    >>> differing({"seeds": [1]}, {"seeds": [1, 2], "folds": None})
    ['seeds.2: absent -> 2', 'folds: absent -> none']
    """
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        keys = [*before, *(name for name in now if name not in before)]
        inner = [(str(name), before.get(name, _ABSENT), now.get(name, _ABSENT)) for name in keys]
    elif isinstance(before, list | tuple) and isinstance(now, list | tuple):
        pairs = zip(range(1, max(len(before), len(now)) + 1), _padded(before, now), strict=True)
        inner = [(str(number), *pair) for number, pair in pairs]
    else:
        return [] if before == now else [f"{key or 'all'}: {_text(before)} -> {_text(now)}"]
    return [line for name, old, new in inner for line in differing(old, new, f"{key}.{name}" if key else name)]


def _padded(before: Any, now: Any) -> list[tuple[Any, Any]]:
    size = max(len(before), len(now))
    olds, news = ([*values, *[_ABSENT] * (size - len(values))] for values in (before, now))
    return list(zip(olds, news, strict=True))


def _text(value: Any) -> str:
    if value is _ABSENT:
        return "absent"
    if value is None:
        return "none"
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def params_changes(before: str, now: str) -> list[str] | None:
    """Compare the parameters of a job as Snakemake prints them; None when they cannot be read.

    >>> params_changes("{'epochs': 3, 'lr': 0.1}", "{'epochs': 4, 'lr': 0.1}")
    ['epochs: 3 -> 4']
    >>> params_changes("<nothing exclusive>", "'a'") is None
    True
    """
    try:
        olds, news = (list(ast.literal_eval(f"[{text}]")) for text in (before, now))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    changes: list[str] = []
    for new in news:
        alike = max(olds, key=lambda old: _likeness(old, new), default=None)
        if alike is None:
            return None
        olds.remove(alike)
        changes += differing(alike, new)
    return changes or None


def _likeness(before: Any, now: Any) -> int:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        return 1 + len(before.keys() & now.keys())
    return int(type(before) is type(now))


def result_changes(result: Path, task: str, name: str, config_dir: Path, project_dir: Path) -> list[str]:
    """Say how settings, data and code differ from those that a published result was made with.

    Args:
        result: The result's folder; without one nothing is said.
        task: Its task.
        name: Its experiment.
        config_dir: The present configuration.
        project_dir: The git repository, with `data.dvc`.
    """
    return [
        *(f"settings: {line}" for line in _settings_changes(result, task, name, config_dir)),
        *(f"data: {line}" for line in data_notices(result, project_dir)),
        *_code_changes(result, project_dir),
    ]


def _settings_changes(result: Path, task: str, name: str, config_dir: Path) -> list[str]:
    try:
        before = yaml.safe_load((result / "experiment.yaml").read_text(encoding="utf-8"))
        now = load_experiment(config_dir, task, name).model_dump(mode="json")
    except (OSError, yaml.YAMLError, AuscultError):
        return []  # never published, or told by the workflow itself
    if not isinstance(before, Mapping):
        return []
    return [line for line in differing(before, now) if not line.startswith("description:")]


def _code_changes(result: Path, project_dir: Path) -> list[str]:
    """Say which modules changed since: the workflow runs nothing again for them."""
    try:
        commit = str(read_json(result / "provenance.json")["git"]["commit"])
        if commit == UNKNOWN:
            return []
        answer = subprocess.run(  # noqa: S603 (fixed arguments and a commit)
            ["git", "diff", "--name-only", commit, "--", "src/auscult"],  # noqa: S607 (the user's git)
            cwd=project_dir,
            check=True,
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
        ).stdout
    except (OSError, ValueError, KeyError, TypeError, subprocess.SubprocessError):
        return []  # another repository, or a commit that is not here
    n_files = len(answer.splitlines())
    if n_files == 0:
        return []
    return [
        f"code: {n_files} files of src/auscult differ from commit {commit[:12]}; the workflow runs nothing again for "
        "that: add `--forcerun <rule>` where it matters"
    ]
