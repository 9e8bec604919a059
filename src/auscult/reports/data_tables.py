"""The tables of the report's chapter on data: what was ingested, how it was split, what the audit found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auscult.config import Experiment, TaskSettings
from auscult.formatting.numbers import plural
from auscult.reports.settings import settings_text

SIDES = {"train": "train", "val": "validation", "test": "test"}
MAX_VALUES_SHOWN = 8
MAX_IDS_SHOWN = 6


@dataclass(frozen=True)
class Ingested:
    """One dataset as it was read: facts as (name, text) pairs, then what was rejected and noticed, counted by kind."""

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
        rows: (dataset, (side, cells) of each side); all together first.
        targets: Names of the columns after patients and recordings.
        findings: (severity, text, ids) of the audit.
        left_out: (reason, counts).
    """

    jobs: list[str]
    description: str
    rows: list[tuple[str, list[tuple[str, list[str]]]]]
    targets: tuple[str, ...]
    findings: list[tuple[str, str, str]]
    left_out: list[tuple[str, str]]


def ingested(name: str, summary: Mapping[str, Any]) -> Ingested:
    """Return what `summary.json` of a dataset says, for readers."""
    facts = [
        ("recordings", f"{summary['recordings']:,}"),
        ("patients", f"{summary['patients']:,}"),
        ("sound", _duration(summary["duration_h"])),
        ("sample rates (Hz)", _counts(summary["sample_rates_hz"])),
        ("encodings", _counts(summary["encodings"])),
    ]
    missing = summary["missing"]
    facts += [(key, _counts(summary[key], missing[key])) for key in missing if summary[key]]
    facts += [
        (f"label {label}", _counts(found["counts"], found["missing"]))
        for label, found in summary["labels"].items()
        if found["counts"]
    ]
    if summary["events"]:
        facts.append(("events", _counts({kind: found["count"] for kind, found in summary["events"].items()})))
    unstated = [key for key in missing if not summary[key]]
    if unstated:
        facts.append(("not stated", ", ".join(unstated)))
    rejected = summary["rejected"]
    # Kinds and counts only: the names are those of files and patients, and a report travels further than its data.
    notices = {kind.replace("_", " "): found["count"] for kind, found in summary["notices"].items()}
    return Ingested(name, facts, rejected["total"], _counts(rejected["by_class"]), _counts(notices) if notices else "")


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
        parts = audit["by_dataset"]
        if len(parts) > 1:
            parts = {"all": audit["total"], **parts}
        rows = [
            (name, [(word, _side_cells(counts[side], task)) for side, word in SIDES.items()])
            for name, counts in parts.items()
        ]
        tables.append(
            SplitTable(
                jobs=[run.id],
                description=_how(run.settings.split.model_dump(mode="json")),
                rows=rows,
                targets=() if task.type == "multi_class" else task.targets,
                findings=[
                    (found["severity"], found["text"], _some(found["ids"]))
                    for found in (*audit["findings"], *audit["rules"])
                ],
                left_out=[
                    (
                        part["reason"],
                        f"{plural(part['recordings'], 'recording')}, {plural(part['patients'], 'patient')}",
                    )
                    for part in audit["left_out"]
                ],
            )
        )
    return tables


def declared_exceptions(experiment: Experiment, audits: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """Return what the experiment allowed itself against good practice: (text, ids of the jobs)."""
    found: dict[str, list[str]] = {}
    for run, audit in zip(experiment.runs, audits, strict=True):
        texts = [str(text) for text in audit["declared"]]
        if run.settings.allow_doubtful:
            doubtful = ", ".join(run.settings.allow_doubtful)
            texts.append(f"the labels of {doubtful} are in doubt for this task (allow_doubtful in the experiment)")
        for text in texts:
            found.setdefault(text, []).append(run.id)
    return list(found.items())


def _side_cells(counts: Mapping[str, Any], task: TaskSettings) -> list[str]:
    """Patients, recordings, then positive / negative of each target, counted at the level where it is known."""
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
    words = {"patients": "patients drawn at random, stratified", "official": "the dataset's own list"}
    kind = str(split["kind"])
    rest = [
        f"{key} {_flat_text(value)}" for key, value in split.items() if key != "kind" and value not in ([], None, {})
    ]
    return f"{words.get(kind, f'by {kind}')} ({'; '.join(rest)})"


def _flat_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {settings_text(item)}" for key, item in value.items())
    return settings_text(value)


def _counts(counts: Mapping[str, int], missing: int = 0) -> str:
    """Return `value (count), ...`, the most frequent first; `not stated` counts the missing."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    parts = [f"{value} ({count:,})" for value, count in ordered[:MAX_VALUES_SHOWN]]
    if len(ordered) > MAX_VALUES_SHOWN:
        parts.append(f"{len(ordered) - MAX_VALUES_SHOWN} more")
    if missing:
        parts.append(f"not stated ({missing:,})" if parts else "not stated")
    return ", ".join(parts) or "none"


def _some(ids: Sequence[str]) -> str:
    rest = len(ids) - MAX_IDS_SHOWN
    return ", ".join(ids[:MAX_IDS_SHOWN]) + (f", and {rest:,} more" if rest > 0 else "")


def _duration(hours: float) -> str:
    """Return a length of sound.

    >>> _duration(0.058), _duration(5.51)
    ('3.5 min', '5.5 h')
    """
    return f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.1f} min"
