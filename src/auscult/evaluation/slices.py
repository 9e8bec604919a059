"""Metrics of slices of the test set: by dataset, site, device, sex and age group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from auscult.config import JobSettings, SplitSettings, TaskSettings
from auscult.config.split import ColumnSplit
from auscult.formatting.metric_tables import NORMAL_CLASS_METRICS
from auscult.formatting.published import TEST_PART
from auscult.metrics.aggregation import LevelRows, at_level
from auscult.metrics.evidence import Owners, estimates, multi_class_estimates, view_evidence
from auscult.metrics.intervals import resample_weights
from auscult.splits.assign import split_column
from auscult.storage.tables import probabilities_of, read_recordings, truth_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from auscult.training.dataset import ClipDataset

MIN_PATIENTS = 5
"""Slices with fewer patients get no metrics: these would mislead, and could identify a patient."""

AGE_GROUPS: tuple[tuple[float, str], ...] = (
    (5, "under 5 years"),
    (18, "5 to 17"),
    (65, "18 to 64"),
    (np.inf, "65 and over"),
)
"""Upper end (exclusive) and name; pneumonia in children is defined and counted below five years (WHO)."""

SLICED_BY = ("dataset", "site", "device", "sex", "age group")
NOT_STATED = "not stated"
_KEPT = ("auroc", "sensitivity", "specificity")


def slice_metrics(
    test: pd.DataFrame,
    tables: Mapping[str, Path],
    *,
    task: TaskSettings,
    thresholds: Mapping[str, float],
    generator: np.random.Generator,
    resamples: int,
    split: SplitSettings | None = None,
) -> list[dict[str, Any]]:
    """Return the metrics of every slice at the task's level; an attribute with one value only is left out.

    A slice consists of clips, which are then combined: a patient recorded with two devices is in both slices, each
    time with the clips of that device alone.

    Args:
        test: The test set's rows of `predictions.parquet`.
        tables: Dataset -> folder with `recordings.parquet`.
        task: What was predicted.
        thresholds: Target -> threshold; empty for a multi-class task.
        generator: The only source of randomness.
        resamples: Of the bootstrap over patients.
        split: Names the parts of the test set, if it has any: each is a slice too.

    Returns:
        One entry a slice: `by`, `value`, `n` (clips, patients and, unless multi-class, target -> positive, negative)
        and `metrics` (name -> estimate). Below `MIN_PATIENTS` patients `metrics` is None and `n` holds clips
        and patients only.
    """
    attributes = slice_attributes(test, tables, split)
    found: list[dict[str, Any]] = []
    for by in attributes.columns:
        values = attributes[by]
        names = in_order(values.unique())
        if len(names) < 2:
            continue
        for value in names:
            clips = test.loc[(values == value).to_numpy()]
            rows = at_level(probabilities_of(clips, task), truth_of(clips, task), clips, task, task.level)
            entry: dict[str, Any] = {"by": by, "value": value, "n": {"clips": len(clips)}, "metrics": None}
            entry["n"]["patients"] = len(np.unique(clips["patient_id"].to_numpy(dtype=str)))
            if entry["n"]["patients"] >= MIN_PATIENTS:
                entry["n"] |= _counts(rows, task)
                entry["metrics"] = _metrics(rows, task, thresholds, generator, resamples)
            found.append(entry)
    return found


def age_group(age_years: float) -> str:
    """Return the name of the group that an age falls into.

    >>> age_group(4.9), age_group(5.0), age_group(70.0), age_group(float("nan"))
    ('under 5 years', '5 to 17', '65 and over', 'not stated')
    """
    return next((name for end, name in AGE_GROUPS if age_years < end), NOT_STATED)


def in_order(values: Iterable[str]) -> list[str]:
    """Return age groups by age, other values by name, `not stated` last.

    >>> in_order(["not stated", "65 and over", "5 to 17"])
    ['5 to 17', '65 and over', 'not stated']
    """
    groups = [name for _, name in AGE_GROUPS]
    return sorted(
        values, key=lambda value: (value == NOT_STATED, groups.index(value) if value in groups else -1, value)
    )


def slice_attributes(test: pd.DataFrame, tables: Mapping[str, Path], split: SplitSettings | None) -> pd.DataFrame:
    """Return the columns `SLICED_BY` of every clip, after `TEST_PART` where the split names parts.

    Args:
        test: The test set's rows of `predictions.parquet`.
        tables: Dataset -> folder with `recordings.parquet`.
        split: Names the parts of the test set, if it has any.
    """
    names = sorted(set(test["dataset"]))
    recordings = pd.concat([read_recordings(tables[name] / "recordings.parquet") for name in names], ignore_index=True)
    at = pd.Index(recordings["recording_id"]).get_indexer(pd.Index(test["recording_id"]))
    here = recordings.iloc[at].reset_index(drop=True)
    found = here[["site", "device", "sex"]].astype(object).where(here[["site", "device", "sex"]].notna(), NOT_STATED)
    ages = [age_group(age) for age in here["age_years"].to_numpy(dtype=np.float64)]
    found = found.assign(dataset=test["dataset"].to_numpy(dtype=object), **{"age group": ages})[list(SLICED_BY)]
    parts = test_parts(recordings, split)
    if parts is not None:
        found.insert(0, TEST_PART, parts.iloc[at].to_numpy(dtype=object))
    return found


def test_parts(recordings: pd.DataFrame, split: SplitSettings | None) -> pd.Series | None:
    """Return the part of the test set that each recording belongs to by the split; None where it names none."""
    if not isinstance(split, ColumnSplit) or not split.test_parts:
        return None
    part_of = {value: part for part, values in split.test_parts.items() for value in values}
    return split_column(recordings, split.column).str.strip().map(part_of).fillna(NOT_STATED)


def _counts(rows: LevelRows, task: TaskSettings) -> dict[str, Any]:
    if task.type == "multi_class":
        return {"known": int((~np.isnan(rows.targets).any(axis=1)).sum())}
    return {
        target: {
            "positive": int((rows.targets[:, column] == 1).sum()),
            "negative": int((rows.targets[:, column] == 0).sum()),
        }
        for column, target in enumerate(task.targets)
    }


def _metrics(
    rows: LevelRows, task: TaskSettings, thresholds: Mapping[str, float], generator: np.random.Generator, resamples: int
) -> dict[str, Any]:
    everyone, patients = np.unique(rows.patient_ids.astype(str), return_inverse=True)
    owners = Owners(patients, np.arange(len(patients)), resample_weights(len(everyone), resamples, generator))
    views = view_evidence(rows, task, [thresholds[target] for target in task.targets if thresholds], owners)
    if task.type == "multi_class":
        classes = [[views[target]] for target in task.targets]
        values = multi_class_estimates([views["multi_class"]], classes)[0]
        kept = ("accuracy", "balanced_accuracy") if task.normal_class is None else NORMAL_CLASS_METRICS
        return {name: values[name] for name in kept}
    found: dict[str, Any] = {}
    if "four_class" in views:
        found["icbhi_score"] = estimates([views["four_class"]])["score"]
    for target in task.targets:
        values = estimates([views[target]])
        prefix = f"{target}_" if len(task.targets) > 1 else ""
        kept = _KEPT[:1] if len(task.targets) > 1 else _KEPT
        found |= {f"{prefix}{name}": values[name] for name in kept}
    return found


def judged_sections(
    examples: ClipDataset, tables: Mapping[str, Path], job: JobSettings
) -> dict[str, NDArray[np.bool_]]:
    """Return which clips are judged together: of `val`, of `test`, and of each `test:<part>` that the split names."""
    subsets = examples.clips["split"].to_numpy(dtype=object)
    sections = {name: subsets == name for name in ("val", "test") if (subsets == name).any()}
    names = sorted(set(examples.clips["dataset"]))
    recordings = pd.concat([read_recordings(tables[name] / "recordings.parquet") for name in names], ignore_index=True)
    parts = test_parts(recordings, job.split)
    if parts is None:
        return sections
    at = pd.Index(recordings["recording_id"]).get_indexer(pd.Index(examples.clips["recording_id"]))
    of_clips = parts.to_numpy(dtype=object)[at]
    is_test = subsets == "test"
    found = {f"test:{name}": is_test & (of_clips == name) for name in sorted(set(of_clips[is_test]))}
    return sections | (found if len(found) > 1 else {})
