"""Differences between subgroups of the test set and the rest, and between its datasets and sites."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auscult.config import TaskSettings
from auscult.evaluation.slices import MIN_PATIENTS, NOT_STATED, in_order
from auscult.metrics.aggregation import at_level
from auscult.metrics.effective_size import Share, area_estimate
from auscult.metrics.evidence import Evidence, Owners, count_patients, view_evidence
from auscult.metrics.gaps import Gap, area_gap, share_gap
from auscult.metrics.heterogeneity import pooled_or_why
from auscult.metrics.intervals import resample_weights
from auscult.metrics.multiplicity import holm
from auscult.metrics.score_intervals import undefined
from auscult.storage.tables import probabilities_of, truth_of

GAPS = ("auroc", "sensitivity", "specificity")
STUDIES = ("dataset", "site")
"""Over these results are pooled."""
REST = "the rest"


def subgroup_gaps(
    test: pd.DataFrame, attributes: pd.DataFrame, task: TaskSettings, thresholds: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Return by how much each subgroup differs from the rest of the test set, at the task's level.

    Rows whose attribute is not stated are in neither. Of two subgroups one is compared with the other, once. p-values
    have Holm's correction over all subgroups, targets and scores.

    Args:
        test: The test set's rows of `predictions.parquet`.
        attributes: From `slices.slice_attributes`, a row a clip.
        task: What was predicted; each class of a multi-class task stands against the rest.
        thresholds: Target -> threshold at the task's level; empty for a multi-class task.

    Returns:
        An entry a subgroup and target with at least `slices.MIN_PATIENTS` patients on both sides: `by`, `value`,
        `against`, `target`, `n` and `n_against` (patients, positive and negative ones), and `gaps`: score ->
        `metrics.gaps.Gap` with `p_holm`.
    """
    found: list[dict[str, Any]] = []
    for by in attributes.columns:
        values = attributes[by].to_numpy(dtype=object)
        names = in_order(set(values) - {NOT_STATED})
        if len(names) < 2:
            continue
        for name in names[:1] if len(names) == 2 else names:
            inside = values == name
            outside = ~inside & (values != NOT_STATED)
            if min(_n_patients(test, rows) for rows in (inside, outside)) < MIN_PATIENTS:
                continue
            one, other = (_evidence(test.loc[rows], task, thresholds) for rows in (inside, outside))
            against = names[1] if len(names) == 2 else REST
            found += [
                {
                    "by": by,
                    "value": name,
                    "against": against,
                    "target": target,
                    "n": count_patients(one[target]),
                    "n_against": count_patients(other[target]),
                    "gaps": _gaps(one[target], other[target]),
                }
                for target in task.targets
            ]
    gaps = [gap for entry in found for gap in entry["gaps"].values()]
    for gap, p in zip(gaps, holm([gap["p"] for gap in gaps]), strict=True):
        gap["p_holm"] = p
    return found


def heterogeneity(
    test: pd.DataFrame, attributes: pd.DataFrame, task: TaskSettings, thresholds: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Return the AUROC of each dataset and site, and pooled over them by random effects, at the task's level.

    Args:
        test: As in `subgroup_gaps`.
        attributes: As there.
        task: As there.
        thresholds: As there.

    Returns:
        An entry for each of `STUDIES` and target where there are two or more of them: `by`, `target`, `studies`
        (`value`, `n`, `auroc`), `pooled` (`metrics.heterogeneity.Pooled`; None where too few have an interval),
        `method`, and the `reason` why there is none.
    """
    found: list[dict[str, Any]] = []
    for by in (name for name in STUDIES if name in attributes.columns):
        values = attributes[by].to_numpy(dtype=object)
        names = in_order(set(values) - {NOT_STATED})
        large = [name for name in names if _n_patients(test, values == name) >= MIN_PATIENTS]
        if len(names) < 2:
            continue
        evidence = {name: _evidence(test.loc[values == name], task, thresholds) for name in large}
        for target in task.targets:
            areas = {name: _area(of[target]) for name, of in evidence.items()}
            studies = [
                {"value": name, "n": count_patients(evidence[name][target]), "auroc": area}
                for name, area in areas.items()
            ]
            small = [undefined() for _ in range(len(names) - len(large))]
            head = {"by": by, "target": target, "studies": studies}
            found.append(head | pooled_or_why([*areas.values(), *small], by))
    return found


def _evidence(clips: pd.DataFrame, task: TaskSettings, thresholds: Mapping[str, float]) -> dict[str, Evidence]:
    rows = at_level(probabilities_of(clips, task), truth_of(clips, task), clips, task, task.level)
    everyone, patients = np.unique(rows.patient_ids.astype(str), return_inverse=True)
    # No resamples: intervals of gaps and areas need none.
    weights = resample_weights(len(everyone), 0, np.random.default_rng(0))
    cuts = [thresholds[target] for target in task.targets if thresholds]
    return view_evidence(rows, task, cuts, Owners(patients, np.arange(len(patients)), weights))


def _gaps(one: Evidence, other: Evidence) -> dict[str, dict[str, Any]]:
    return {name: {**_gap(name, one, other), "p_holm": None} for name in GAPS}


def _gap(name: str, one: Evidence, other: Evidence) -> Gap:
    if name != "auroc":
        return share_gap(one.shares[name], other.shares[name])
    if one.ranked is None or other.ranked is None:
        empty = Share(np.zeros(0, bool), np.zeros(0, np.int64), np.zeros(0, np.int64))
        return share_gap(empty, empty)
    return area_gap(one.ranked, other.ranked)


def _area(of: Evidence) -> Mapping[str, Any]:
    return area_estimate(float(of.values["auroc"][0]), [] if of.ranked is None else [of.ranked])


def _n_patients(test: pd.DataFrame, rows: NDArray[np.bool_]) -> int:
    return int(test.loc[rows, "patient_id"].nunique())
