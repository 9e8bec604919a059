"""The audit of a split: what stands where, and what was found."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from auscult.splits.counts import count_subsets, recording_facts
from auscult.splits.leaks import COPIES, N_EXAMPLES, Finding, texts
from auscult.splits.table_one import table_one
from auscult.storage.tables import named_subsets

if TYPE_CHECKING:
    import pandas as pd

    from auscult.config.task import TaskSettings


FORMAT = "auscult-split-audit-1"


def build_audit(
    tables: tuple[pd.DataFrame, pd.DataFrame],
    split: pd.DataFrame,
    task: TaskSettings,
    findings: list[Finding],
    left_out: dict[str, list[str]],
) -> dict[str, Any]:
    """Return the audit as JSON-like values.

    Args:
        tables: The recordings and the events of all datasets.
        split: Rows of `tables.SPLIT`.
        task: Gives targets and level.
        findings: What was found, by anyone.
        left_out: Reason -> ids of recordings that take no part.
    """
    recordings, events = tables
    at = pd.Index(recordings["recording_id"]).get_indexer(pd.Index(split["recording_id"]))
    here, subsets = pd.DataFrame(recordings.iloc[at]), texts(split, "split")
    facts = recording_facts(here, events, task)
    hours = here["duration_s"].to_numpy(dtype=np.float64) / 3600
    patients = dict(zip(recordings["recording_id"], recordings["patient_id"], strict=True))
    names = named_subsets(subsets)
    by_dataset: dict[str, Any] = {}
    for name in sorted(set(facts.datasets)):
        chosen = facts.datasets == name
        by_dataset[name] = count_subsets(facts.take(chosen), hours[chosen], subsets[chosen], task.targets, names)
    return {
        "format": FORMAT,
        "task": {
            "description": task.description,
            "type": task.type,
            "level": task.level,
            "targets": list(task.targets),
        },
        "total": count_subsets(facts, hours, subsets, task.targets, names),
        "by_dataset": by_dataset,
        "table_one": table_one(here, subsets, facts, task),
        "left_out": [
            {
                "reason": reason,
                "recordings": len(ids),
                "patients": len({patients[recording] for recording in ids}),
                "examples": ids[:N_EXAMPLES],
            }
            for reason, ids in left_out.items()
        ],
        "findings": [asdict(finding) for finding in findings],
        "duplicates": [
            {"kind": finding.kind, "severity": finding.severity, "recordings": group}
            for finding in findings
            if finding.kind in COPIES
            for group in finding.groups
        ],
        "declared": [finding.text for finding in findings if finding.severity == "declared"],
    }
