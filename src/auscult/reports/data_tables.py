"""The report's tables on data: what was ingested, how labels were made, how it was split, what the audit found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auscult.config import ClassRule, EventClassRule, Experiment, TaskSettings
from auscult.formatting.numbers import duration_text, plural
from auscult.formatting.text import listed, tally
from auscult.reports.flow_section import FlowView, flow_view
from auscult.reports.settings import settings_text

SUBSETS = {"train": "training", "val": "validation", "calibration": "calibration", "test": "test"}
MAX_VALUES_SHOWN = 8
MAX_IDS_SHOWN = 6


@dataclass(frozen=True)
class Ingested:
    """One dataset as it was read: facts as (name, text), then rejections and notices, counted by kind."""

    name: str
    facts: list[tuple[str, str]]
    n_rejected: int
    rejected: str
    notices: str


@dataclass(frozen=True)
class SplitTable:
    """A split that some jobs share.

    Attributes:
        jobs: Their ids.
        description: How it was made.
        rows: (dataset, (subset, cells) of each subset); all together first.
        targets: Names of the columns after patients and recordings.
        findings: (severity, text, ids) of the audit.
        left_out: (reason, counts).
        flow: What became of the recordings.
    """

    jobs: list[str]
    description: str
    rows: list[tuple[str, list[tuple[str, list[str]]]]]
    targets: tuple[str, ...]
    findings: list[tuple[str, str, str]]
    left_out: list[tuple[str, str]]
    flow: FlowView


def ingested(name: str, summary: Mapping[str, Any]) -> Ingested:
    """Return the content of a dataset's `summary.json` as text."""
    are_pictures = not summary["sample_rates_hz"]
    facts = [
        ("pictures" if are_pictures else "recordings", f"{summary['recordings']:,}"),
        ("patients", f"{summary['patients']:,}"),
    ]
    if not are_pictures:
        facts.append(("sound", duration_text(3600 * summary["duration_h"])))
        facts.append(("sample rates (Hz)", _tally(summary["sample_rates_hz"])))
    facts.append(("encodings", _tally(summary["encodings"])))
    missing = summary["missing"]
    facts += [(key, _tally(summary[key], missing[key])) for key in missing if summary[key]]
    facts += [
        (f"label {label}", _tally(found["counts"], found["missing"]))
        for label, found in summary["labels"].items()
        if found["counts"]
    ]
    if summary["events"]:
        facts.append(("events", _tally({kind: found["count"] for kind, found in summary["events"].items()})))
    unstated = [key for key in missing if not summary[key]]
    if unstated:
        facts.append(("not stated", ", ".join(unstated)))
    rejected = summary["rejected"]
    # Kinds and counts only: the names are those of files and patients, and a report travels further than its data.
    notices = {kind.replace("_", " "): found["count"] for kind, found in summary["notices"].items()}
    return Ingested(name, facts, rejected["total"], _tally(rejected["by_class"]), _tally(notices) if notices else "")


def split_tables(experiment: Experiment, task: TaskSettings, audits: Sequence[Mapping[str, Any]]) -> list[SplitTable]:
    """Return one table for each different split; jobs that share it stand together.

    Args:
        experiment: Its jobs.
        task: Its targets and level.
        audits: One a job, in order.
    """
    tables: list[SplitTable] = []
    seen: list[Mapping[str, Any]] = []
    for run, audit in zip(experiment.runs, audits, strict=True):
        if audit in seen:
            tables[seen.index(audit)].jobs.append(run.id)
            continue
        seen.append(audit)
        of_datasets = audit["by_dataset"]
        if len(of_datasets) > 1:
            of_datasets = {"all": audit["total"], **of_datasets}
        rows = [
            (
                name,
                [
                    (word, _subset_cells(counts[subset], task))
                    for subset, word in SUBSETS.items()
                    if audit["total"].get(subset, {}).get("patients")
                ],
            )
            for name, counts in of_datasets.items()
        ]
        tables.append(
            SplitTable(
                jobs=[run.id],
                description=_how(run.settings.split.model_dump(mode="json")),
                rows=rows,
                targets=() if task.type == "multi_class" else task.targets,
                findings=[
                    (found["severity"], found["text"], listed(found["ids"], MAX_IDS_SHOWN))
                    for found in (*audit["findings"], *audit["rules"])
                ],
                left_out=[
                    (
                        group["reason"],
                        f"{plural(group['recordings'], 'recording')}, {plural(group['patients'], 'patient')}",
                    )
                    for group in audit["left_out"]
                ],
                flow=flow_view(audit, f"flow{len(seen)}"),
            )
        )
    return tables


def declared_exceptions(experiment: Experiment, audits: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """Return the exceptions from good practice that the experiment declares: (text, ids of the jobs)."""
    found: dict[str, list[str]] = {}
    for run, audit in zip(experiment.runs, audits, strict=True):
        texts = [str(text) for text in audit["declared"]]
        if run.settings.allow_doubtful:
            doubtful = ", ".join(run.settings.allow_doubtful)
            texts.append(f"the labels of {doubtful} are in doubt for this task (allow_doubtful in the experiment)")
        for text in texts:
            found.setdefault(text, []).append(run.id)
    return list(found.items())


def label_conflicts(audits: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what the audits found of one sound under labels that contradict each other, each once.

    >>> found = {"kind": "conflicting_labels", "text": "1 sound", "ids": ["a/1 (copd) = a/2 (normal)"]}
    >>> label_conflicts([{"findings": [found]}, {"findings": [found]}])
    ['1 sound: a/1 (copd) = a/2 (normal)']
    """
    texts = [
        f"{found['text']}: {listed(found['ids'], MAX_IDS_SHOWN)}"
        for audit in audits
        for found in audit["findings"]
        if found["kind"] == "conflicting_labels"
    ]
    return list(dict.fromkeys(texts))


def _subset_cells(counts: Mapping[str, Any], task: TaskSettings) -> list[str]:
    """Patients, recordings, then positive / negative of each target, counted at the level of the task."""
    cells = [f"{counts['patients']:,}", f"{counts['recordings']:,}"]
    if task.type == "multi_class":
        return cells
    unit = "patients" if task.level == "patient" else "recordings"
    for target in task.targets:
        values = counts["targets"][target][unit]
        unknown = f", {values['unknown']:,} ?" if values["unknown"] else ""
        cells.append(f"{values['positive']:,} / {values['negative']:,}{unknown}")
    return cells


def _how(split: Mapping[str, Any]) -> str:
    words = {"patients": "patients assigned at random, stratified", "official": "the dataset's own list"}
    kind = str(split["kind"])
    rest = [
        f"{key} {_flat_text(value)}" for key, value in split.items() if key != "kind" and value not in ([], None, {})
    ]
    return f"{words.get(kind, f'by {kind}')} ({'; '.join(rest)})"


def _flat_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {settings_text(item)}" for key, item in value.items())
    return settings_text(value)


def _tally(counts: Mapping[str, int], missing: int = 0) -> str:
    return tally(counts, most=MAX_VALUES_SHOWN, missing=missing)


def label_rules(task: TaskSettings, experiment: Experiment) -> list[tuple[str, str, str]]:
    """Return (dataset, target, rule in words) for the datasets of this experiment."""
    used = {name for job in experiment.jobs for name in job.datasets}
    found: list[tuple[str, str, str]] = []
    for dataset, rule in task.classes_from.items():
        if dataset in used:
            found.append((dataset, "class", class_rule_text(rule)))
    for dataset, rules in task.datasets.items():
        for target, rule in rules.items() if dataset in used else ():
            found.append((dataset, target, rule_text(rule.model_dump(mode="json"))))
    return found


def class_rule_text(rule: ClassRule | EventClassRule) -> str:
    """Return the rule of a multi-class task in words."""
    if isinstance(rule, ClassRule):
        return f"the label `{rule.column}`"
    classes = "; ".join(f"{name} where a {' or '.join(kinds)} event overlaps" for name, kinds in rule.events.items())
    none = "" if rule.none is None else f"; else {rule.none} within each {' or '.join(rule.annotated_by)}"
    unknown = f"; unknown where a {' or '.join(rule.unknown)} event does" if rule.unknown else ""
    several = "unknown" if rule.several == "unknown" else "the one of which most sound is there"
    return f"{classes}{none}{unknown}; of several classes: {several}"


def rule_text(rule: Mapping[str, Any]) -> str:
    """Return a target's rule (an event or a column rule, as a mapping) in words."""
    if "events" in rule:
        within = " or ".join(rule["annotated_by"])
        unknown = f"; unknown where a {' or '.join(rule['unknown'])} event does" if rule["unknown"] else ""
        present = " or ".join(rule["events"])
        return f"positive where a {present} event overlaps{unknown}; negative elsewhere within each {within}"
    negative = rule["negative"]
    others = "any other value" if negative == "others" else ", ".join(negative)
    unknown = f"; unknown: {', '.join(rule['unknown'])}" if rule["unknown"] else ""
    return f"label {rule['column']}: positive if {', '.join(rule['positive'])}; negative if {others}{unknown}"
