"""The scores of one view with the rows that they rest on, and the intervals that these allow.

A view is a target, the four classes, all classes, or one class against the rest. Each score has the interval that fits
it: proportions and areas the closed forms of `effective_size`, means of them that of their parts, all others a
bootstrap over patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from auscult.config.task import TaskSettings
from auscult.metrics.aggregation import LevelRows
from auscult.metrics.effective_size import Ranked, Share, area_estimate, mean_estimate, share_estimate
from auscult.metrics.icbhi import UNKNOWN, four_classes
from auscult.metrics.intervals import BOOTSTRAP, estimate
from auscult.metrics.score_intervals import Estimate, undefined, without_interval
from auscult.metrics.scores import binary_values, exact_match_values, four_class_values, multi_class_values
from auscult.metrics.thresholds import four_class_columns

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

OF_ALL_ROWS = frozenset({"brier", "mcc"})
"""Scores of multi-class tasks that are taken over all rows at once: they need no patients of each class."""
BIASED = frozenset({"ece"})
OF_A_CLASS = "patients of a class"
BIAS_TEXT = "in bins it is biased upwards, and no interval of it would hold the truth"


@dataclass(frozen=True)
class Owners:
    """Whose rows are judged, and how often each patient counts.

    Attributes:
        patients: Whose each row is, shape [row]: the row of `weights`.
        rows: Which each row is, shape [row]; the same in two runs where both judged it.
        weights: Shape [patient, weighting].
    """

    patients: Integers
    rows: Integers
    weights: NDArray[np.float32]

    def at(self, mask: Flags) -> Owners:
        """Return those of some rows."""
        return Owners(self.patients[mask], self.rows[mask], self.weights)

    def share(self, right: Flags, mask: Flags) -> Share:
        """Return the rows of a proportion: of those in `mask`, whether each is right."""
        return Share(right[mask], self.patients[mask], self.rows[mask])


@dataclass(frozen=True)
class Evidence:
    """The scores of one view in one run.

    Attributes:
        values: Score -> its values, shape [weighting]; the first is that of the sample.
        classes: The patients of each class, with repetitions.
        shares: The rows of scores that are proportions.
        ranked: The rows of `auroc`.
        means: Score -> the scores of this view whose mean it is.
        scale: 100 for scores in per cent.
    """

    values: dict[str, Floats]
    classes: tuple[Integers, ...]
    shares: dict[str, Share] = field(default_factory=dict)
    ranked: Ranked | None = None
    means: dict[str, tuple[str, ...]] = field(default_factory=dict)
    scale: float = 1.0


def binary_evidence(truth: Flags, scores: Floats, predicted: Flags, owners: Owners) -> Evidence:
    """Return the evidence of one target, or of one class against the rest.

    Args:
        truth: Known rows only, shape [row].
        scores: Shape [row].
        predicted: Shape [row].
        owners: Of these rows.
    """
    right = truth == predicted
    shares = {
        "sensitivity": owners.share(right, truth),
        "specificity": owners.share(right, ~truth),
        "ppv": owners.share(right, predicted),
        "npv": owners.share(right, ~predicted),
        "accuracy": owners.share(right, np.ones_like(truth)),
    }
    return Evidence(
        binary_values(truth, scores, predicted, owners.patients, owners.weights),
        (owners.patients[truth], owners.patients[~truth]),
        shares,
        Ranked(truth, scores, owners.patients, owners.rows),
        {"balanced_accuracy": ("sensitivity", "specificity")},
    )


def four_class_evidence(true: Integers, predicted: Integers, owners: Owners) -> Evidence:
    """Return the evidence of the four classes of ICBHI, in per cent; `true` holds known classes only."""
    shares, means = _by_normal(true, predicted, owners, 0, ())
    shares["two_class_specificity"] = shares["specificity"]
    means["two_class_score"] = ("two_class_sensitivity", "two_class_specificity")
    return Evidence(
        four_class_values(true, predicted, owners.patients, owners.weights),
        (owners.patients[true == 0], owners.patients[true != 0]),
        shares,
        means=means | {"score": ("sensitivity", "specificity")},
        scale=100.0,
    )


def exact_match_evidence(truth: Flags, predicted: Flags, owners: Owners) -> Evidence:
    """Return the evidence of the share of rows with all targets right, over rows that are known throughout."""
    right = (truth == predicted).all(axis=1)
    values = exact_match_values(truth, predicted, owners.patients, owners.weights)
    share = owners.share(right, np.ones_like(right))
    return Evidence({"exact_match": values}, (owners.patients,), {"exact_match": share})


def multi_class_evidence(
    true: Integers, probabilities: Floats, owners: Owners, task: TaskSettings
) -> tuple[Evidence, list[Evidence]]:
    """Return the evidence of all classes together, and that of each class against the rest.

    Args:
        true: Known classes, shape [row].
        probabilities: Shape [row, class].
        owners: Of these rows.
        task: Gives the normal class, and those that its scores leave out.
    """
    predicted = probabilities.argmax(axis=1)
    together, of_classes = multi_class_values(true, probabilities, owners.patients, owners.weights, task)
    right = true == predicted
    shares = {"accuracy": owners.share(right, np.ones_like(right))}
    means: dict[str, tuple[str, ...]] = {}
    if task.normal_class is not None:
        of_normal, means = _by_normal(true, predicted, owners, task.normal_column, task.left_out_columns)
        shares |= of_normal
    classes: list[Evidence] = []
    for code, values in enumerate(of_classes):
        rows = binary_evidence(true == code, probabilities[:, code], predicted == code, owners)
        classes.append(Evidence(values, rows.classes, rows.shares, rows.ranked, rows.means))
    found = Evidence(
        together, tuple(owners.patients[true == code] for code in range(len(task.targets))), shares, None, means
    )
    return found, classes


def _by_normal(
    true: Integers, predicted: Integers, owners: Owners, normal: int, left_out: Sequence[int]
) -> tuple[dict[str, Share], dict[str, tuple[str, ...]]]:
    """Return the proportions that are told from normal and adventitious rows, and the means of two of them."""
    is_normal = true == normal
    adventitious = ~is_normal & ~np.isin(true, left_out)
    any_adventitious = (predicted != normal) & ~np.isin(predicted, left_out)
    shares = {
        "specificity": owners.share(predicted == true, is_normal),
        "sensitivity": owners.share(predicted == true, adventitious),
        "two_class_sensitivity": owners.share(any_adventitious, adventitious),
    }
    means: dict[str, tuple[str, ...]] = {
        "average_score": ("sensitivity", "specificity"),
        "two_class_average_score": ("two_class_sensitivity", "specificity"),
    }
    return shares, means


def view_evidence(
    rows: LevelRows, task: TaskSettings, thresholds: Sequence[float], owners: Owners
) -> dict[str, Evidence]:
    """Return the evidence of every view of one run: each target and `four_class`, or `multi_class` and its classes.

    The share of rows with all targets right is the view `exact_match`.

    Args:
        rows: Answers and truth at one level.
        task: Gives targets and type.
        thresholds: One a target; not read for a multi-class task.
        owners: Of all rows.
    """
    known = ~np.isnan(rows.targets)
    whole: Flags = np.logical_and.reduce(known, axis=1)
    if task.type == "multi_class":
        true = rows.targets[whole].argmax(axis=1).astype(np.int64)
        together, classes = multi_class_evidence(true, rows.probabilities[whole], owners.at(whole), task)
        return {"multi_class": together, **dict(zip(task.targets, classes, strict=True))}
    predicted = rows.probabilities >= np.asarray(thresholds, dtype=np.float64)
    views: dict[str, Evidence] = {}
    for column, target in enumerate(task.targets):
        at = known[:, column]
        truth, scores = rows.targets[at, column] == 1, rows.probabilities[at, column]
        views[target] = binary_evidence(truth, scores, predicted[at, column], owners.at(at))
    if len(task.targets) > 1:
        views["exact_match"] = exact_match_evidence(rows.targets[whole] == 1, predicted[whole], owners.at(whole))
    columns = four_class_columns(task)
    if columns is not None:
        true, classes = (four_classes(*(table[:, column] for column in columns)) for table in (rows.targets, predicted))
        at = true != UNKNOWN
        views["four_class"] = four_class_evidence(true[at], classes[at], owners.at(at))
    return views


def estimates(runs: Sequence[Evidence]) -> dict[str, Estimate]:
    """Return the estimates of one view that need no other view, of one run or as the mean over several.

    Args:
        runs: At least one; a run in which a score is undefined is left out of its mean.
    """
    of_class = [_n([run.classes[code] for run in runs]) for code in range(len(runs[0].classes))]
    everyone = _n([patients for run in runs for patients in run.classes])
    found: dict[str, Estimate] = {}
    later: list[str] = []
    scale = runs[0].scale
    values = mean_values(runs)
    for name, of_name in values.items():
        value = float(of_name[0]) / scale
        if name in runs[0].shares:
            found[name] = _scaled(share_estimate(value, [run.shares[name] for run in runs]), scale)
        elif name == "auroc":
            found[name] = area_estimate(value, [run.ranked for run in runs if run.ranked is not None])
        elif name in runs[0].means:
            later.append(name)
        elif name in OF_ALL_ROWS and len(of_class) != 2:
            found[name] = estimate(of_name, everyone, bounds=bounds_of(name, runs[0]))
        else:
            found[name] = _by_resamples(name, of_name, min(of_class), runs[0])
    for name in later:
        parts = runs[0].means[name]
        found[name] = mean_estimate(
            float(values[name][0]), [found[part] for part in parts], [values[part][1:] for part in parts], 0.0
        )
    return {name: found[name] for name in values}


def macro_estimates(
    views: Sequence[Sequence[Evidence]], parts: Sequence[Mapping[str, Estimate]]
) -> dict[str, Estimate]:
    """Return the estimates of the mean over targets.

    Args:
        views: Of each target: its evidence in each run.
        parts: Of each target: its estimates.
    """
    of_targets = [mean_values(runs) for runs in views]
    fewest = min(_n([run.classes[code] for run in runs]) for runs in views for code in (0, 1))
    found: dict[str, Estimate] = {}
    for name in of_targets[0]:
        of_runs = [np.mean([of_run.values[name] for of_run in of_runs], axis=0) for of_runs in zip(*views, strict=True)]
        values = _mean(of_runs)
        found[name] = _mean_of_parts(
            [of_target[name] for of_target in of_targets],
            [part[name] for part in parts],
            values,
            _by_resamples(name, values, fewest, views[0][0]),
            1.0,
        )
    return found


def multi_class_estimates(
    together: Sequence[Evidence], classes: Sequence[Sequence[Evidence]]
) -> tuple[dict[str, Estimate], list[dict[str, Estimate]]]:
    """Return the estimates of all classes together, and of each class.

    Args:
        together: In each run.
        classes: Of each class: in each run.
    """
    of_classes = [estimates(runs) for runs in classes]
    values = [mean_values(runs) for runs in classes]
    found = estimates(together)
    for name, of_name in mean_values(together).items():
        part = "sensitivity" if name == "balanced_accuracy" else name.removeprefix("macro_")
        if part == name:
            continue
        found[name] = _mean_of_parts(
            [of_class[part] for of_class in values],
            [of_class[part] for of_class in of_classes],
            of_name,
            found[name],
            0.0 if name == "balanced_accuracy" else 1.0,
        )
    return found, of_classes


def all_estimates(runs: Sequence[Mapping[str, Evidence]], task: TaskSettings) -> dict[str, dict[str, Estimate]]:
    """Return `{view: {metric: estimate}}` of one run, or of the mean over several.

    The views are those of `summary.summarise`: each target, `macro` and `four_class`, or `multi_class`.

    Args:
        runs: From `view_evidence`.
        task: Gives targets and type.
    """
    of_views = {view: [run[view] for run in runs] for view in runs[0]}
    of_targets = [of_views[target] for target in task.targets]
    if task.type == "multi_class":
        return {"multi_class": multi_class_estimates(of_views["multi_class"], of_targets)[0]}
    views = {view: estimates(of_view) for view, of_view in of_views.items()}
    exact = views.pop("exact_match", {})
    return {**views, "macro": {**macro_estimates(of_targets, [views[target] for target in task.targets]), **exact}}


def all_values(views: Mapping[str, Evidence], task: TaskSettings) -> dict[str, dict[str, Floats]]:
    """Return `{view: {metric: values}}` of one run, shape [weighting] each; views as in `all_estimates`."""
    if task.type == "multi_class":
        return {"multi_class": views["multi_class"].values}
    found = {view: evidence.values for view, evidence in views.items() if view != "exact_match"}
    names = found[task.targets[0]]
    found["macro"] = {name: np.mean([found[target][name] for target in task.targets], axis=0) for name in names}
    if "exact_match" in views:
        found["macro"] |= views["exact_match"].values
    return found


def view_values(
    rows: LevelRows, task: TaskSettings, thresholds: Sequence[float], patients: Integers, weights: NDArray[np.float32]
) -> dict[str, dict[str, Floats]]:
    """Return `{view: {metric: values}}` of one run, shape [weighting] each.

    Args:
        rows: Answers and truth at one level.
        task: Gives targets and type.
        thresholds: One a target; not read for a multi-class task.
        patients: The row of `weights` of each row, shape [row].
        weights: Shape [patient, weighting].
    """
    return all_values(view_evidence(rows, task, thresholds, Owners(patients, np.arange(len(patients)), weights)), task)


def fewest_patients(views: Mapping[str, Evidence], task: TaskSettings) -> int:
    """Return how many patients have rows of the rarest class of a target; of a multi-class task how many there are."""
    if task.type == "multi_class":
        return _n(views["multi_class"].classes)
    return min(_n([patients]) for target in task.targets for patients in views[target].classes)


def _mean_of_parts(
    values: Sequence[Floats],
    parts: Sequence[Estimate],
    of_mean: Floats,
    fallback: Estimate,
    unknown_correlation: float,
) -> Estimate:
    """Return a mean over targets or classes: from the intervals of its parts, where these are no bootstrap's."""
    if len(parts) == 1:
        return parts[0]
    if fallback["value"] is None or any(part["method"] == BOOTSTRAP for part in parts):
        return fallback
    return mean_estimate(float(of_mean[0]), parts, [of_part[1:] for of_part in values], unknown_correlation)


def _by_resamples(name: str, values: Floats, fewest: int, view: Evidence) -> Estimate:
    """Return the estimate of a score that needs patients of all classes; `fewest` of them are of the smallest."""
    if name in BIASED:
        value = float(values[0])
        return undefined() if np.isnan(value) else without_interval(value, BIAS_TEXT)
    return estimate(values, fewest, OF_A_CLASS, bounds_of(name, view))


def count_patients(view: Evidence) -> dict[str, int]:
    """Return how many patients have known rows, positive ones, and negative ones; some may have both."""
    positive, negative = (set(patients.tolist()) for patients in view.classes)
    return {
        "patients": len(positive | negative),
        "positive_patients": len(positive),
        "negative_patients": len(negative),
    }


def bounds_of(name: str, view: Evidence) -> tuple[float, float]:
    """Return the range of a score."""
    if name == "mcc":
        return -1.0, 1.0
    if name == "brier" and len(view.classes) != 2:
        return 0.0, 2.0
    return 0.0, view.scale


def mean_values(runs: Sequence[Evidence]) -> dict[str, Floats]:
    """Return the values of each score, as the mean over the runs in which it is defined."""
    return {name: _mean([run.values[name] for run in runs]) for name in runs[0].values}


def _mean(of_runs: Sequence[Floats]) -> Floats:
    """Return the mean over the runs whose own value is defined; NaN where a resample leaves one of them undefined."""
    defined = [values for values in of_runs if not np.isnan(values[0])]
    return np.mean(defined, axis=0) if defined else np.full_like(of_runs[0], np.nan)


def _n(patients: Sequence[Integers]) -> int:
    return len(np.unique(np.concatenate(patients)))


def _scaled(found: Estimate, scale: float) -> Estimate:
    value, low, high = (None if end is None else end * scale for end in (found["value"], found["low"], found["high"]))
    return Estimate(value=value, low=low, high=high, method=found["method"], reason=found["reason"])
