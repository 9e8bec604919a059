"""A probe for shortcuts: how well a model's embeddings tell device, site and dataset of patients of the same label.

Nobody asked the model to tell devices. Where its embeddings do, and a device goes with the label, the model may have
learned the device in place of the illness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auscult.evaluation.slices import NOT_STATED
from auscult.metrics.intervals import estimate, resample_weights
from auscult.metrics.score_intervals import MIN_PATIENTS_RESAMPLED

PROBED = ("device", "site", "dataset")
MIN_PATIENTS = MIN_PATIENTS_RESAMPLED
"""A device, site or dataset of fewer patients is left out: some have to be learned from and others judged."""
MAX_CLIPS = 500
"""Most clips that are embedded, spread over the patients."""

_MAX_CLIPS_PER_PATIENT = 8
_FOLDS = 5
_REPEATS = 4
_PENALTY = 300.0
"""Inverse strength (`C`), over the width of the embeddings: so one penalty suits narrow and wide ones."""


def draw_clips(patient_ids: NDArray[np.object_], generator: np.random.Generator) -> NDArray[np.int64]:
    """Return which clips to embed, in their order: as many of each patient, at most `MAX_CLIPS` in all.

    Args:
        patient_ids: Shape [clip].
        generator: The only source of randomness.
    """
    order = generator.permutation(len(patient_ids))
    codes, patients = pd.factorize(patient_ids[order])
    each = int(np.clip(MAX_CLIPS // max(1, len(patients)), 1, _MAX_CLIPS_PER_PATIENT))
    nth = pd.DataFrame({"patient": codes}).groupby("patient").cumcount().to_numpy()
    return np.sort(order[nth < each][:MAX_CLIPS])


def probe_shortcuts(
    embeddings: NDArray[np.float32],
    clips: pd.DataFrame,
    targets: NDArray[np.float32],
    *,
    generator: np.random.Generator,
    resamples: int,
) -> dict[str, dict[str, Any]]:
    """Return, for each of `PROBED`, how well the embeddings tell its values.

    One row is a patient's mean embedding with one value (of two devices: two rows). A logistic regression is
    cross-validated by patient, several times; a pair of rows counts where both were judged by the same fold, one of the
    value and one of another, and, for `auroc`, where the targets are the same: what the embeddings know by the label
    alone is then worth nothing. The mean over the values is reported.

    Args:
        embeddings: Shape [clip, feature].
        clips: Columns `patient_id` and `PROBED`, one row a clip.
        targets: Shape [clip, target]: 1, 0 or NaN.
        generator: The only source of randomness.
        resamples: Of the bootstrap over patients.

    Returns:
        What was probed -> `reason` (why there is no figure; else None), `values` (value -> patients and, for each
        target with a known label, the share that is positive), `auroc` (of patients with the same label) and
        `auroc_any_label`, each value, low and high.
    """
    found: dict[str, dict[str, Any]] = {}
    for by in PROBED:
        rows = _rows(embeddings, clips, targets, by)
        names, counts = np.unique(rows.values, return_counts=True)
        kept = [str(name) for name in names[counts >= MIN_PATIENTS] if name != NOT_STATED]
        found[by] = {"reason": None, "values": _describe(rows, kept), "auroc": None, "auroc_any_label": None}
        if set(names) == {NOT_STATED}:
            found[by]["reason"] = f"no {by} is stated"
        elif len(names) < 2:
            found[by]["reason"] = f"all are of one {by}"
        elif len(kept) < 2:
            found[by]["reason"] = f"fewer than two have {MIN_PATIENTS} patients each in training and validation"
        else:
            found[by] |= _probe(_only(rows, kept), generator, resamples)
    return found


@dataclass(frozen=True)
class _Rows:
    """Mean embeddings of patients, each with one value.

    Attributes:
        embeddings: Shape [row, feature].
        patients: Shape [row].
        values: Shape [row].
        targets: Shape [row, target].
    """

    embeddings: NDArray[np.float64]
    patients: NDArray[np.str_]
    values: NDArray[np.str_]
    targets: NDArray[np.float64]

    @property
    def labels(self) -> NDArray[np.intp]:
        """A number for each combination of targets, unknown one of the states, shape [row]."""
        return np.unique(np.nan_to_num(self.targets, nan=-1.0), axis=0, return_inverse=True)[1].ravel()


def _rows(embeddings: NDArray[np.float32], clips: pd.DataFrame, targets: NDArray[np.float32], by: str) -> _Rows:
    keys = np.stack([clips[name].to_numpy(dtype=str) for name in ("patient_id", by)], axis=1)
    names, groups = np.unique(keys, axis=0, return_inverse=True)
    groups = groups.ravel()
    means = np.zeros((len(names), embeddings.shape[1]))
    np.add.at(means, groups, embeddings)
    means /= np.bincount(groups, minlength=len(names))[:, None]
    # One positive clip makes a patient positive; fmax takes the known one of a known and an unknown value.
    joined = np.full((len(names), targets.shape[1]), np.nan)
    np.fmax.at(joined, groups, targets.astype(np.float64))
    return _Rows(means, names[:, 0], names[:, 1], joined)


def _only(rows: _Rows, values: Sequence[str]) -> _Rows:
    at = np.isin(rows.values, values)
    return _Rows(rows.embeddings[at], rows.patients[at], rows.values[at], rows.targets[at])


def _describe(rows: _Rows, values: Sequence[str]) -> dict[str, dict[str, Any]]:
    described: dict[str, dict[str, Any]] = {}
    for value in values:
        of_value = rows.targets[rows.values == value]
        shares = [of_target[~np.isnan(of_target)] for of_target in of_value.T]
        described[value] = {
            "patients": len(of_value),
            "positive": [float(known.mean()) if len(known) else None for known in shares],
        }
    return described


def _probe(rows: _Rows, generator: np.random.Generator, resamples: int) -> dict[str, Any]:
    """Cross-validate, and count the pairs in the right order under every weighting of the patients."""
    names, values = np.unique(rows.values, return_inverse=True)
    fewest = int(np.bincount(values).min())
    everyone, patients = np.unique(rows.patients, return_inverse=True)
    weights = resample_weights(len(everyone), resamples, generator)[patients].T.astype(np.float64)
    scores, folds = _cross_validated(rows.embeddings, values, patients, len(names), generator)
    labels = rows.labels
    same_label = labels[:, None] == labels[None, :]
    found: dict[str, Any] = {}
    for name, together in (("auroc", same_label), ("auroc_any_label", np.ones_like(same_label))):
        of_values = [
            _ordered(scores[:, :, code], values == code, folds, together, weights) for code in range(len(names))
        ]
        # A value that no patient of another one shares a label with has no pair.
        defined = [areas for areas in of_values if not np.isnan(areas[0])]
        found[name] = None
        if defined:
            found[name] = estimate(np.mean(defined, axis=0), fewest, "patients of a value", (0.0, 1.0))
    if found["auroc"] is None:
        found["reason"] = (
            "no label occurs with two of them: what the embeddings know of it cannot be told from the label"
        )
    return found


def _cross_validated(
    x: NDArray[np.float64],
    values: NDArray[np.intp],
    patients: NDArray[np.intp],
    n_values: int,
    generator: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the scores [repeat, row, value] of rows whose patient was not fitted on, and the folds [repeat, row]."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 (slow to import)
    from sklearn.model_selection import StratifiedGroupKFold  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    scores = np.zeros((_REPEATS, len(x), n_values))
    folds = np.zeros((_REPEATS, len(x)), dtype=np.int64)
    for repeat in range(_REPEATS):
        division = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=int(generator.integers(2**31)))
        for fold, (fitted, judged) in enumerate(division.split(x, values, patients)):
            classifier = make_pipeline(
                StandardScaler(),
                LogisticRegression(C=_PENALTY / x.shape[1], class_weight="balanced", max_iter=2000),
            )
            classifier.fit(x[fitted], values[fitted])
            scores[repeat][np.ix_(judged, classifier.classes_)] = classifier.predict_proba(x[judged])
            folds[repeat, judged] = fold
    return scores, folds


def _ordered(
    scores: NDArray[np.float64],
    is_value: NDArray[np.bool_],
    folds: NDArray[np.int64],
    together: NDArray[np.bool_],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the share of pairs in which the row of the value has the higher score, ties half, shape [weighting].

    Args:
        scores: Shape [repeat, row].
        is_value: Shape [row].
        folds: Shape [repeat, row].
        together: Pairs that may be compared, shape [row, row].
        weights: Of the rows, shape [weighting, row].
    """
    right = np.zeros((int(is_value.sum()), int((~is_value).sum())))
    pairs = np.zeros_like(right)
    for of_repeat, fold in zip(scores, folds, strict=True):
        comparable = together[np.ix_(is_value, ~is_value)] & (fold[is_value][:, None] == fold[~is_value][None, :])
        gaps = of_repeat[is_value][:, None] - of_repeat[~is_value][None, :]
        right += comparable * ((gaps > 0) + 0.5 * (gaps == 0))
        pairs += comparable
    of_value, of_others = weights[:, is_value], weights[:, ~is_value]
    with np.errstate(invalid="ignore"):
        return ((of_value @ right) * of_others).sum(axis=1) / ((of_value @ pairs) * of_others).sum(axis=1)
