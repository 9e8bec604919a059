"""From the predictions of clips to that of a recording or a patient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from auscult.config.task import LEVELS

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from auscult.config.task import TaskSettings


METHODS = ("mean", "max", "noisy_or")


@dataclass(frozen=True)
class LevelRows:
    """Answers and truth at one level, one row a clip, recording or patient.

    Attributes:
        ids: The row's id, shape [row].
        patient_ids: The row's patient, shape [row].
        probabilities: float64 [row, target].
        targets: float32 [row, target], NaN for unknown.
        n_mixed: Multi-class: groups whose known clips disagree in class; their targets are unknown.
    """

    ids: NDArray[np.object_]
    patient_ids: NDArray[np.object_]
    probabilities: NDArray[np.float64]
    targets: NDArray[np.float32]
    n_mixed: int = 0


def aggregate(
    probabilities: ArrayLike, targets: ArrayLike, ids: ArrayLike, method: str, *, multi_class: bool = False
) -> tuple[NDArray[np.object_], NDArray[np.float64], NDArray[np.float32]]:
    """Combine the rows that share an id.

    Probabilities: `mean`, `max`, or `noisy_or` = 1 - product of (1 - p), over all rows of the id. Targets: the maximum
    over what is known, so that one positive clip makes a patient positive; NaN where nothing is known. Multi-class: the
    class where all known rows agree on it, a row of NaN otherwise.

    Args:
        probabilities: Shape [row, target].
        targets: Shape [row, target]: 1, 0 or NaN.
        ids: Shape [row]: the recording or patient of each row.
        method: One of `METHODS`; multi-class predictions are always averaged, so that they still add up to one.
        multi_class: Targets are one-hot rows or rows of NaN.

    Returns:
        ids in sorted order [group], probabilities float64 [group, target], targets float32 [group, target].

    Raises:
        ValueError: Shapes do not fit, or `method` is not known.
    """
    predictions, truth, keys = _checked(probabilities, targets, ids)
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; allowed: {', '.join(METHODS)}")
    if multi_class and method != "mean":
        raise ValueError(f"multi-class predictions are averaged, found method {method!r}")
    codes, groups = pd.factorize(keys, sort=True)
    order = np.argsort(codes, kind="stable")
    first = np.searchsorted(codes[order], np.arange(len(groups)))
    predictions, truth = predictions[order], truth[order]
    if len(groups) == 0:
        return np.array(groups, dtype=object), predictions, truth
    if method == "max":
        combined = np.maximum.reduceat(predictions, first, axis=0)
    elif method == "noisy_or":
        combined = 1 - np.multiply.reduceat(1 - predictions, first, axis=0)
    else:
        combined = np.add.reduceat(predictions, first, axis=0) / np.bincount(codes, minlength=len(groups))[:, None]
    # fmax takes the known one of a known and an unknown value.
    joined = np.fmax.reduceat(truth, first, axis=0)
    if multi_class:
        joined[np.nansum(joined, axis=1) > 1] = np.nan
    return np.array(groups, dtype=object), combined, joined


def weigh_class(probabilities: ArrayLike, column: int, offset: float) -> NDArray[np.float64]:
    """Return the probabilities [row, class] after `offset` is added to the logit of one class.

    Args:
        probabilities: Of exclusive classes, shape [row, class]; each row adds up to 1.
        column: Of that class.
        offset: 0 leaves them as they are.

    >>> weigh_class([[0.5, 0.5]], 0, float(np.log(3))).round(6).tolist()
    [[0.75, 0.25]]
    """
    found = np.array(probabilities, dtype=np.float64)
    if not offset or not len(found):
        return found
    with np.errstate(divide="ignore"):
        logits = np.log(found)
    logits[:, column] += offset
    weighed = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weighed / weighed.sum(axis=1, keepdims=True)


def at_level(  # noqa: PLR0917 (in the order of the data flow)
    probabilities: ArrayLike,
    targets: ArrayLike,
    ids: pd.DataFrame,
    task: TaskSettings,
    level: str,
    normal_shift: float = 0.0,
) -> LevelRows:
    """Return predictions and truth at `level`, combined by the task's method.

    Args:
        probabilities: Shape [clip, target].
        targets: Shape [clip, target]: 1, 0 or NaN.
        ids: Columns `clip_id`, `recording_id` and `patient_id`, one row a clip.
        task: Its `aggregate.method` and type.
        level: `clip`, `recording` or `patient`.
        normal_shift: Added to the logit of the task's normal class before clips are combined.

    Raises:
        ValueError: Shapes do not fit, or `level` is not known.
    """
    if level not in LEVELS:
        raise ValueError(f"unknown level {level!r}; allowed: {', '.join(LEVELS)}")
    if normal_shift:
        probabilities = weigh_class(probabilities, task.normal_column, normal_shift)
    keys = ids[f"{level}_id"].to_numpy(dtype=object)
    patients = ids["patient_id"].to_numpy(dtype=object)
    predictions, truth, keys = _checked(probabilities, targets, keys)
    if level == "clip":
        return LevelRows(keys, patients, predictions, truth)
    multi_class = task.type == "multi_class"
    groups, combined, joined = aggregate(predictions, truth, keys, task.aggregate.method, multi_class=multi_class)
    first = pd.Series(patients).groupby(keys, sort=True).first()
    n_mixed = 0
    if multi_class:
        any_known = set(keys[~np.isnan(truth).all(axis=1)])
        n_mixed = sum(group in any_known for group in groups[np.isnan(joined).all(axis=1)])
    return LevelRows(groups, first.loc[groups].to_numpy(dtype=object), combined, joined, n_mixed)


def _checked(
    probabilities: ArrayLike, targets: ArrayLike, ids: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.object_]]:
    predictions = np.asarray(probabilities, dtype=np.float64)
    truth = np.asarray(targets, dtype=np.float32)
    keys = np.asarray(ids, dtype=object)
    if predictions.ndim != 2 or predictions.shape != truth.shape or keys.shape != (len(predictions),):
        raise ValueError(
            f"expected [row, target] twice and as many ids, found {predictions.shape}, {truth.shape} and {keys.shape}"
        )
    return predictions, truth, keys
