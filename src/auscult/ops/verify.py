"""A published result: whether every file is as it was published, and what has changed since around it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auscult.config.documents import read_yaml
from auscult.config.flatten import differences
from auscult.config.paths import CHECKSUMS_FILE, SETTINGS_FILE
from auscult.config.trials import load_tuned_experiment
from auscult.errors import AuscultError
from auscult.provenance import UNKNOWN, data_version, read_checksums
from auscult.storage.files import read_json, sha256_file

_OF_SNAKEMAKE = ".snakemake_timestamp"
"""Which Snakemake leaves in a folder that is an output."""
_GIT_TIMEOUT_S = 20


@dataclass(frozen=True)
class Verified:
    """A result against its checksums.

    Attributes:
        n_files: That are listed.
        damaged: Whose content differs.
        missing: That are listed and not there.
        extra: That are there and not listed.
        notices: What is no fault and worth knowing.
    """

    n_files: int
    damaged: tuple[str, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    notices: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether every file is there, unchanged, and no other."""
        return not (self.damaged or self.missing or self.extra)


def verify_result(folder: Path, project_dir: Path = Path()) -> Verified:
    """Read every file of a result.

    Args:
        folder: Such as `results/pneumonia/train2356`.
        project_dir: Holds `data.dvc`, to tell whether the data is another one since.

    Raises:
        DataError: No such result, or one without checksums that can be read.
    """
    listed = read_checksums(folder / CHECKSUMS_FILE)
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return Verified(
        n_files=len(listed),
        damaged=tuple(
            name for name, digest in listed.items() if name in present and sha256_file(folder / name) != digest
        ),
        missing=tuple(sorted(listed.keys() - present)),
        extra=tuple(sorted(present - listed.keys() - {CHECKSUMS_FILE, _OF_SNAKEMAKE})),
        notices=tuple(data_notices(folder, project_dir)),
    )


def data_notices(folder: Path, project_dir: Path = Path()) -> list[str]:
    """Say whether a result was made from other data than `data.dvc` pins now.

    Args:
        folder: The result.
        project_dir: Holds `data.dvc`.
    """
    try:
        of_result: dict[str, Any] = read_json(folder / "provenance.json")["data"]
        before = str(of_result["md5"])
    except (OSError, ValueError, KeyError, TypeError):
        return []  # what is damaged or missing is told by the checksums
    now = str(data_version(project_dir)["md5"])
    if UNKNOWN in (before, now) or before == now:
        return []
    return [f"made from the data {before}; data.dvc pins {now} now: the result is of an earlier version of the data"]


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
        *(f"settings: {line}" for line in _settings_changes(result, task, name, config_dir, project_dir)),
        *(f"data: {line}" for line in data_notices(result, project_dir)),
        *_code_changes(result, project_dir),
    ]


def _settings_changes(result: Path, task: str, name: str, config_dir: Path, project_dir: Path) -> list[str]:
    try:
        before = read_yaml(result / SETTINGS_FILE)
        now = load_tuned_experiment(config_dir, task, name, project_dir).model_dump(mode="json")
    except (OSError, AuscultError):
        return []  # never published, or told by the workflow itself
    return [str(found) for found in differences(before, now) if found.key != "description"]


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
            encoding="utf-8",
            errors="replace",
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
