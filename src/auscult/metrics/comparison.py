"""By how much results differ, with intervals: each resample of patients judges all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from auscult.config.task import TaskSettings
from auscult.formatting.numbers import LOWER_IS_BETTER, METRIC_NAMES, Number, number_of, people_text
from auscult.metrics.aggregation import LevelRows
from auscult.metrics.delong import AreaDifference, area_difference, areas_of
from auscult.metrics.evidence import (
    OF_A_CLASS,
    Evidence,
    Owners,
    all_estimates,
    all_values,
    fewest_patients,
    multi_class_estimates,
    view_evidence,
)
from auscult.metrics.intervals import estimate, resample_weights
from auscult.metrics.multiplicity import max_t_p, two_families_p, verdict
from auscult.metrics.score_intervals import MIN_PATIENTS_RESAMPLED, Estimate, too_few

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
        return verdict(self.differences[other].value, self.p[other], is_lower_better=self.is_lower_better)


@dataclass(frozen=True)
class View:
    """A target, the mean of targets, the four classes or all classes.

    Attributes:
        name: Whose metrics these are.
        lines: Its metrics.
        delong: Of each result but the first, AUROC by DeLong; None where it is undefined. Empty for views without one
            AUROC.
        target: Its column, where it is of one target or class.
        people: On how many patients it rests, in words; empty for a mean of targets.
        fewest: How many patients the rarest class has.
    """

    name: str
    lines: list[Line]
    delong: list[AreaDifference | None]
    target: int | None = None
    people: str = ""
    fewest: int = 0

    @property
    def too_few(self) -> str:
        """Why no result is called better or worse; empty where there are patients enough."""
        if self.fewest >= MIN_PATIENTS_RESAMPLED:
            return ""
        few = too_few(self.fewest, MIN_PATIENTS_RESAMPLED, OF_A_CLASS)
        return f"Too few patients to call a result better or worse: {few}."


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
    owners = Owners(patients, np.arange(len(patients)), resample_weights(len(names), n_resamples, generator))
    evidence = [view_evidence(one, task, cuts.tolist(), owners) for one, cuts in zip(rows, thresholds, strict=True)]
    if task.type == "multi_class":
        both = [
            multi_class_estimates([of["multi_class"]], [[of[target]] for target in task.targets]) for of in evidence
        ]
        found = [
            {"multi_class": together, **dict(zip(task.targets, classes, strict=True))} for together, classes in both
        ]
        whole = f"{len(task.targets)} classes"
        heads = {"multi_class": whole, **{target: f"{target} against the rest" for target in task.targets}}
    else:
        found = [all_estimates([of], task) for of in evidence]
        heads = {
            "four_class": "four classes (ICBHI)",
            "macro": "mean of targets",
            **{target: target for target in task.targets},
        }
        if len(task.targets) == 1:
            del heads["macro"]
    values = [{view: one.values for view, one in of.items()} | all_values(of, task) for of in evidence]
    truth = rows[0].targets.astype(np.float64)
    views: list[View] = []
    drawn: list[_Drawn] = []
    for view, head in heads.items():
        if view not in found[0]:
            continue
        column = task.targets.index(view) if view in task.targets else None
        fewest = _fewest(evidence[0], view, task)
        lines = _lines(
            [of[view] for of in found], [of[view] for of in values], drawn, fewest, is_percent=view == "four_class"
        )
        delong = [] if column is None else _delong(rows, truth[:, column], column, fewest)
        views.append(View(head, lines, delong, column, _people(evidence[0], view), fewest))
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


def _fewest(evidence: Mapping[str, Evidence], view: str, task: TaskSettings) -> int:
    """Return how many patients the rarest class of a view has; of all classes together how many there are."""
    if view in {"macro", "multi_class"}:
        return fewest_patients(evidence, task)
    return min(len(np.unique(patients)) for patients in evidence[view].classes)


def _people(evidence: Mapping[str, Evidence], view: str) -> str:
    classes = evidence[view].classes if view in evidence else ()
    if view == "four_class":
        classes = classes[::-1]
    if not classes:
        return ""
    everyone = len(np.unique(np.concatenate(classes)))
    n = [len(np.unique(patients)) for patients in classes]
    return people_text(everyone, *(n if len(n) == 2 else (None, None)))


def _delong(
    rows: Sequence[LevelRows], truth: NDArray[np.float64], column: int, fewest: int
) -> list[AreaDifference | None]:
    scores = np.stack([one.probabilities[:, column] for one in rows])
    areas = areas_of(truth, scores, rows[0].patient_ids.astype(str)) if fewest >= MIN_PATIENTS_RESAMPLED else None
    return [None if areas is None else area_difference(areas, other) for other in range(1, len(rows))]


def _lines(
    found: Sequence[Mapping[str, Estimate]],
    values: Sequence[Values],
    drawn: list[_Drawn],
    fewest: int,
    *,
    is_percent: bool,
) -> list[Line]:
    """Return the metrics of a view, and add to `drawn` what they differ by, with too few patients nothing."""
    lines: list[Line] = []
    undefined = "not defined on this test set"
    for name in _OF_FOUR_CLASSES if is_percent else tuple(name for name in SHOWN if name in found[0]):
        differences = np.stack([of[name] - values[0][name] for of in values[1:]])
        is_enough = fewest >= MIN_PATIENTS_RESAMPLED
        drawn.append(_Drawn(differences if is_enough else np.full_like(differences, np.nan), fewest))
        lines.append(
            Line(
                METRIC_NAMES[name],
                [number_of(of[name], undefined, is_percent=is_percent) for of in found],
                [
                    number_of(estimate(difference, fewest, OF_A_CLASS), undefined, is_percent=is_percent)
                    for difference in differences
                ],
                name in LOWER_IS_BETTER,
            )
        )
    return lines
