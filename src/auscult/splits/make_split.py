"""The stage: from the tables of a task's datasets to a split and its audit."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from auscult.config.paths import flow_path
from auscult.errors import InfeasibleError
from auscult.labels import recording_targets
from auscult.logs import TO_TERMINAL
from auscult.splits.assign import Assignment, assign
from auscult.splits.audit import build_audit
from auscult.splits.counts import refuse_infeasible
from auscult.splits.flow import flow_lines, split_flow
from auscult.splits.leaks import CONFLICTING_LABELS, N_EXAMPLES, Declared, Finding, find_leaks, refuse_leaks
from auscult.splits.rule_check import check_rules, rule_lines, rule_values
from auscult.storage.files import read_json, write_json
from auscult.storage.flow import FLOW_FILE, read_flow
from auscult.storage.tables import SPLIT, read_events, read_recordings, validate, write_csv

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auscult.config.split import SplitSettings
    from auscult.config.task import TaskSettings

logger = logging.getLogger(__name__)


def make_split(
    tables: Mapping[str, Path], settings: SplitSettings, task: TaskSettings, output: Path, audit: Path
) -> None:
    """Divide the patients of some datasets, check the division, and write it with its audit.

    Recordings without a known target take no part. Nothing is written when the split leaks or cannot support the task.

    Args:
        tables: Dataset -> folder of its tables, their flow and summary.
        settings: The kind of split.
        task: Its labels stratify, and every subset must hold them.
        output: The split (`tables.SPLIT`, CSV), sorted by recording; its folder is named after the task. The flow of
            recordings is written beside it (`paths.flow_path`).
        audit: Counts, findings, declared exceptions, and what the task's rules met in the tables (JSON).

    Raises:
        ConfigError: A column, dataset or site that is not there, or a rule's value that the data do not hold.
        DataError: A table is damaged, or the split leaks.
        InfeasibleError: A subset lacks positives or negatives, with the counts and a proposal.
    """
    recordings = pd.concat([read_recordings(folder / "recordings.parquet") for folder in tables.values()])
    recordings = recordings.reset_index(drop=True)
    events = pd.concat([read_events(folder / "events.parquet") for folder in tables.values()], ignore_index=True)
    known = ~np.isnan(recording_targets(recordings, events, task)).all(axis=1)
    summaries = {name: read_json(folder / "summary.json") for name, folder in tables.items()}
    rules = check_rules(recordings, events, task, summaries, output.parent.name)
    if not known.any():
        hints = [f"\n  {note.text}: {', '.join(note.ids[:N_EXAMPLES])}" for note in rules]
        raise InfeasibleError(
            f"none of {len(recordings)} recordings of {', '.join(tables)} has a known target of this task (targets "
            f"{', '.join(task.targets)}); compare the rules of the task with what the tables hold:{''.join(hints)}"
        )
    made = assign(pd.DataFrame(recordings[known]), events, settings, task)
    if not known.all():
        made.left_out["no target is known"] = recordings["recording_id"].to_numpy(dtype=object)[~known].tolist()
    split = _table(made)
    declared = Declared(getattr(settings, "allow_patient_overlap", False), {**settings.allow_leaks})
    findings = find_leaks(recordings, split, declared)
    refuse_leaks(findings)
    for finding in findings:
        if finding.kind == CONFLICTING_LABELS:
            logger.warning("%s: %s", finding.text, "; ".join(finding.ids[:N_EXAMPLES]))
    findings += [Finding(kind, "note", text, ids) for kind, text, ids in made.notes]
    report = build_audit((recordings, events), split, task, findings, made.left_out)
    refuse_infeasible(report["total"], report["by_dataset"], settings, task, rule_values(recordings, events, task))
    flow = split_flow({name: read_flow(folder / FLOW_FILE) for name, folder in tables.items()}, split, made.left_out)
    warnings = [str(text) for summary in summaries.values() for text in summary["flow"]["warnings"]]
    write_csv(output, split)
    write_csv(Path(flow_path(str(output))), flow)
    report |= {"rules": [asdict(note) for note in rules], "flow": flow.to_dict("records"), "warnings": warnings}
    write_json(audit, {"settings": settings.model_dump(mode="json"), **report})
    for line in (*flow_lines(flow), *rule_lines(rules)):
        logger.info("%s", line, extra=TO_TERMINAL)
    for warning in warnings:
        logger.warning("%s", warning)


def _table(made: Assignment) -> pd.DataFrame:
    """Return the recordings that are in a subset, as rows of `tables.SPLIT`."""
    rows = made.recordings[["recording_id", "patient_id", "dataset"]].assign(split=made.subsets)
    rows = pd.DataFrame(rows[rows["split"].notna()])
    return validate(rows.astype({"split": "str"}).reset_index(drop=True), SPLIT, "split")
