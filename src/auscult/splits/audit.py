"""The audit of a split: what stands where, and whether anything leaks from one side to another.

It reads the tables and the finished split, and nothing of how the split was made.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from auscult.errors import DataError
from auscult.splits.counts import count_sides
from auscult.splits.evidence import recording_facts
from auscult.tables import ATTRIBUTE_PREFIX

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from auscult.config.task import TaskSettings

    Texts = NDArray[np.object_]

FORMAT = "auscult-split-audit-1"
N_EXAMPLES = 20


@dataclass(frozen=True)
class Finding:
    """Something the reader of a result must know.

    Attributes:
        kind: `patient_overlap`, `byte_equal_audio`, `sibling_recordings`, `official_list_overlap`, `values_not_found`.
        severity: `error` stops the run, `declared` was allowed in the experiment and is printed in the report, `note`
            is worth knowing.
        text: One sentence.
        ids: Of patients, recordings or values; every one.
    """

    kind: str
    severity: str
    text: str
    ids: list[str]


def find_leaks(recordings: pd.DataFrame, split: pd.DataFrame, *, overlap_allowed: bool) -> list[Finding]:
    """Look for patients, sound and sibling recordings that stand on several sides.

    Args:
        recordings: The recordings table of all datasets.
        split: Rows of `tables.SPLIT`.
        overlap_allowed: The experiment declares `allow_patient_overlap`.

    Raises:
        DataError: The split names recordings that the table lacks, or gives one another patient than the table.
    """
    at = pd.Index(recordings["recording_id"]).get_indexer(pd.Index(split["recording_id"]))
    rows = pd.DataFrame(recordings.iloc[at])
    strange = (at < 0) | (_texts(rows, "patient_id") != _texts(split, "patient_id"))
    if strange.any():
        ids = _texts(split, "recording_id")[strange].tolist()[:5]
        raise DataError(f"the split does not fit the recordings table: {ids} are absent or of another patient")
    sides = _texts(split, "split")
    found = [
        _patients_on_several_sides(rows, sides, overlap_allowed=overlap_allowed),
        *_byte_equal(rows, sides, overlap_allowed=overlap_allowed),
        _siblings(rows, sides, overlap_allowed=overlap_allowed),
    ]
    return [finding for finding in found if finding is not None]


def _texts(table: pd.DataFrame, column: str) -> Texts:
    return table[column].to_numpy(dtype=object)


def _n_distinct(groups: Texts, values: Texts) -> pd.Series:
    """Return how many distinct values each group holds, indexed by group in sorted order."""
    pairs = pd.DataFrame({"group": groups, "value": values}).drop_duplicates()
    counts = pairs["group"].value_counts()
    return pd.Series(counts.sort_index())


def _several(counts: pd.Series) -> set[str]:
    return {str(name) for name, n in counts.items() if n > 1}


def _patients_on_several_sides(rows: pd.DataFrame, sides: Texts, *, overlap_allowed: bool) -> Finding | None:
    counts = _n_distinct(_texts(rows, "patient_id"), sides)
    ids = sorted(_several(counts))
    if not ids:
        return None
    text = f"{len(ids)} of {len(counts)} patients stand on several sides: the test part knows them from training"
    return Finding("patient_overlap", "declared" if overlap_allowed else "error", text, ids)


def _byte_equal(rows: pd.DataFrame, sides: Texts, *, overlap_allowed: bool) -> list[Finding]:
    """Find files of equal bytes: across sides they leak, on one side they are worth a look."""
    digests, patients = _texts(rows, "sha256"), _texts(rows, "patient_id")
    twice = _several(_n_distinct(digests, _texts(rows, "recording_id")))
    across = _several(_n_distinct(digests, sides))
    shared = _several(_n_distinct(digests, patients))
    declared = across - shared if overlap_allowed else set[str]()

    def ids(of: set[str]) -> list[str]:
        return sorted(_texts(rows, "recording_id")[np.isin(digests.astype(str), sorted(of))])

    kinds = [
        ("error", across - declared, "recordings are byte for byte the sound of another on a different side"),
        ("declared", declared, "recordings are byte for byte another of the same patient on a different side"),
        ("note", (twice - across) & shared, "recordings are byte for byte that of another patient on the same side"),
        ("note", twice - across - shared, "recordings are byte for byte another of the same patient and side"),
    ]
    return [
        Finding("byte_equal_audio", severity, f"{len(ids(of))} {text}", ids(of)) for severity, of, text in kinds if of
    ]


def _siblings(rows: pd.DataFrame, sides: Texts, *, overlap_allowed: bool) -> Finding | None:
    """Check that the filtered copies of one recording (KAUH's bell, diaphragm and extended) stay together."""
    column = ATTRIBUTE_PREFIX + "filter"
    if column not in rows.columns:
        return None
    copies = rows[column].notna().to_numpy(dtype=bool)
    patients = _texts(rows, "patient_id")[copies]
    several = _several(_n_distinct(patients, _texts(rows, column)[copies]))
    crossing = sorted(several & _several(_n_distinct(patients, sides[copies])))
    if crossing:
        text = f"the filtered copies of one recording stand on several sides, for {len(crossing)} patients"
        return Finding("sibling_recordings", "declared" if overlap_allowed else "error", text, crossing)
    if not several:
        return None
    return Finding("sibling_recordings", "note", f"the filtered copies of {len(several)} patients stay together", [])


def refuse_leaks(findings: list[Finding]) -> None:
    """Stop at findings that are errors.

    Raises:
        DataError: With the ids, and what can be done.
    """
    proposals = {
        "patient_overlap": "divide by patients (`split: {kind: patients}`), or declare `allow_patient_overlap: true`",
        "byte_equal_audio": "remove the copies from the raw folder, or, where they are of one person, give them one "
        "patient id (kind `manifest`: the patient column)",
        "sibling_recordings": "divide by patients (`split: {kind: patients}`)",
    }
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        lines = [
            f"  {finding.kind}: {finding.text}: {', '.join(finding.ids[:N_EXAMPLES])}"
            f"{', ...' if len(finding.ids) > N_EXAMPLES else ''}\n    To mend it: {proposals[finding.kind]}"
            for finding in errors
        ]
        raise DataError("this split leaks:\n" + "\n".join(lines))


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
    here, sides = pd.DataFrame(recordings.iloc[at]), _texts(split, "split")
    facts = recording_facts(here, events, task)
    hours = here["duration_s"].to_numpy(dtype=np.float64) / 3600
    patients = dict(zip(recordings["recording_id"], recordings["patient_id"], strict=True))
    by_dataset: dict[str, Any] = {}
    for name in sorted(set(facts.datasets)):
        chosen = facts.datasets == name
        by_dataset[name] = count_sides(facts.take(chosen), hours[chosen], sides[chosen], task.targets)
    return {
        "format": FORMAT,
        "task": {
            "description": task.description,
            "type": task.type,
            "level": task.level,
            "targets": list(task.targets),
        },
        "total": count_sides(facts, hours, sides, task.targets),
        "by_dataset": by_dataset,
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
        "declared": [finding.text for finding in findings if finding.severity == "declared"],
    }
