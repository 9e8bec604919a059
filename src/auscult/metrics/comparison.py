"""By how much results differ, with intervals: each resample of patients judges all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from auscult.config.task import TaskSettings
from auscult.formatting.numbers import LOWER_IS_BETTER, METRIC_NAMES, Number
from auscult.metrics.aggregation import LevelRows
from auscult.metrics.delong import AreaDifference, area_difference, areas_of
from auscult.metrics.icbhi import UNKNOWN, four_classes
from auscult.metrics.intervals import estimate, resample_weights
from auscult.metrics.multiplicity import ERROR_RATE, max_t_p, two_families_p
from auscult.metrics.scores import binary_values, four_class_values, multi_class_values
from auscult.metrics.thresholds import four_class_columns

SHOWN = (
    "score", "macro_auroc", "auroc", "auprc", "sensitivity", "specificity", "f1", "macro_f1", "accuracy",
    "balanced_accuracy", "mcc", "brier",
)  # fmt: skip
"""The metrics that are compared, in this order, where a view has them."""
_OF_FOUR_CLASSES = ("score", "sensitivity", "specificity")

LETTERS = "ABCDEFGHIJKL"
"""Names of results that stand side by side."""

Values = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Line:
    """One metric of all results.

    Attributes:
        metric: Its name in print.
        values: Of each result.
        differences: Of each result but the first: its value less the first one's.
        is_lower_better: Of an error.
        p: Of each result but the first: whether it differs, corrected for everything that is compared at once; None
            where that cannot be tested.
    """

    metric: str
    values: list[Number]
    differences: list[Number]
    is_lower_better: bool
    p: tuple[float | None, ...] = ()

    def verdict(self, other: int) -> str:
        """Return `better` or `worse` of a difference that holds after correction; else nothing."""
        p, value = self.p[other], self.differences[other].value
        if p is None or p > ERROR_RATE or not value:
            return ""
        return "better" if (value > 0) != self.is_lower_better else "worse"


@dataclass(frozen=True)
class View:
    """A target, the mean of targets, the four classes or all classes.

    Attributes:
        name: Whose metrics these are.
        lines: Its metrics.
        delong: Of each result but the first, AUROC by DeLong; None where it is undefined. Empty for views without one
            AUROC.
        target: Its column, where it is of one target or class.
    """

    name: str
    lines: list[Line]
    delong: list[AreaDifference | None]
    target: int | None = None


def compare_rows(
    rows: Sequence[LevelRows],
    thresholds: Sequence[NDArray[np.float64]],
    task: TaskSettings,
    generator: np.random.Generator,
    n_resamples: int,
) -> list[View]:
    """Compare results on the same rows, the main view first; its first metric is the primary one of the correction.

    Args:
        rows: Of each result: predictions and truth, row for row of the same ids.
        thresholds: Of each result: one a target; empty for a multi-class task.
        task: What all of them predict.
        generator: The only source of randomness.
        n_resamples: Resamples of the bootstrap over patients; all results see the same ones.
    """
    names, patients = np.unique(rows[0].patient_ids.astype(str), return_inverse=True)
    weights = resample_weights(len(names), n_resamples, generator)
    truth = rows[0].targets.astype(np.float64)
    drawn: list[_Drawn] = []
    if task.type == "multi_class":
        known = ~np.isnan(truth).any(axis=1)
        true = truth[known].argmax(axis=1).astype(np.int64)
        owners = patients[known]
        found = [multi_class_values(true, one.probabilities[known], owners, weights, task) for one in rows]
        together, of_classes = [values for values, _ in found], [values for _, values in found]
        n_rarest = min((_n(owners[true == code]) for code in np.unique(true)), default=0)
        by_class = [View(f"{len(task.targets)} classes", _lines(together, _n(owners), drawn, n_rarest), [])]
        by_class += [
            View(
                f"{name} against the rest",
                _lines([values[column] for values in of_classes], _n(owners), drawn, _rarer(true == column, owners)),
                _delong(rows, truth[:, column], column),
                column,
            )
            for column, name in enumerate(task.targets)
        ]
        return _corrected(by_class, drawn)
    of_targets: list[list[Values]] = []
    n_patients: list[int] = []
    n_rarer: list[int] = []
    for column in range(len(task.targets)):
        known = ~np.isnan(truth[:, column])
        true, owners = truth[known, column] == 1, patients[known]
        n_patients.append(_n(owners))
        n_rarer.append(_rarer(true, owners))
        of_targets.append(
            [
                binary_values(
                    true,
                    one.probabilities[known, column],
                    one.probabilities[known, column] >= cuts[column],
                    owners,
                    weights,
                )
                for one, cuts in zip(rows, thresholds, strict=True)
            ]
        )
    views: list[View] = []
    columns = four_class_columns(task)
    if columns is not None:
        views.append(_four_class_view(rows, thresholds, columns, patients, weights, drawn=drawn))
    if len(task.targets) > 1:
        means = [
            {name: np.mean([of[result][name] for of in of_targets], axis=0) for name in of_targets[0][result]}
            for result in range(len(rows))
        ]
        views.append(View("mean of targets", _lines(means, min(n_patients), drawn, min(n_rarer)), []))
    for column, name in enumerate(task.targets):
        delong = _delong(rows, truth[:, column], column)
        lines = _lines(of_targets[column], n_patients[column], drawn, n_rarer[column])
        views.append(View(name, lines, delong, column))
    return _corrected(views, drawn)


@dataclass(frozen=True)
class _Drawn:
    """What a line's p-values are made of: differences, shape [result, 1 + resample], and the patients they rest on."""

    differences: NDArray[np.float64]
    n_patients: int


def _corrected(views: list[View], drawn: Sequence[_Drawn]) -> list[View]:
    """Return the views with p-values; `drawn` has an entry a line, in the same order."""
    lines = [line for view in views for line in view.lines]
    within = [max_t_p(*_stacked(family)) for family in (drawn[:1], drawn[1:])]
    found = np.concatenate(two_families_p(*within)).reshape(len(lines), -1)
    p = iter(tuple(None if np.isnan(one) else float(one) for one in of_line) for of_line in found)
    return [replace(view, lines=[replace(line, p=next(p)) for line in view.lines]) for view in views]


def _stacked(family: Sequence[_Drawn]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    if not family:
        return np.empty((0, 1)), np.empty(0, dtype=np.int64)
    differences = np.concatenate([one.differences for one in family])
    return differences, np.repeat([one.n_patients for one in family], len(family[0].differences))


def _four_class_view(
    rows: Sequence[LevelRows],
    thresholds: Sequence[NDArray[np.float64]],
    columns: tuple[int, int],
    patients: NDArray[np.int64],
    weights: NDArray[np.float32],
    *,
    drawn: list[_Drawn],
) -> View:
    crackle, wheeze = columns
    true = four_classes(rows[0].targets[:, crackle], rows[0].targets[:, wheeze])
    known = true != UNKNOWN
    found: list[Values] = []
    for one, cuts in zip(rows, thresholds, strict=True):
        predicted = one.probabilities >= cuts
        predictions = four_classes(predicted[:, crackle], predicted[:, wheeze])
        values = four_class_values(true[known], predictions[known], patients[known], weights)
        found.append({name: values[name] for name in _OF_FOUR_CLASSES})
    n_rarer = _rarer(true[known] != 0, patients[known])
    return View("four classes (ICBHI)", _lines(found, _n(patients[known]), drawn, n_rarer, is_percent=True), [])


def _delong(rows: Sequence[LevelRows], truth: NDArray[np.float64], column: int) -> list[AreaDifference | None]:
    scores = np.stack([one.probabilities[:, column] for one in rows])
    areas = areas_of(truth, scores, rows[0].patient_ids.astype(str))
    return [None if areas is None else area_difference(areas, other) for other in range(1, len(rows))]


def _lines(
    found: Sequence[Values], n_patients: int, drawn: list[_Drawn], n_rarer: int, *, is_percent: bool = False
) -> list[Line]:
    """Return the metrics of a view, and add to `drawn` what they differ by; `n_rarer`: patients of the rarer class."""
    lines: list[Line] = []
    for name in (name for name in SHOWN if name in found[0]):
        differences = np.stack([values[name] - found[0][name] for values in found[1:]])
        drawn.append(_Drawn(differences, n_rarer))
        lines.append(
            Line(
                METRIC_NAMES[name],
                [_number(values[name], n_patients, is_percent=is_percent) for values in found],
                [_number(of_result, n_patients, is_percent=is_percent) for of_result in differences],
                name in LOWER_IS_BETTER,
            )
        )
    return lines


def _number(values: NDArray[np.float64], n_patients: int, *, is_percent: bool) -> Number:
    found = estimate(values, n_patients)
    return Number(found["value"], found["low"], found["high"], "not defined on this test set", is_percent)


def _n(patients: NDArray[np.int64]) -> int:
    return len(np.unique(patients))


def _rarer(is_positive: NDArray[np.bool_], patients: NDArray[np.int64]) -> int:
    """Return how many patients have a row of the class that fewer have."""
    return min(_n(patients[is_positive]), _n(patients[~is_positive]))
