"""Decision curves: is it better to act by the model than to treat everybody, or nobody?

Vickers and Elkin 2006, Decision curve analysis: a novel method for evaluating prediction models, Med Decis Making
26:565. Who acts at a probability of `p` holds one missed case to be as bad as `(1 - p) / p` needless treatments; net
benefit counts true positives a person, less needless treatments at that rate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from auscult.metrics.intervals import estimate

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

THRESHOLDS = tuple(round(0.01 * step, 2) for step in range(1, 100))
COLUMNS = ("threshold", "model", "low", "high", "treat_all", "treat_none", "true_positives", "false_positives", "n")


def net_benefit(true_positives: ArrayLike, false_positives: ArrayLike, n: ArrayLike, threshold: ArrayLike) -> Floats:
    """Return the net benefit of each threshold; arguments are broadcast.

    >>> float(net_benefit(20, 10, 100, 0.2))
    0.175
    """
    odds = np.asarray(threshold, np.float64) / (1 - np.asarray(threshold, np.float64))
    n_rows = np.asarray(n, np.float64)
    with np.errstate(invalid="ignore"):
        return (np.asarray(true_positives, np.float64) - np.asarray(false_positives, np.float64) * odds) / n_rows


def decision_curve(
    y_true: ArrayLike, prob: ArrayLike, patients: NDArray[np.int64], weights: NDArray[np.float32]
) -> pd.DataFrame | None:
    """Return the net benefit of the model, of treating all and of treating none, at `THRESHOLDS`.

    A row is treated where its probability reaches the threshold. The interval is the model's, over patients.

    Args:
        y_true: Shape [row]: 1, 0 or NaN for unknown.
        prob: Shape [row].
        patients: The row of `weights` of each row, shape [row].
        weights: From `intervals.resample_weights`, shape [patient, weighting].

    Returns:
        Columns `COLUMNS`; None unless both classes occur.
    """
    truth, predicted = np.asarray(y_true, np.float64), np.asarray(prob, np.float64)
    known = ~np.isnan(truth)
    is_ill, predicted, owners = truth[known] == 1, predicted[known], patients[known]
    if is_ill.all() or not is_ill.any():
        return None
    n_patients = min(len(np.unique(owners[side])) for side in (is_ill, ~is_ill))
    totals = _totals(np.column_stack([is_ill, ~is_ill]).astype(np.float64), owners, weights)
    rows: list[tuple[float | None, ...]] = []
    for threshold in THRESHOLDS:
        treated = predicted >= threshold
        hits, needless = _totals(np.column_stack([treated & is_ill, treated & ~is_ill]), owners, weights).T
        benefit = estimate(
            net_benefit(hits, needless, totals.sum(axis=1), threshold), n_patients, "patients of a class"
        )
        of_all = float(net_benefit(totals[0, 0], totals[0, 1], len(is_ill), threshold))
        found = (benefit["value"], benefit["low"], benefit["high"], of_all, 0.0)
        rows.append((threshold, *found, int(hits[0]), int(needless[0]), len(is_ill)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def useful_ranges(curve: pd.DataFrame) -> list[tuple[float, float]]:
    """Return the stretches of thresholds (first, last) at which the model beats treating all and treating none.

    >>> table = {"threshold": [0.1, 0.2, 0.3], "model": [0.2, 0.2, 0.1], "treat_all": [0.2, 0.1, -0.1]}
    >>> useful_ranges(pd.DataFrame(table))
    [(0.2, 0.3)]
    """
    better = curve["model"].to_numpy() > np.maximum(curve["treat_all"].to_numpy(), 0.0) + 1e-12
    ends = np.flatnonzero(np.diff(np.concatenate([[False], better, [False]]).astype(int)))
    at = curve["threshold"].to_numpy()
    return [(float(at[first]), float(at[last - 1])) for first, last in zip(ends[::2], ends[1::2], strict=True)]


def _totals(
    columns: NDArray[np.floating] | NDArray[np.bool_], owners: NDArray[np.int64], weights: NDArray[np.float32]
) -> Floats:
    sums = np.zeros((len(weights), columns.shape[1]))
    np.add.at(sums, owners, columns.astype(np.float64))
    return weights.T.astype(np.float64) @ sums
