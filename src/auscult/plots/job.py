"""The figures of one job, from its predictions on the test set; `figures/index.json` says what each shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from auscult.config import JobSettings, TaskSettings
from auscult.formatting.metric_tables import Block, blocks
from auscult.formatting.numbers import Number, plural, plural_of
from auscult.metrics.aggregation import LevelRows
from auscult.metrics.curves import calibration_bins, known, pr_points, roc_points
from auscult.plots import curves, predictions
from auscult.plots.style import save_both
from auscult.storage.files import file_name, write_json

MAX_TARGETS_DRAWN_APART = 6
"""Probabilities have a figure a target; with more targets the page would hold nothing else."""

_WILSON = "Bars are 95% Wilson intervals."


@dataclass(frozen=True)
class Drawing:
    """One entry of `figures/index.json`.

    Attributes:
        name: File name without suffix; `<name>.svg` and `<name>.png` lie beside the index.
        title: What it is.
        caption: What is drawn, on how many.
        undefined: Why there is no figure; None where there is one.
    """

    name: str
    title: str
    caption: str
    undefined: str | None = None


def draw_job(
    rows: LevelRows,
    subset: dict[str, Any],
    *,
    thresholds: dict[str, float],
    history: pd.DataFrame,
    best_epoch: int,
    job: JobSettings,
    task: TaskSettings,
    folder: Path,
    protocols: dict[str, Any] | None = None,
    risk: pd.DataFrame | None = None,
    events: Iterable[tuple[Drawing, Figure | None]] = (),
    chosen_on: str = "validation",
) -> None:
    """Draw every figure of a job as SVG and PNG, at the task's level.

    Args:
        rows: Predictions and labels of the test set at the task's level.
        subset: Its metrics, from `metrics.summary.summarise`.
        thresholds: Target -> threshold; empty for a multi-class task.
        history: `history.csv`.
        best_epoch: The epoch that was kept.
        job: For the monitored metric.
        task: What was predicted.
        folder: Where to write; made when absent.
        protocols: From `protocols.judge_protocols`; None where it was not asked for.
        risk: From `doubt.risk_curves`; None where it was not asked for.
        events: From `plots.events.draw_events` or `plots.objects.draw_objects`, of a task that finds these.
        chosen_on: What the thresholds were chosen on, in words.
    """
    views = blocks(subset, task, task.level)
    entries: list[Drawing] = []
    for drawing, figure in (
        *_curves(rows, views, task),
        *_confusions(views, task),
        *_probabilities(rows, views, thresholds, task, chosen_on),
        _learning(history, best_epoch, job),
        *_protocols(protocols, task),
        *_risk(risk, task),
        *events,
    ):
        entries.append(drawing)
        if figure is not None:
            save_both(figure, folder / drawing.name)
    write_json(folder / "index.json", [asdict(entry) for entry in entries])


def _targets(task: TaskSettings, views: list[Block]) -> Iterator[tuple[int, str, str, Block | None]]:
    """Column, name, unique file name and metrics of every target (or class)."""
    by_name = {block.name: block for block in views if block.key == "target"}
    names = [file_name(target) for target in task.targets]
    for column, target in enumerate(task.targets):
        name = names[column] if names.count(names[column]) == 1 else f"{names[column]}_{column + 1}"
        yield column, target, name, by_name.get(target)


def _curves(rows: LevelRows, views: list[Block], task: TaskSettings) -> list[tuple[Drawing, Figure | None]]:
    roc: list[curves.Curve] = []
    pr: list[curves.Curve] = []
    reasons: list[str] = []
    shares: list[float] = []
    for column, target, _, block in _targets(task, views):
        truth, prob = rows.targets[:, column].astype(np.float64), rows.probabilities[:, column]
        corners, steps = roc_points(truth, prob), pr_points(truth, prob)
        area, precision = _areas(block, views, target)
        if corners is None or steps is None:
            reasons.append(f"{target}, {area.reason}" if len(task.targets) > 1 else area.reason)
            continue
        point, pr_point = _operating_point(block)
        shares.append(float(np.nanmean(truth)))
        corner_x, corner_y = corners["fpr"].to_numpy(), corners["tpr"].to_numpy()
        roc.append(curves.Curve(target, corner_x, corner_y, area.value or 0.0, _note("AUROC", area), point))
        recall, ppv = steps["recall"].to_numpy(), steps["precision"].to_numpy()
        pr.append(curves.Curve(target, recall, ppv, precision.value or 0.0, _note("AUPRC", precision), pr_point))
    undefined = "; ".join(reasons) if not roc else None
    caption = f"{_what(views, task)}."
    if not undefined:
        is_exclusive = task.type == "multi_class"
        caption += " Each class against the rest." if is_exclusive else " The ring marks the threshold."
        caption += f" Undefined: {'; '.join(reasons)}." if reasons else ""
    prevalence = shares[0] if len(task.targets) == 1 and shares else None
    return [
        (Drawing("roc", "ROC", caption, undefined), None if undefined else curves.roc(roc)),
        (
            Drawing("precision_recall", "Precision and recall", caption, undefined),
            None if undefined else curves.precision_recall(pr, prevalence),
        ),
    ]


def _areas(block: Block | None, views: list[Block], target: str) -> tuple[Number, Number]:
    """AUROC and AUPRC of a target, or of a class against the rest, with their intervals."""
    numbers = views[0].by_class[target] if block is None else block.numbers
    return numbers["auroc"], numbers["auprc"]


def _note(name: str, number: Number) -> str:
    if number.value is None:
        return ""
    return f"{name} {number.text}"


def _operating_point(block: Block | None) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
    """Where the threshold lies: (1 - specificity, sensitivity), and (recall, precision); None where undefined."""
    if block is None:
        return None, None
    sensitivity, specificity = block.numbers["sensitivity"].value, block.numbers["specificity"].value
    precision = block.numbers["ppv"].value
    roc = None if sensitivity is None or specificity is None else (1 - specificity, sensitivity)
    return roc, None if sensitivity is None or precision is None else (sensitivity, precision)


def _what(views: list[Block], task: TaskSettings) -> str:
    if len(task.targets) == 1 or task.type == "multi_class":
        return f"Test set, {task.level} level: {views[-1].counts}"
    counts = [f"{view.name}: {view.counts}" for view in views if view.key == "target"]
    return f"Test set, {task.level} level. {'. '.join(counts)}"


def _confusions(views: list[Block], task: TaskSettings) -> Iterator[tuple[Drawing, Figure | None]]:
    names = {target: name for _, target, name, _ in _targets(task, views)}
    for block in views:
        if not block.confusion:
            continue
        n = sum(map(sum, block.confusion))
        several = len(task.targets) > 1 and block.key == "target"
        name = f"confusion_{names[block.name]}" if several else "confusion"
        title = f"Confusion matrix: {block.name}" if several else "Confusion matrix"
        if block.key == "four_class":
            title = "Confusion matrix, four classes"
        caption = f"Test set, {plural(n, task.level)}. Shares are of the row."
        if n == 0:
            yield Drawing(name, title, caption, f"no {task.level} with a known label"), None
            continue
        figure = predictions.confusion(np.array(block.confusion), block.classes)
        yield Drawing(name, title, caption), figure


def _probabilities(
    rows: LevelRows, views: list[Block], thresholds: dict[str, float], task: TaskSettings, chosen_on: str
) -> Iterator[tuple[Drawing, Figure | None]]:
    units = plural_of(task.level)
    if task.type == "multi_class":
        is_known = ~np.isnan(rows.targets).any(axis=1)
        prob = rows.probabilities[is_known]
        is_right = prob.argmax(axis=1) == rows.targets[is_known].argmax(axis=1)
        caption = f"{plural(len(prob), task.level)}. Accuracy over the probability of the predicted class."
        drawing = Drawing("calibration", "Calibration", f"Test set, {caption} {_WILSON}")
        yield _calibration(is_right.astype(np.float64), prob.max(axis=1, initial=0.0), "", drawing, units)
        return
    for column, target, name, _ in list(_targets(task, views))[:MAX_TARGETS_DRAWN_APART]:
        suffix, of = (f"_{name}", f": {target}") if len(task.targets) > 1 else ("", "")
        truth, prob = known(rows.targets[:, column].astype(np.float64), rows.probabilities[:, column])
        caption = (
            f"Test set, one dot per {task.level}, by actual class. The line is the threshold of "
            f"{plural_of(task.level)}, chosen on {chosen_on}."
        )
        none_known = None if len(prob) else f"no {task.level} with a known label"
        groups = [(f"no {target}", prob[~truth]), (target, prob[truth])]
        yield (
            Drawing(f"answers{suffix}", f"Predicted probabilities{of}", caption, none_known),
            predictions.probabilities_by_class(groups, thresholds[target]) if len(prob) else None,
        )


def _calibration(
    truth: npt.NDArray[np.float64], prob: npt.NDArray[np.floating], summary: str, drawing: Drawing, units: str
) -> tuple[Drawing, Figure | None]:
    bins = calibration_bins(truth, prob)
    if bins is None:
        return replace(drawing, undefined=f"too few {units}, or too few distinct probabilities"), None
    return drawing, predictions.calibration(bins, prob, summary)


def _learning(history: pd.DataFrame, best_epoch: int, job: JobSettings) -> tuple[Drawing, Figure | None]:
    if job.ensemble:
        return Drawing("learning", "Learning curves", "", "an ensemble trains nothing; see its members"), None
    n_epochs = plural(len(history), "epoch")
    caption = f"{n_epochs}. Epoch {best_epoch} was kept, by {job.train.monitor}."
    return Drawing("learning", "Learning curves", caption), curves.learning(history, job.train.monitor, best_epoch)


def _risk(found: pd.DataFrame | None, task: TaskSettings) -> Iterator[tuple[Drawing, Figure | None]]:
    if found is None:
        return
    caption = (
        f"Test set, {task.level} level. The share of wrong decisions where only the most confident ones are taken; at "
        "the right all are."
    )
    undefined = None if len(found) else f"no {task.level} with a known label"
    drawing = Drawing("risk_coverage", "Risk over coverage", caption, undefined)
    yield drawing, curves.risk_coverage(found) if len(found) else None


def _protocols(found: dict[str, Any] | None, task: TaskSettings) -> Iterator[tuple[Drawing, Figure | None]]:
    if found is None:
        return
    epochs = pd.DataFrame(found["epochs"]).astype({"val": "float64", "test": "float64"})
    unit = " (%)" if found["metric"] == "icbhi_score" else ""
    best = found["best_on_test"]
    caption = (
        f"{found['metric']} of {plural(len(epochs), 'epoch')}, {task.level} level. The epoch that is best on the test "
        "set was chosen with the test labels, so its metrics are optimistic."
    )
    chosen = found["validation_chosen"]["epoch"]
    figure = curves.protocols(epochs, f"{found['metric']}{unit}", chosen, None if best is None else best["epoch"])
    yield Drawing("protocols", "Epoch chosen on validation, and best on test", caption), figure
