"""How many patients and recordings hold a positive and a negative of each target, and whether that suffices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from auscult.config.task import EventClassRule, EventRule
from auscult.errors import ConfigError, InfeasibleError, unknown_name
from auscult.labels import MARKED_RECORDING, WHOLE_RECORDING, clip_targets, recording_targets
from auscult.storage.tables import SUBSETS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from auscult.config.split import SplitSettings
    from auscult.config.task import TaskSettings


N_PARTS = 10
"""A recording that was listened to as a whole is looked at in so many parts, for it has no cycles to look at."""


@dataclass(frozen=True)
class Evidence:
    """What the patients of some recordings hold, in sorted order of `patient_ids`.

    Attributes:
        patient_ids: Shape [patient].
        datasets: Shape [patient].
        positive: Shape [patient, target]: it holds a positive.
        negative: Shape [patient, target]: it holds a negative.
    """

    patient_ids: NDArray[np.object_]
    datasets: NDArray[np.object_]
    positive: NDArray[np.bool_]
    negative: NDArray[np.bool_]


@dataclass(frozen=True)
class RecordingFacts:
    """What is known of each recording, computed once and summed up for any part of the recordings.

    Attributes:
        patient_ids: Shape [recording].
        datasets: Shape [recording].
        targets: Shape [recording, target]: 1, 0 or NaN.
        positive: Shape [recording, target]: it holds a positive at the task's level.
        negative: Shape [recording, target]: it holds a negative at the task's level.
        level: The task's level. At `clip` a recording can hold both; at `patient` one positive recording makes the
            patient positive and nothing else.
    """

    patient_ids: NDArray[np.object_]
    datasets: NDArray[np.object_]
    targets: NDArray[np.float32]
    positive: NDArray[np.bool_]
    negative: NDArray[np.bool_]
    level: str

    def take(self, at: NDArray[np.bool_]) -> RecordingFacts:
        """Return the facts of some of the recordings."""
        return RecordingFacts(
            patient_ids=self.patient_ids[at],
            datasets=self.datasets[at],
            targets=self.targets[at],
            positive=self.positive[at],
            negative=self.negative[at],
            level=self.level,
        )

    def by_patient(self) -> Evidence:
        """Return what the patients of these recordings hold."""
        patient_ids, first, rows = np.unique(self.patient_ids.astype(str), return_index=True, return_inverse=True)
        positive = _any_by(rows, self.positive, len(patient_ids))
        negative = _any_by(rows, self.negative, len(patient_ids))
        if self.level == "patient":
            negative &= ~positive
        return Evidence(patient_ids.astype(object), self.datasets[first], positive, negative)

    def patient_values(self) -> NDArray[np.float32]:
        """Return the maximum of what is known of each patient, shape [patient, target], patients in sorted order."""
        patient_ids, rows = np.unique(self.patient_ids.astype(str), return_inverse=True)
        values = np.where(_any_by(rows, self.targets == 0, len(patient_ids)), np.float32(0), np.float32(np.nan))
        values[_any_by(rows, self.targets == 1, len(patient_ids))] = 1
        return values


def _any_by(rows: NDArray[np.integer], held: NDArray[np.bool_], n_rows: int) -> NDArray[np.bool_]:
    found = np.zeros((n_rows, held.shape[1]), dtype=bool)
    at, column = np.nonzero(held)
    found[rows[at], column] = True
    return found


def recording_facts(recordings: pd.DataFrame, events: pd.DataFrame, task: TaskSettings) -> RecordingFacts:
    """Look up what is known of every recording.

    Args:
        recordings: Rows of `tables.RECORDINGS`.
        events: Rows of `tables.EVENTS`.
        task: Its level and rules.
    """
    targets = recording_targets(recordings, events, task)
    positive, negative = targets == 1, targets == 0
    if task.level == "clip":
        parts = _parts(recordings, events, task)
        values = clip_targets(parts, recordings, events, task)
        rows = pd.Index(recordings["recording_id"]).get_indexer(pd.Index(parts["recording_id"]))
        positive, negative = (_any_by(rows, values == value, len(recordings)) for value in (1, 0))
    patient_ids, datasets = (recordings[name].to_numpy(dtype=object) for name in ("patient_id", "dataset"))
    return RecordingFacts(patient_ids, datasets, targets, positive, negative, task.level)


def _parts(recordings: pd.DataFrame, events: pd.DataFrame, task: TaskSettings) -> pd.DataFrame:
    """Return stretches that clips of any setting would fall on: what was annotated, and the recordings themselves."""
    rules = [
        *(rule for by_target in task.datasets.values() for rule in by_target.values()),
        *task.classes_from.values(),
    ]
    kinds = {kind for rule in rules if isinstance(rule, EventRule | EventClassRule) for kind in rule.annotated_by}
    owners = pd.DataFrame(recordings[["recording_id"]])
    duration_s = recordings["duration_s"].to_numpy(dtype=np.float64)
    stretches = [owners.assign(start_s=0.0, end_s=duration_s)]
    if kinds & {WHOLE_RECORDING, MARKED_RECORDING}:
        part_s = duration_s / N_PARTS
        stretches += [owners.assign(start_s=k * part_s, end_s=(k + 1) * part_s) for k in range(N_PARTS)]
    ours = pd.Index(owners["recording_id"]).get_indexer(pd.Index(events["recording_id"])) >= 0
    chosen = events["kind"].isin(list(kinds)).to_numpy(dtype=bool) & ours
    stretches.append(pd.DataFrame(events.loc[chosen, ["recording_id", "start_s", "end_s"]]))
    return pd.concat(stretches, ignore_index=True)


Counts = dict[str, Any]


def count_subsets(
    facts: RecordingFacts,
    hours: NDArray[np.float64],
    subsets: NDArray[np.object_],
    targets: Sequence[str],
    names: Sequence[str] = ("train", "val", "test"),
) -> dict[str, Counts]:
    """Count every subset.

    Args:
        facts: What is known of the recordings that take part.
        hours: Their durations.
        subsets: The subset of each recording.
        targets: The targets' names.
        names: The subsets to count.

    Returns:
        subset -> {"patients", "recordings", "hours", "targets": target -> counts}, where counts are of "patients" and
        "recordings", each {"positive", "negative", "unknown"}, and at the task's level of patients that hold a positive
        ("patients_with_positive") and a negative ("patients_with_negative").
    """
    counts: dict[str, Counts] = {}
    for subset in names:
        here = facts.take(subsets == subset)
        of_patients = here.patient_values()
        evidence = here.by_patient()
        counts[subset] = {
            "patients": len(of_patients),
            "recordings": len(here.targets),
            "hours": round(float(hours[subsets == subset].sum()), 4),
            "targets": {
                target: {
                    "patients": _values(of_patients[:, column]),
                    "recordings": _values(here.targets[:, column]),
                    "patients_with_positive": int(evidence.positive[:, column].sum()),
                    "patients_with_negative": int(evidence.negative[:, column].sum()),
                }
                for column, target in enumerate(targets)
            },
        }
    return counts


def _values(column: NDArray[np.float32]) -> dict[str, int]:
    return {
        "positive": int((column == 1).sum()),
        "negative": int((column == 0).sum()),
        "unknown": int(np.isnan(column).sum()),
    }


def refuse_infeasible(
    counts: dict[str, Counts],
    by_dataset: dict[str, dict[str, Counts]],
    settings: SplitSettings,
    task: TaskSettings,
    rules: dict[str, list[str]] | None = None,
) -> None:
    """Stop when a subset cannot train, choose or judge some target.

    Every subset needs a patient with a positive and one with a negative of every target, at the task's level; for a
    multi-class task, a patient of every class. What `settings.allow_absent` names may be missing, and validation where
    the settings leave nobody there.

    Args:
        counts: Of each subset, all datasets together.
        by_dataset: The same of each dataset.
        settings: How the split was made, for the proposal.
        task: Its targets.
        rules: Target -> its rule in each dataset with the values present, as lines.

    Raises:
        ConfigError: `allow_absent` names what is no target.
        InfeasibleError: With what is missing, the counts by subset and dataset, and a proposal.
    """
    unknown = sorted({name for names in settings.allow_absent.values() for name in names} - set(task.targets))
    if unknown:
        raise ConfigError(f"split.allow_absent: {unknown_name('target', unknown[0], task.targets)}")
    missing: list[str] = []
    short: set[str] = set()
    kinds = ("positive",) if task.type == "multi_class" else ("positive", "negative")
    for target in task.targets:
        for subset in SUBSETS:
            if subset not in counts or (subset == "val" and _has_no_validation(settings)):
                continue
            for kind in kinds if target not in settings.allow_absent.get(subset, ()) else ():
                if counts[subset]["targets"][target][f"patients_with_{kind}"] == 0:
                    missing.append(f"{subset} holds no patient with a {kind} of {target!r}")
                    short.add(target)
    if missing:
        shown = "; ".join(missing[:6]) + (f"; and {len(missing) - 6} more" if len(missing) > 6 else "")
        said = "".join(f"{target}: {line}\n" for target in sorted(short) for line in (rules or {}).get(target, []))
        table = _counts_text(counts, by_dataset, sorted(short))
        raise InfeasibleError(
            f"this split cannot support the task (targets {', '.join(task.targets)}): {shown}.\n{table}\n"
            f"{said}{_proposal(counts, settings, sorted(short), kinds)}"
        )


def _has_no_validation(settings: SplitSettings) -> bool:
    return settings.val_fold is not None and settings.val_fold.fold is None


def _counts_text(counts: dict[str, Counts], by_dataset: dict[str, dict[str, Counts]], targets: Sequence[str]) -> str:
    """Return the counts of some targets as lines of text, of each dataset and, where there are several, of all."""
    parts = {**by_dataset, "all": counts} if len(by_dataset) > 1 else by_dataset
    rows = [
        {
            "target": target,
            "dataset": name,
            "subset": subset,
            "patients": of_part[subset]["patients"],
            "recordings": of_part[subset]["recordings"],
            **{f"patients {kind}": n for kind, n in of_part[subset]["targets"][target]["patients"].items()},
        }
        for target in targets
        for name, of_part in parts.items()
        for subset in of_part
    ]
    return pd.DataFrame(rows).to_string(index=False)


def _proposal(
    counts: dict[str, Counts], settings: SplitSettings, targets: Sequence[str], kinds: tuple[str, ...]
) -> str:
    fewest, target, kind = min(
        (sum(counts[subset]["targets"][target][f"patients_with_{kind}"] for subset in counts), target, kind)
        for target in targets
        for kind in kinds
    )
    if fewest < len(counts):
        n_subsets = {3: "three", 4: "four"}[len(counts)]
        return (
            f"Proposal: {fewest} patients in all hold a {kind} of {target!r}, and each of the {n_subsets} subsets "
            f"needs one: add a dataset whose labels hold it, or choose another task"
        )
    lacks_validation = any(
        counts["val"]["targets"][name][f"patients_with_{of}"] == 0 for name in targets for of in kinds
    )
    if settings.val_fold is not None and settings.val_fold.fold is not None and lacks_validation:
        return (
            f"Proposal: lower val_folds, for every one of the {settings.val_fold.n_folds} parts is validation once and "
            f"needs a patient of each kind, or declare what one lacks: `allow_absent: {{val: [{target}]}}`"
        )
    if settings.calibration_fraction:
        return (
            "Proposal: raise the share of validation, of which calibration_fraction takes its patients, change "
            "calibration_fraction, or take another seed"
        )
    if settings.kind == "column":
        return (
            f"Proposal: `split: {{kind: patients}}` can divide them, for at least {fewest} patients hold what is "
            f"missing; or, for a published split, declare what a subset lacks: `allow_absent: {{val: [{target}]}}`"
        )
    if settings.kind == "patients":
        return "Proposal: raise the fractions of val and test, or take another seed"
    return (
        f"Proposal: `split: {{kind: patients}}` can divide them, for at least {fewest} patients hold what is missing; "
        f"or judge a task that the present subsets support"
    )
