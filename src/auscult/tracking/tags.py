"""The tags that runs are found, judged and shown by."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from auscult.provenance import UNKNOWN

if TYPE_CHECKING:
    from mlflow.entities import Run

TAG_EXPERIMENT = "auscult.experiment"
TAG_TASK = "auscult.task"
TAG_RESULT = "auscult.result"
TAG_KIND = "auscult.kind"
TAG_JOB = "auscult.job"
TAG_SETTINGS = "auscult.settings"
TAG_CONTENT = "auscult.content"
TAG_COMPLETE = "auscult.complete"
TAG_SUPERSEDED = "auscult.superseded"
TAG_ATTEMPTS = "auscult.attempts"
TAG_SEEN = "auscult.seen"
"""Unix seconds: when the training behind a run last gave a sign of life."""
TAG_PARENT = "mlflow.parentRunId"
TAG_NOTE = "mlflow.note.content"

SILENT_S = 600
"""A training that gave no sign of life for so long, six signs in a row, has died."""


def provenance_tags(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Return what is tagged of `auscult.provenance.collect`; `git` and `data` are needed, `command` may be absent."""
    git = provenance["git"]
    tags = {
        "auscult.data": str(provenance["data"]["md5"]),
        "auscult.git_branch": str(git["branch"]),
        "auscult.git_dirty": str(git["dirty"]).lower(),
        "auscult.git_commit": str(git["commit"]),
    }
    if "command" in provenance:
        # The two that MLflow's own pages show as source and version.
        tags |= {"mlflow.source.name": str(provenance["command"]), "mlflow.source.type": "PROJECT"}
    if git["commit"] != UNKNOWN:
        tags["mlflow.source.git.commit"] = str(git["commit"])
    return tags


def is_alive(run: Run) -> bool:
    """Tell whether a training still logs to a run: here, in another working copy or by another person."""
    if run.info.status != "RUNNING":
        return False
    seen = run.data.tags.get(TAG_SEEN, "")
    return seen.isdecimal() and time.time() - int(seen) < SILENT_S


def is_dead(run: Run) -> bool:
    """Tell whether a training logged to a run and was killed: it says that it runs, and is silent."""
    return run.info.status == "RUNNING" and TAG_SEEN in run.data.tags and not is_alive(run)
