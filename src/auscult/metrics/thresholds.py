"""Operating points, chosen on validation: a target is called positive where its probability reaches the threshold.

Every rule looks at all cuts between neighbouring scores. Among cuts of equal merit the one in the widest gap is taken
(the decision that a small change of score overturns last), then the lowest; the threshold is the middle of the gap.
Nothing is drawn at random.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import numpy as np

from auscult.config.evaluate import NORMAL_CLASS_RULES
from auscult.config.evaluate import ThresholdRule as Rule
from auscult.metrics.aggregation import at_level
from auscult.metrics.icbhi import UNKNOWN, four_classes
from auscult.metrics.rates import ratio

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from auscult.config.task import TaskSettings

    Floats = NDArray[np.float64]

RULES: tuple[Rule, ...] = tuple(rule for rule in get_args(Rule) if rule not in NORMAL_CLASS_RULES)
FALLBACK = 0.5
DEFAULT_GOAL = 0.9
_ROUNDING = 1e-9
"""0.9 of 10 positives are 9, whatever 0.9 x 10 is in floats."""
N_GRID_CUTS = 256
"""The joint search begins on at most this many cuts per target, at quantiles; it ends on all cuts, one at a time."""


@dataclass(frozen=True)
class Thresholds:
    """One threshold a target, and what the user should know about them.

    Attributes:
        values: In the order of the targets; empty for a multi-class task, which predicts the most probable class.
        notes: Sentences such as "target 1: only negatives in validation, threshold 0.5 kept".
        kept: Names of the targets for which validation chose none.
    """

    values: tuple[float, ...]
    notes: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fallback:
    """What stands where validation cannot choose.

    Attributes:
        values: One a target.
        name: What they are, for the notes: `0.5`, or `of recordings`.
    """

    values: tuple[float, ...]
    name: str


def choose_thresholds(  # noqa: PLR0917 (three are needed, three have defaults)
    targets: ArrayLike,
    probabilities: ArrayLike,
    rule: Rule,
    four_class_columns: tuple[int, int] | None = None,
    names: tuple[str, ...] | None = None,
    goal: float = DEFAULT_GOAL,
    *,
    fallback: Fallback | None = None,
    source: str = "validation",
) -> Thresholds:
    """Choose one threshold a target.

    `youden` maximises sensitivity + specificity - 1, `f1` the F1 score, each target by itself. `target_sensitivity`
    takes the highest specificity among the cuts whose sensitivity is at least `goal`, and `target_specificity` the
    highest sensitivity among those whose specificity is. `icbhi_score` maximises
    the strict four-class score over both thresholds at once (other targets: `youden`): exactly while each target has at
    most `N_GRID_CUTS` cuts, else from the best point of a quantile grid by exact steps in one threshold at a time.

    Args:
        targets: Shape [row, target]: 1, 0 or NaN for unknown.
        probabilities: Shape [row, target].
        rule: One of `RULES`.
        four_class_columns: The columns of crackle and wheeze; needed for `icbhi_score`.
        names: The targets' names, for the notes; default: their numbers.
        goal: What `target_sensitivity` and `target_specificity` ask for.
        fallback: What stands where validation cannot choose; default: 0.5.
        source: What the rows are called in notes.

    Returns:
        Where validation holds one class only, or no cut is better than chance, the fallback and a note that says so.

    Raises:
        ValueError: Shapes do not fit, the rule is not known, or its columns are missing.
    """
    truth = np.asarray(targets, dtype=np.float64)
    predictions = np.asarray(probabilities, dtype=np.float64)
    if truth.ndim != 2 or truth.shape != predictions.shape:
        raise ValueError(f"expected [row, target] twice, found {truth.shape} and {predictions.shape}")
    if rule not in RULES:
        raise ValueError(f"unknown rule {rule!r}; allowed: {', '.join(RULES)}")
    if rule == "icbhi_score" and four_class_columns is None:
        raise ValueError("icbhi_score needs the columns of crackle and wheeze")
    names = names or tuple(f"target {column}" for column in range(truth.shape[1]))
    fallback = fallback or Fallback((FALLBACK,) * truth.shape[1], f"{FALLBACK:g}")
    values = list(fallback.values)
    notes: list[str] = []
    kept: list[str] = []
    joint = four_class_columns if rule == "icbhi_score" and four_class_columns is not None else ()
    for column, name in enumerate(names):
        if column not in joint:
            own = "youden" if rule == "icbhi_score" else rule
            found, note = _single(truth[:, column], predictions[:, column], own, goal, source)
            if found is None:
                kept.append(name)
                note = f"{note}; threshold {fallback.name} kept"
            else:
                values[column] = found
            notes += [f"{name}: {note}"] if note else []
    if joint:
        crackle, wheeze = joint
        pair, note = _joint(truth[:, [crackle, wheeze]], predictions[:, [crackle, wheeze]], source)
        if pair is None:
            kept += [names[crackle], names[wheeze]]
            notes.append(f"{names[crackle]} and {names[wheeze]}: {note}; thresholds {fallback.name} kept")
        else:
            values[crackle], values[wheeze] = pair
    return Thresholds(tuple(values), tuple(notes), tuple(kept))


def thresholds_for_task(  # noqa: PLR0917 (in the order of the data flow)
    targets: ArrayLike,
    probabilities: ArrayLike,
    ids: pd.DataFrame,
    task: TaskSettings,
    rule: Rule,
    goal: float = DEFAULT_GOAL,
    *,
    level: str | None = None,
    fallback: Fallback | None = None,
    source: str = "validation",
) -> Thresholds:
    """Choose the thresholds of a task from clips, at one level; none for a multi-class task.

    Args:
        targets: Shape [clip, target]: 1, 0 or NaN.
        probabilities: Shape [clip, target].
        ids: Columns `clip_id`, `recording_id` and `patient_id`.
        task: Gives level, aggregation and the four-class view.
        rule: One of `RULES`.
        goal: What `target_sensitivity` and `target_specificity` ask for.
        level: `clip`, `recording` or `patient`; default: the task's.
        fallback: What stands where validation cannot choose; default: 0.5.
        source: What the clips are called in notes.
    """
    if task.type == "multi_class":
        return Thresholds(())
    rows = at_level(probabilities, targets, ids, task, level or task.level)
    columns = four_class_columns(task)
    return choose_thresholds(
        rows.targets, rows.probabilities, rule, columns, task.targets, goal, fallback=fallback, source=source
    )


def four_class_columns(task: TaskSettings) -> tuple[int, int] | None:
    """Return the columns of crackle and wheeze, or None for a task without the four-class view."""
    if task.four_class is None:
        return None
    return task.targets.index(task.four_class.crackle), task.targets.index(task.four_class.wheeze)


@dataclass(frozen=True)
class _Cuts:
    """The cuts of one target's scores: cut k calls rows of rank >= k positive.

    Attributes:
        ranks: Per row, how many distinct scores lie below its own.
        thresholds: Per cut 0 .. number of distinct scores; the last calls nothing positive.
        gaps: The width of the gap that each threshold halves.
    """

    ranks: NDArray[np.int64]
    thresholds: Floats
    gaps: Floats


def _cuts(scores: Floats) -> _Cuts:
    distinct, ranks = np.unique(scores, return_inverse=True)
    below = np.concatenate([[min(0.0, distinct[0])], distinct])
    above = np.concatenate([distinct, [max(1.0, distinct[-1])]])
    middle = below / 2 + above / 2
    # Between neighbouring floats there is no middle: the upper one still parts them, because >= is asked.
    middle = np.where((middle > below) | (above == below), middle, above)
    if distinct[-1] >= 1:
        middle[-1] = np.nextafter(distinct[-1], np.inf)
    return _Cuts(ranks.astype(np.int64), middle, above - below)


def _best(merit: Floats | NDArray[np.int64], gaps: Floats) -> int:
    """Return the first cut with the widest gap among those of the highest merit."""
    ties = np.flatnonzero(merit == merit.max())
    return int(ties[np.argmax(gaps[ties])])


def _single(truth: Floats, scores: Floats, rule: Rule, goal: float, source: str) -> tuple[float | None, str]:
    """Return a threshold and a note on it, or None and the reason why there is none."""
    known = ~np.isnan(truth)
    positive, scores = truth[known] == 1, scores[known]
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if not n_positive or not n_negative:
        return None, f"{source} holds {n_positive} positives and {n_negative} negatives"
    cuts = _cuts(scores)
    n_cuts = len(cuts.thresholds)
    # tp[k], fp[k]: positives and negatives of rank >= k; the last entry is 0.
    tp = _at_least(cuts.ranks[positive], n_cuts)
    fp = _at_least(cuts.ranks[~positive], n_cuts)
    note = ""
    if rule == "youden":
        # n_positive * n_negative * (Se + Sp - 1), in whole numbers so that ties are ties.
        merit = tp * n_negative - fp * n_positive
        if merit.max() <= 0:
            return None, f"no threshold is better than chance on {source}"
    elif rule == "f1":
        merit = ratio((2 * tp).astype(np.float64), (tp + fp + n_positive).astype(np.float64))
    elif rule == "target_sensitivity":
        # Calling everything positive reaches any goal: the least number of false positives among those that do.
        merit = np.where(tp >= goal * n_positive - _ROUNDING, n_negative - fp, -1)
        note = _cost("specificity", int(merit.max()), n_negative, f"sensitivity {goal:g}", source)
    else:
        merit = np.where(n_negative - fp >= goal * n_negative - _ROUNDING, tp, -1)
        note = _cost("sensitivity", int(merit.max()), n_positive, f"specificity {goal:g}", source)
    return float(cuts.thresholds[_best(merit, cuts.gaps)]), note


def _cost(name: str, n_right: int, n_all: int, goal: str, source: str) -> str:
    """Say so where a goal is reached by predicting one class for all."""
    return "" if n_right else f"{goal} is reached on {source} only at {name} 0 (0 of {n_all})"


def _at_least(ranks: NDArray[np.int64], n_cuts: int) -> NDArray[np.int64]:
    return np.cumsum(np.bincount(ranks, minlength=n_cuts)[::-1])[::-1].astype(np.int64)


def _joint(truth: Floats, scores: Floats, source: str) -> tuple[tuple[float, float] | None, str]:
    """Return two thresholds, or None and the reason why there are none."""
    classes = four_classes(truth[:, 0], truth[:, 1])
    known = classes != UNKNOWN
    classes, scores = classes[known], scores[known]
    n_normal, n_abnormal = int((classes == 0).sum()), int((classes != 0).sum())
    if not n_normal or not n_abnormal:
        return None, f"{source} holds {n_normal} normal and {n_abnormal} abnormal rows"
    # A right prediction for a normal row is worth n_abnormal, for an abnormal one n_normal: 2 x both x the score, as a
    # whole number.
    worth = np.where(classes == 0, n_abnormal, n_normal).astype(np.int64)
    pair = (_cuts(scores[:, 0]), _cuts(scores[:, 1]))
    chosen, merit = _best_on_grid(classes, worth, pair)
    improved = True
    while improved:
        improved = False
        for axis in (0, 1):
            merits = _merits_along(axis, chosen, classes, worth, pair)
            best = _best(merits, pair[axis].gaps)
            if merits[best] > merit:
                chosen = (best, chosen[1]) if axis == 0 else (chosen[0], best)
                merit, improved = int(merits[best]), True
    if merit <= n_normal * n_abnormal:
        return None, "no thresholds are better than one class for all rows (50.0)"
    return (float(pair[0].thresholds[chosen[0]]), float(pair[1].thresholds[chosen[1]])), ""


def _best_on_grid(
    classes: NDArray[np.int64], worth: NDArray[np.int64], pair: tuple[_Cuts, _Cuts]
) -> tuple[tuple[int, int], int]:
    """Return the best pair of cuts on a grid of quantiles, and its merit."""
    grids = [_grid(len(cuts.thresholds)) for cuts in pair]
    # Cell (a, b): rows whose ranks reach a and b cuts of the grids; cut k of a grid calls those beyond k positive.
    cells = [np.searchsorted(grid, cuts.ranks, side="right") for grid, cuts in zip(grids, pair, strict=True)]
    shape = (len(grids[0]) + 1, len(grids[1]) + 1)
    merits = np.zeros((len(grids[0]), len(grids[1])), dtype=np.int64)
    for code in range(4):
        here = classes == code
        flat = cells[0][here] * shape[1] + cells[1][here]
        # Whole numbers below 2^53, so that sums in float64 are exact.
        table = np.bincount(flat, weights=worth[here], minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)
        crackle_said, wheeze_said = bool(code & 1), bool(code & 2)
        table = _sum_side(_sum_side(table, 0, predicted=crackle_said), 1, predicted=wheeze_said)
        merits += np.rint(table).astype(np.int64)
    width = pair[0].gaps[grids[0]][:, None] + pair[1].gaps[grids[1]][None, :]
    best = _best(merits.ravel(), width.ravel())
    at = divmod(best, len(grids[1]))
    return (int(grids[0][at[0]]), int(grids[1][at[1]])), int(merits.flat[best])


def _grid(n_cuts: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, n_cuts - 1, min(n_cuts, N_GRID_CUTS)).round().astype(np.int64))


def _sum_side(table: Floats, axis: int, *, predicted: bool) -> Floats:
    """Return, per grid cut, the sum over the cells that are called positive (`predicted`) or not along `axis`."""
    table = np.moveaxis(table, axis, 0)
    # Cells 1 .. m hold rows at or above grid cut 0 .. m - 1.
    summed = np.cumsum(table[::-1], axis=0)[::-1][1:] if predicted else np.cumsum(table, axis=0)[:-1]
    return np.moveaxis(summed, 0, axis)


def _merits_along(
    axis: int,
    chosen: tuple[int, int],
    classes: NDArray[np.int64],
    worth: NDArray[np.int64],
    pair: tuple[_Cuts, _Cuts],
) -> NDArray[np.int64]:
    """Return the merit of every cut of one target while the other's cut stays."""
    other = 1 - axis
    right_other = (pair[other].ranks >= chosen[other]) == ((classes >> other) & 1 == 1)
    wanted = (classes >> axis) & 1 == 1
    n_cuts = len(pair[axis].thresholds)
    ranks = pair[axis].ranks
    gained = np.zeros(n_cuts + 1, dtype=np.int64)
    # A row that should be called positive is right at cuts up to its rank, another at the cuts above it.
    up, down = right_other & wanted, right_other & ~wanted
    np.add.at(gained, 0, worth[up].sum())
    np.add.at(gained, ranks[up] + 1, -worth[up])
    np.add.at(gained, ranks[down] + 1, worth[down])
    return np.cumsum(gained)[:n_cuts]
