"""The audit of a split: what stands where, what was found, and which of a task's values the tables lack."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from auscult.config.task import ClassRule, ColumnRule, EventRule, fold_label
from auscult.labels import WHOLE_RECORDING, part_target
from auscult.splits.counts import count_subsets, recording_facts
from auscult.splits.leaks import BYTE_EQUAL, N_EXAMPLES, NEAR_DUPLICATE, Finding, texts
from auscult.storage.tables import LABEL_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable

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
    by_dataset: dict[str, Any] = {}
    for name in sorted(set(facts.datasets)):
        chosen = facts.datasets == name
        by_dataset[name] = count_subsets(facts.take(chosen), hours[chosen], subsets[chosen], task.targets)
    return {
        "format": FORMAT,
        "task": {
            "description": task.description,
            "type": task.type,
            "level": task.level,
            "targets": list(task.targets),
        },
        "total": count_subsets(facts, hours, subsets, task.targets),
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
        "duplicates": [
            {"kind": finding.kind, "severity": finding.severity, "recordings": group}
            for finding in findings
            if finding.kind in (BYTE_EQUAL, NEAR_DUPLICATE)
            for group in finding.groups
        ],
        "declared": [finding.text for finding in findings if finding.severity == "declared"],
    }


def check_rules(recordings: pd.DataFrame, events: pd.DataFrame, task: TaskSettings) -> list[Finding]:
    """Compare the rules of a task with the values of the datasets at hand.

    Args:
        recordings: Rows of `tables.RECORDINGS`, of all datasets.
        events: Rows of `tables.EVENTS`, of all datasets.
        task: Its rules.

    Returns:
        Notes: values and event kinds of a rule that nothing holds, values that count as negative because nobody named
        them, values that no rule gives a meaning, kinds that no rule names.
    """
    found: list[Finding] = []
    for dataset, of_dataset in recordings.groupby("dataset", sort=True):
        name = str(dataset)
        if name in task.classes_from:
            found += _class_notes(name, of_dataset, task.classes_from[name], task.targets)
        rules = task.datasets.get(name, {})
        for target, rule in rules.items():
            if isinstance(rule, ColumnRule):
                found += _column_notes(f"{name}, {target}", _counts(of_dataset, rule.column), rule)
        named = [rule for rule in rules.values() if isinstance(rule, EventRule)]
        if named:
            here = events["recording_id"].isin(of_dataset["recording_id"])
            found += _event_notes(name, Counter(events.loc[here, "kind"]), named)
    return found


def _counts(recordings: pd.DataFrame, column: str) -> Counter[str]:
    return Counter(str(value) for value in recordings[LABEL_PREFIX + column].dropna())


def _column_notes(where: str, counts: Counter[str], rule: ColumnRule) -> list[Finding]:
    parts = {fold_label(part) for value in counts for part in value.split("+")}
    negative = () if rule.negative == "others" else rule.negative
    notes = _absent(where, f"label {rule.column}", [*rule.positive, *negative, *rule.unknown], parts)
    unknown = {fold_label(value) for value in rule.unknown}
    swept: list[str] = []
    unnamed: list[str] = []
    for value, count in sorted(counts.items()):
        answer = part_target(value, rule)
        if answer == 0 and rule.negative == "others":
            swept.append(f"{value} ({count})")
        elif math.isnan(answer) and not unknown & {fold_label(part) for part in value.split("+")}:
            unnamed.append(f"{value} ({count})")
    if swept:
        notes.append(Finding("negative_by_others", "note", f"{where}: negative because `others` says so", swept))
    if unnamed:
        notes.append(Finding("values_unknown", "note", f"{where}: unknown, for the rule does not name them", unnamed))
    return notes


def _class_notes(name: str, recordings: pd.DataFrame, rule: ClassRule, classes: tuple[str, ...]) -> list[Finding]:
    counts = _counts(recordings, rule.column)
    named = list(rule.classes) if rule.classes is not None else list(classes)
    notes = _absent(name, f"label {rule.column}", named, {fold_label(value) for value in counts})
    known = {fold_label(value) for value in named}
    unnamed = [f"{value} ({count})" for value, count in sorted(counts.items()) if fold_label(value) not in known]
    if unnamed:
        notes.append(Finding("values_unknown", "note", f"{name}: of no class, so they take no part", unnamed))
    return notes


def _event_notes(name: str, counts: Counter[str], rules: list[EventRule]) -> list[Finding]:
    kinds = dict.fromkeys(kind for rule in rules for kind in (*rule.events, *rule.annotated_by, *rule.unknown))
    kinds.pop(WHOLE_RECORDING, None)
    notes = _absent(name, "event", kinds, set(counts))
    unnamed = [f"{kind} ({count})" for kind, count in sorted(counts.items()) if kind not in kinds]
    if unnamed:
        notes.append(Finding("events_not_named", "note", f"{name}: events that no rule of the task names", unnamed))
    return notes


def _absent(where: str, what: str, named: Iterable[str], held: set[str]) -> list[Finding]:
    absent = sorted({value for value in named if fold_label(value) not in held})
    if not absent:
        return []
    return [Finding("values_not_found", "note", f"{where}: no recording has this {what}, which the rule names", absent)]
