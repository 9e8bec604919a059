"""What metadata alone tell of the targets, and what the sound adds to them.

A logistic regression on age, sex, site, device and dataset is fitted on the training patients, with the penalty that
validation likes best, and judged on the test rows of the model. A second one weighs its logits and the model's against
each other, fitted on validation, where the model has not seen the labels in its gradient: what it gains over metadata
alone is what the sound adds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auscult.config import TaskSettings
from auscult.evaluation.slices import NOT_STATED, age_group
from auscult.metrics.aggregation import LevelRows, at_level
from auscult.metrics.calibration_line import logits_of
from auscult.metrics.evidence import OF_A_CLASS, Owners, all_estimates, all_values, fewest_patients, view_evidence
from auscult.metrics.intervals import estimate, resample_weights
from auscult.metrics.score_intervals import Estimate
from auscult.storage.tables import probabilities_of, read_facts, truth_of

PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Inverse strengths of the penalty (`C`) that are tried."""
KEPT = ("auroc", "auprc", "brier", "macro_auroc", "macro_auprc", "accuracy", "balanced_accuracy")
CATEGORIES = ("sex", "site", "device", "dataset")
MIN_VAL_UNITS = 10
"""With fewer labelled validation rows the weights of metadata and sound are not fitted."""

_T = TypeVar("_T")
_MOST = 1 - 1e-6
_DECISION = 0.5


@dataclass(frozen=True)
class Units:
    """Rows at the task's level.

    Attributes:
        ids: Shape [unit], sorted unless these are clips.
        targets: Shape [unit, target]: 1, 0 or NaN.
        metadata: One row a unit: `age_years`, `age group` and `CATEGORIES`, that of its first recording.
    """

    ids: NDArray[np.object_]
    targets: NDArray[np.float32]
    metadata: pd.DataFrame


def read_metadata(clips: pd.DataFrame, tables: Mapping[str, Path]) -> pd.DataFrame:
    """Return `age_years`, `age group` and `CATEGORIES` of every clip, of its recording; what is unknown is so called.

    Args:
        clips: Columns `recording_id` and `dataset`.
        tables: Dataset -> folder with `recordings.parquet`.
    """
    names = sorted(set(clips["dataset"]))
    columns = ("recording_id", "age_years", *CATEGORIES)
    recordings = pd.concat(
        [read_facts(tables[name] / "recordings.parquet", columns) for name in names], ignore_index=True
    )
    here = recordings.iloc[pd.Index(recordings["recording_id"]).get_indexer(pd.Index(clips["recording_id"]))]
    here = here.reset_index(drop=True)
    found = here[list(CATEGORIES)].astype(object).where(here[list(CATEGORIES)].notna(), NOT_STATED)
    ages = here["age_years"].to_numpy(dtype=np.float64)
    return found.assign(age_years=ages, **{"age group": [age_group(age) for age in ages]})


def units_of(clips: pd.DataFrame, targets: NDArray[np.float32], metadata: pd.DataFrame, task: TaskSettings) -> Units:
    """Combine clips to rows at the task's level, in the order of `metrics.aggregation.at_level`."""
    rows = at_level(np.zeros_like(targets, dtype=np.float64), targets, clips, task, task.level)
    keys = clips[f"{task.level}_id"].to_numpy(dtype=object)
    first = pd.Series(np.arange(len(keys))).groupby(keys, sort=True).first()
    return Units(rows.ids, rows.targets, metadata.iloc[first.loc[rows.ids].to_numpy()].reset_index(drop=True))


def measure_metadata(
    model_predictions: pd.DataFrame,
    train: tuple[pd.DataFrame, NDArray[np.float32]],
    tables: Mapping[str, Path],
    *,
    task: TaskSettings,
    generator: np.random.Generator,
    resamples: int,
) -> dict[str, Any]:
    """Judge metadata alone, the sound alone, and both, on the same test rows.

    Args:
        model_predictions: The model's rows of validation and test, columns of `predictions.parquet`.
        train: Clips (columns of `tables.CLIPS`) and targets [clip, target] of the training subset.
        tables: Dataset -> folder with `recordings.parquet`.
        task: What is predicted.
        generator: The only source of randomness.
        resamples: Of the bootstrap over patients, the same for all three.

    Returns:
        `reason` alone where there is nothing to judge; else `columns` (what was known), `n_train`, `penalty` (one a
        target, or one), `view` (whose metrics these are) and, each metric -> value, low, high: `metadata`, `sound`,
        `sound_less_metadata`, and `both` and `added` (both less metadata; None with `both_reason` where validation is
        too small).
    """
    clips, targets = train
    subsets = {
        name: model_predictions.loc[model_predictions["split"] == name].reset_index(drop=True)
        for name in ("val", "test")
    }
    of_train = units_of(clips, targets, read_metadata(clips, tables), task)
    units = {
        name: units_of(rows, truth_of(rows, task), read_metadata(rows, tables), task) for name, rows in subsets.items()
    }
    columns = _varying(of_train.metadata)
    if not columns:
        return {"reason": "no metadata are known that differ among the training patients"}
    sound = {
        name: at_level(probabilities_of(rows, task), truth_of(rows, task), rows, task, task.level)
        for name, rows in subsets.items()
    }
    fitted = _fit(of_train, units, columns, task)
    if fitted is None:
        return {"reason": "the training patients are all of one class"}
    alone, penalties = fitted
    rows = {"metadata": replace(sound["test"], probabilities=alone["test"]), "sound": sound["test"]}
    both, both_reason = _combine(alone, sound, task)
    if both is not None:
        rows["both"] = replace(sound["test"], probabilities=both)
    names, patients = np.unique(sound["test"].patient_ids.astype(str), return_inverse=True)
    owners = Owners(patients, np.arange(len(patients)), resample_weights(len(names), resamples, generator))
    views = {name: view_evidence(each, task, [_DECISION] * len(task.targets), owners) for name, each in rows.items()}
    view = main_view(task)
    estimates = {name: _kept(all_estimates([of], task)[view]) for name, of in views.items()}
    values = {name: _kept(all_values(of, task)[view]) for name, of in views.items()}
    fewest = fewest_patients(views["sound"], task)
    return {
        "reason": None,
        "columns": columns,
        "n_train": len(of_train.ids),
        "penalty": penalties,
        "view": view,
        **estimates,
        "sound_less_metadata": _difference(values["sound"], values["metadata"], fewest),
        "both": estimates.get("both"),
        "added": None if both is None else _difference(values["both"], values["metadata"], fewest),
        "both_reason": both_reason,
    }


def main_view(task: TaskSettings) -> str:
    """Return the view that is judged: the only target, the mean over targets, or all classes."""
    if task.type == "multi_class":
        return "multi_class"
    return task.targets[0] if len(task.targets) == 1 else "macro"


def _kept(view: Mapping[str, _T]) -> dict[str, _T]:
    """Return the metrics that need no operating point: those of a threshold would judge the choice of 0.5."""
    multi_class = "macro_auroc" in view
    names = [name for name in KEPT if multi_class or name not in {"accuracy", "balanced_accuracy"}]
    return {name: view[name] for name in names if name in view}


def _difference(
    one: Mapping[str, NDArray[np.float64]], other: Mapping[str, NDArray[np.float64]], n_patients: int
) -> dict[str, Estimate]:
    return {name: estimate(one[name] - other[name], n_patients, OF_A_CLASS) for name in one}


def _varying(metadata: pd.DataFrame) -> list[str]:
    """Return what is known and differs, in the words of the report."""
    names = {"age": "age_years", **{name: name for name in CATEGORIES}}
    return [name for name, column in names.items() if len(pd.unique(metadata[column].to_numpy())) > 1]


def _design(metadata: pd.DataFrame, columns: Sequence[str]) -> Any:
    """Return the encoder of metadata, fitted: categories as they are, what is unknown one of them; age, standardised.

    Age comes as a number and as a group, since a risk need not rise with it; an unknown age is the mean, and a group
    of its own.
    """
    from sklearn.compose import ColumnTransformer  # noqa: PLC0415 (slow to import)
    from sklearn.impute import SimpleImputer  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import OneHotEncoder, StandardScaler  # noqa: PLC0415

    categories = [name for name in columns if name != "age"] + (["age group"] if "age" in columns else [])
    parts: list[tuple[str, Any, list[str]]] = [("categories", OneHotEncoder(handle_unknown="ignore"), categories)]
    if "age" in columns and not np.isnan(metadata["age_years"].to_numpy(dtype=np.float64)).all():
        parts.append(("age", make_pipeline(SimpleImputer(), StandardScaler()), ["age_years"]))
    return ColumnTransformer(parts, sparse_threshold=0).fit(metadata)


def _fit(
    train: Units, units: Mapping[str, Units], columns: Sequence[str], task: TaskSettings
) -> tuple[dict[str, NDArray[np.float64]], list[float]] | None:
    """Return the probabilities of metadata for each subset of `units`, [unit, target], and the penalties."""
    encoder = _design(train.metadata, columns)
    x = {name: encoder.transform(each.metadata) for name, each in {"train": train, **units}.items()}
    if task.type == "multi_class":
        known = {name: _known(each.targets.sum(axis=1)) for name, each in {"train": train, **units}.items()}
        of_class = {name: each.targets.argmax(axis=1) for name, each in {"train": train, **units}.items()}
        if len(np.unique(of_class["train"][known["train"]])) < 2:
            return None
        penalty = _chosen(x, of_class, known)
        model = _regression(penalty).fit(x["train"][known["train"]], of_class["train"][known["train"]])
        found = {name: np.zeros((len(x[name]), len(task.targets))) for name in units}
        for name, values in found.items():
            values[:, model.classes_] = model.predict_proba(x[name])
        return found, [penalty]
    found = {name: np.empty((len(x[name]), len(task.targets))) for name in units}
    penalties: list[float] = []
    for column in range(len(task.targets)):
        truth: dict[str, NDArray[np.float32]] = {
            name: each.targets[:, column] for name, each in {"train": train, **units}.items()
        }
        known = {name: _known(values) for name, values in truth.items()}
        if len(np.unique(truth["train"][known["train"]])) < 2:
            return None
        penalties.append(_chosen(x, truth, known))
        model = _regression(penalties[-1]).fit(x["train"][known["train"]], truth["train"][known["train"]])
        for name, values in found.items():
            values[:, column] = model.predict_proba(x[name])[:, 1]
    return found, penalties


def _known(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.asarray(~np.isnan(values))


def _regression(penalty: float) -> Any:
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 (slow to import)

    return LogisticRegression(C=penalty, max_iter=5000)


def _chosen(
    x: Mapping[str, NDArray[np.float64]], truth: Mapping[str, NDArray[Any]], known: Mapping[str, NDArray[np.bool_]]
) -> float:
    """Return the penalty of the smallest loss on validation, the strongest of equals."""
    from sklearn.metrics import log_loss  # noqa: PLC0415 (slow to import)

    losses: list[float] = []
    train, val = (np.flatnonzero(known[name]) for name in ("train", "val"))
    for penalty in PENALTIES:
        model = _regression(penalty).fit(x["train"][train], truth["train"][train])
        seen = val[np.isin(truth["val"][val], model.classes_)]
        if not len(seen):
            return 1.0
        losses.append(float(log_loss(truth["val"][seen], model.predict_proba(x["val"][seen]), labels=model.classes_)))
    return PENALTIES[int(np.argmin(losses))]


def _combine(
    alone: Mapping[str, NDArray[np.float64]], sound: Mapping[str, LevelRows], task: TaskSettings
) -> tuple[NDArray[np.float64] | None, str]:
    """Return the test rows' probabilities from metadata and sound together, [unit, target], or None and why."""
    val, test = sound["val"], sound["test"]
    if task.type == "multi_class":
        known = ~np.isnan(val.targets).any(axis=1)
        of_class = val.targets.argmax(axis=1)
        if known.sum() < MIN_VAL_UNITS or len(np.unique(of_class[known])) < len(task.targets):
            return None, "validation holds too few rows, or not every class, to weigh metadata and sound"
        features = [
            np.log(np.clip(np.hstack([of, rows.probabilities]), 1 - _MOST, 1))
            for of, rows in ((alone["val"], val), (alone["test"], test))
        ]
        return _weighed(features[0][known], of_class[known], features[1]), ""
    found = np.empty_like(test.probabilities)
    for column in range(len(task.targets)):
        truth = val.targets[:, column]
        known = ~np.isnan(truth)
        if known.sum() < MIN_VAL_UNITS or len(np.unique(truth[known])) < 2:
            return None, "validation holds too few rows, or one class only, to weigh metadata and sound"
        features = [
            np.stack([logits_of(of[:, column]), logits_of(rows.probabilities[:, column])], axis=1)
            for of, rows in ((alone["val"], val), (alone["test"], test))
        ]
        found[:, column] = _weighed(features[0][known], truth[known], features[1])[:, 1]
    return found, ""


def _weighed(x: NDArray[np.float64], truth: NDArray[Any], test: NDArray[np.float64]) -> NDArray[np.float64]:
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415 (slow to import)
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    return make_pipeline(StandardScaler(), _regression(1.0)).fit(x, truth).predict_proba(test)
