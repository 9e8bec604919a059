"""The points that curves are drawn from, as tables; None where a curve is undefined."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import precision_recall_curve, roc_curve

from auscult.metrics.effective_size import Share, share_estimate

_Z95 = 1.959963984540054

Values = npt.NDArray[np.floating]


def known(y_true: Values, prob: Values) -> tuple[npt.NDArray[np.bool_], Values]:
    """Leave out the unknown: rows whose target is NaN.

    Args:
        y_true: 1, 0 or NaN, shape [n].
        prob: Probabilities, shape [n].
    """
    is_known = ~np.isnan(y_true)
    return y_true[is_known] > 0.5, prob[is_known]


def roc_points(y_true: Values, prob: Values) -> pd.DataFrame | None:
    """Return the ROC curve's corners: `fpr`, `tpr`, `threshold` (NaN at the start, where nothing is called positive).

    >>> roc_points(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.1, 0.4, 0.35, 0.8]))["tpr"].tolist()
    [0.0, 0.5, 0.5, 1.0, 1.0]
    >>> roc_points(np.array([1.0, np.nan]), np.array([0.2, 0.7])) is None
    True
    """
    truth, score = known(y_true, prob)
    if truth.all() or not truth.any():
        return None
    fpr, tpr, threshold = roc_curve(truth, score)
    return pd.DataFrame({"fpr": fpr, "tpr": tpr, "threshold": np.where(np.isfinite(threshold), threshold, np.nan)})


def pr_points(y_true: Values, prob: Values) -> pd.DataFrame | None:
    """Return the precision-recall curve's corners: `recall` falling, `precision`, `threshold` (NaN at its end)."""
    truth, score = known(y_true, prob)
    if truth.all() or not truth.any():
        return None
    precision, recall, threshold = precision_recall_curve(truth, score, drop_intermediate=True)
    return pd.DataFrame({"recall": recall, "precision": precision, "threshold": np.append(threshold, np.nan)})


def calibration_bins(
    y_true: Values,
    prob: Values,
    max_bins: int = 10,
    min_per_bin: int = 8,
    patients: npt.NDArray[np.integer] | None = None,
) -> pd.DataFrame | None:
    """Return observed shares of positives in bins of about equal counts, with 95% intervals.

    Equal counts, not equal widths: a bin of two patients says nothing. Equal probabilities stay in one bin.

    Args:
        y_true: 1, 0 or NaN, shape [n].
        prob: Probabilities, shape [n].
        max_bins: Of many rows.
        min_per_bin: Of few.
        patients: Whose each row is, numbers from 0, shape [n]: intervals then rest on patients, as all others do
            (`effective_size.share_estimate`). None: Wilson's intervals of independent rows.

    Returns:
        Columns `prob` (the bin's mean), `share`, `low`, `high`, `n`; None when fewer than two bins fill.
    """
    truth, score = known(y_true, prob)
    owners = None if patients is None else patients[~np.isnan(y_true)].astype(np.int64)
    n_bins = min(max_bins, len(score) // min_per_bin)
    if n_bins < 2:
        return None
    edges = np.unique(np.quantile(score, np.linspace(0, 1, n_bins + 1)[1:-1]))
    group = np.searchsorted(edges, score, side="right")
    rows: list[tuple[float, float, float, float, int]] = []
    for number in np.unique(group):
        members = group == number
        n, hits = int(members.sum()), int(truth[members].sum())
        low, high = wilson_interval(hits, n)
        if owners is not None:
            found = share_estimate(hits / n, [Share(truth[members], owners[members], np.flatnonzero(members))])
            low, high = (np.nan if end is None else end for end in (found["low"], found["high"]))
        rows.append((float(score[members].mean()), hits / n, low, high, n))
    if len(rows) < 2:
        return None
    return pd.DataFrame(rows, columns=["prob", "share", "low", "high", "n"])


def wilson_interval(hits: int, n: int) -> tuple[float, float]:
    """Return the 95% interval of a share (Wilson 1927, Probable inference, the law of succession).

    >>> [round(end, 4) for end in wilson_interval(0, 10)]
    [0.0, 0.2775]
    """
    share, z2 = hits / n, _Z95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    # At 0 and 1 an end is the share itself, which rounding may miss by a hair.
    return min(max(0.0, centre - half), share), max(min(1.0, centre + half), share)
