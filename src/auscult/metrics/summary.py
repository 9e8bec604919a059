"""All scores of one subset of a split, at the levels of clip, recording and patient, with intervals over patients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from auscult.config.task import LEVELS
from auscult.config.train import EXACT_MATCH, NORMAL_CLASS_MONITORS
from auscult.metrics.aggregation import LevelRows, at_level
from auscult.metrics.evidence import (
    Evidence,
    Owners,
    all_estimates,
    count_patients,
    multi_class_estimates,
    view_evidence,
)
from auscult.metrics.icbhi import CLASSES, UNKNOWN, confusion, four_classes, icbhi_score, normal_class_scores
from auscult.metrics.intervals import resample_weights
from auscult.metrics.operating_points import as_points
from auscult.metrics.plain_scores import RANKING_SCORES, balanced_accuracy
from auscult.metrics.thresholds import FALLBACK, four_class_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from auscult.config.task import TaskSettings
    from auscult.metrics.operating_points import LevelPoint

    Weights = NDArray[np.float32]


def summarise(  # noqa: PLR0917 (all seven are needed, in the order of the data flow)
    targets: ArrayLike,
    probabilities: ArrayLike,
    ids: pd.DataFrame,
    task: TaskSettings,
    points: Mapping[str, LevelPoint] | Sequence[float],
    rng: np.random.Generator,
    n_resamples: int,
) -> dict[str, Any]:
    """Return every score of one subset as JSON-like nested mappings.

    `{level: {target: {metric: estimate, "n", "confusion"}, "macro", "four_class"}}`, or for a multi-class task
    `{level: {"multi_class": {...}}}`, each estimate a `score_intervals.Estimate`; how it gets its interval is explained
    at `evidence`. None stands for undefined. `macro` is the mean over all targets and undefined where it is so for one
    of them; with several targets it holds `exact_match` too, the share of rows with all targets right, over rows that
    are known throughout. `four_class` is in per cent, all else lies in [0, 1] (mcc in [-1, 1], the `brier` of a
    multi-class task in [0, 2]).

    Args:
        targets: Shape [clip, target]: 1, 0 or NaN for unknown.
        probabilities: Shape [clip, target].
        ids: Columns `clip_id`, `recording_id` and `patient_id`, one row a clip.
        task: Gives targets, type, aggregation and the four-class view.
        points: Level -> where decisions are taken; thresholds alone, one a target, hold at every level.
        rng: The only source of randomness.
        n_resamples: Resamples of the bootstrap; 0: no intervals.

    Raises:
        ValueError: Shapes do not fit.
    """
    at = as_points(points)
    for point in at.values() if task.type != "multi_class" else ():
        if len(point.thresholds) != len(task.targets):
            raise ValueError(f"expected {len(task.targets)} thresholds, found {len(point.thresholds)}")
    all_patients = np.unique(ids["patient_id"].to_numpy(dtype=str))
    weights = resample_weights(len(all_patients), n_resamples, rng)
    summary: dict[str, Any] = {}
    for level in LEVELS:
        rows = at_level(probabilities, targets, ids, task, level, at[level].normal_shift)
        patients = np.searchsorted(all_patients, rows.patient_ids.astype(str))
        if task.type == "multi_class":
            summary[level] = {"multi_class": _multi_class(rows, task, patients, weights)}
        else:
            summary[level] = _targets(rows, task, at[level].thresholds, patients, weights)
    return summary


def validation_metrics(
    targets: ArrayLike, probabilities: ArrayLike, ids: pd.DataFrame, task: TaskSettings
) -> dict[str, float | None]:
    """Return the `val/<name>` values of an epoch, at the task's level: threshold-free, or at 0.5.

    The names are those of `config.train.monitors_for`, without `val/loss`. Means over targets (classes) are None where
    one of them is undefined.

    Args:
        targets: Shape [clip, target]: 1, 0 or NaN for unknown.
        probabilities: Shape [clip, target].
        ids: Columns `clip_id`, `recording_id` and `patient_id`, one row a clip.
        task: Gives targets, type, level and aggregation.
    """
    rows = at_level(probabilities, targets, ids, task, task.level)
    truth, scores = rows.targets.astype(np.float64), rows.probabilities
    values = {
        f"val/{name}": _mean([score(truth[:, k], scores[:, k]) for k in range(truth.shape[1])])
        for name, score in RANKING_SCORES.items()
    }
    if task.type == "multi_class":
        known = ~np.isnan(truth).any(axis=1)
        true, predicted = truth[known].argmax(axis=1), scores[known].argmax(axis=1)
        recalls = [_share(predicted[true == code] == code) for code in range(truth.shape[1])]
        values["val/balanced_accuracy"] = _mean(recalls)
        values["val/accuracy"] = _share(true == predicted)
        if task.normal_class is not None:
            table = confusion(true, predicted, len(task.targets))
            by_normal = normal_class_scores(table, task.normal_column, task.left_out_columns)
            for name in NORMAL_CLASS_MONITORS:
                values[f"val/{name}"] = None if np.isnan(by_normal[name]) else float(by_normal[name])
        return values
    predicted = np.where(scores >= FALLBACK, 1.0, 0.0)
    values["val/balanced_accuracy"] = _mean(
        [balanced_accuracy(truth[:, k], predicted[:, k]) for k in range(truth.shape[1])]
    )
    if task.type == "multi_label" and len(task.targets) > 1:
        whole = ~np.isnan(truth).any(axis=1)
        values[f"val/{EXACT_MATCH}"] = _share((truth == predicted)[whole].all(axis=1))
    columns = four_class_columns(task)
    if columns is not None:
        crackle, wheeze = columns
        values["val/icbhi_score"] = icbhi_score(
            four_classes(truth[:, crackle], truth[:, wheeze]), four_classes(predicted[:, crackle], predicted[:, wheeze])
        )
    return values


def _targets(
    rows: LevelRows, task: TaskSettings, thresholds: Sequence[float], patients: NDArray[np.int64], weights: Weights
) -> dict[str, Any]:
    predicted = rows.probabilities >= np.asarray(thresholds, dtype=np.float64)
    evidence = view_evidence(rows, task, thresholds, Owners(patients, np.arange(len(patients)), weights))
    section: dict[str, Any] = dict(all_estimates([evidence], task))
    for column, target in enumerate(task.targets):
        known = ~np.isnan(rows.targets[:, column])
        truth, predictions = rows.targets[known, column] == 1, predicted[known, column]
        section[target] |= {
            "n": {
                "positive": int(truth.sum()),
                "negative": int((~truth).sum()),
                "unknown": int((~known).sum()),
                **count_patients(evidence[target]),
            },
            "confusion": {
                "tp": int((truth & predictions).sum()),
                "tn": int((~truth & ~predictions).sum()),
                "fp": int((~truth & predictions).sum()),
                "fn": int((truth & ~predictions).sum()),
            },
        }
    columns = four_class_columns(task)
    if columns is not None:
        true, classes = (four_classes(*(table[:, column] for column in columns)) for table in (rows.targets, predicted))
        section["four_class"] = section.pop("four_class") | _about_four_classes(true, classes, evidence["four_class"])
    return section


def _about_four_classes(true: NDArray[np.int64], predicted: NDArray[np.int64], evidence: Evidence) -> dict[str, Any]:
    known = true != UNKNOWN
    n = count_patients(evidence)
    return {
        "unit": "percent",
        "classes": list(CLASSES),
        "confusion": confusion(true, predicted).tolist(),
        "n": {
            "known": int(known.sum()),
            "unknown": int((~known).sum()),
            "patients": n["patients"],
            "normal_patients": n["positive_patients"],
            "abnormal_patients": n["negative_patients"],
        },
    }


def _multi_class(rows: LevelRows, task: TaskSettings, patients: NDArray[np.int64], weights: Weights) -> dict[str, Any]:
    known = np.logical_and.reduce(~np.isnan(rows.targets), axis=1)
    true = rows.targets[known].argmax(axis=1).astype(np.int64)
    predicted = rows.probabilities[known].argmax(axis=1).astype(np.int64)
    evidence = view_evidence(rows, task, (), Owners(patients, np.arange(len(patients)), weights))
    found, of_classes = multi_class_estimates([evidence["multi_class"]], [[evidence[name]] for name in task.targets])
    classes = {
        name: {
            **of_class,
            "n": int((true == code).sum()),
            "patients": count_patients(evidence[name])["positive_patients"],
        }
        for code, (name, of_class) in enumerate(zip(task.targets, of_classes, strict=True))
    }
    return {
        **found,
        "classes": list(task.targets),
        "by_class": classes,
        "confusion": confusion(true, predicted, len(task.targets)).tolist(),
        # A group whose clips are of several classes (a speaker of all digits) has no single right class.
        "n": {
            "known": int(known.sum()),
            "unknown": int((~known).sum()) - rows.n_mixed,
            "several_classes": rows.n_mixed,
            "patients": len(np.unique(patients[known])),
        },
    }


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def _share(right: NDArray[np.bool_]) -> float | None:
    return float(right.mean()) if right.size else None
