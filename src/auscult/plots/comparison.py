"""Figures of several jobs or results: curves over each other, estimates side by side, differences."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from auscult.config import TaskSettings
from auscult.formatting.numbers import Number
from auscult.metrics.comparison import LETTERS
from auscult.metrics.curves import pr_points, roc_points
from auscult.plots import curves
from auscult.plots.style import FAINT, GRID, PANEL_INCHES, name_rows, panel, save_both, series_colour, styled

if TYPE_CHECKING:
    from auscult.evaluation.compare import Comparison
    from auscult.metrics.comparison import View
    from auscult.reports.jobs import JobResult

MAX_JOBS_OVERLAID = 8
_LINE_INCHES = 0.3


def draw_curves(found: Comparison, column: int) -> tuple[Figure, Figure] | None:
    """Draw ROC and precision-recall curves of one target; None where it has one class only."""
    truth = found.rows[0].targets[:, column].astype(np.float64)
    roc: list[curves.Curve] = []
    precision: list[curves.Curve] = []
    for letter, rows in zip(LETTERS, found.rows, strict=False):
        scores = rows.probabilities[:, column]
        corners, steps = roc_points(truth, scores), pr_points(truth, scores)
        if corners is None or steps is None:
            return None
        x, y = corners["fpr"].to_numpy(), corners["tpr"].to_numpy()
        area = float(np.trapezoid(y, x))
        roc.append(curves.Curve(letter, x, y, area, f"AUROC {Number(area).value_text}"))
        recall, share = steps["recall"].to_numpy(), steps["precision"].to_numpy()
        average = float(-np.sum(np.diff(recall) * share[:-1]))
        precision.append(curves.Curve(letter, recall, share, average, f"AUPRC {Number(average).value_text}"))
    prevalence = float(np.nanmean(truth))
    return curves.roc(roc), curves.precision_recall(precision, prevalence)


def draw_differences(view: View, letters: Sequence[str]) -> Figure | None:
    """Draw each metric's difference to the first result with its interval; None where none is defined."""
    shown = [line for line in view.lines if any(number.value is not None for number in line.differences)]
    if not shown:
        return None
    n_others = len(letters) - 1
    with styled():
        figure, axes = panel((PANEL_INCHES[0], 1.0 + _LINE_INCHES * len(shown) * max(1.0, 0.55 * n_others)))
        axes.axvline(0, color=FAINT, linewidth=1.2, zorder=1)
        for other in range(n_others):
            shift = (other - (n_others - 1) / 2) * 0.6 / max(1, n_others)
            for index, line in enumerate(shown):
                number, at = line.differences[other], index + shift
                row = curves.Estimate(line.metric, number.value, number.low, number.high)
                label = f"{letters[other + 1]} − A" if index == 0 else None
                curves.draw_estimate(axes, row, at, series_colour(other + 1), label)
        ends = [abs(end) for line in shown for one in line.differences for end in (one.low, one.high, one.value) if end]
        reach = 1.08 * max(ends, default=0.1)
        is_percent = shown[0].values[0].is_percent
        axes.set(xlim=(-reach, reach), xlabel="difference (percentage points)" if is_percent else "difference")
        name_rows(axes, [line.metric + (" ↓" if line.is_lower_better else "") for line in shown])
        axes.grid(visible=True, axis="x", color=GRID)
        if n_others > 1:
            figure.legend(loc="outside lower center", ncols=min(4, n_others))
        return figure


def draw_comparison(jobs: Sequence[JobResult], task: TaskSettings, folder: Path) -> list[tuple[str, str, str]]:
    """Draw the first headline metric of several jobs side by side, and their ROC curves over each other.

    Args:
        jobs: In order.
        task: What was predicted.
        folder: Where `<name>.svg` and `.png` go.

    Returns:
        (name, title, caption) of each figure; nothing for a single job.
    """
    if len(jobs) < 2:
        return []
    found: list[tuple[str, str, str]] = []
    metric = next(iter(jobs[0].headline))
    numbers = [job.headline[metric] for job in jobs]
    rows = [
        curves.Estimate(f"Job {job.id}", number.value, number.low, number.high)
        for job, number in zip(jobs, numbers, strict=True)
    ]
    is_percent = numbers[0].is_percent
    figure = curves.estimates(rows, f"{metric} (%)" if is_percent else metric, upper=100.0 if is_percent else 1.0)
    save_both(figure, folder / "comparison")
    caption = f"Test set, {task.level} level; lines are 95% intervals over patients."
    found.append(("comparison", f"{metric} of all jobs", caption))
    for target in task.targets if task.type != "multi_class" else ():
        each = [_curve(job, target, task) for job in jobs[:MAX_JOBS_OVERLAID]]
        drawn = [curve for curve in each if curve is not None]
        if len(drawn) > 1:
            name = "roc" if len(task.targets) == 1 else f"roc_{task.targets.index(target) + 1}"
            save_both(curves.roc(drawn), folder / name)
            of = "" if len(task.targets) == 1 else f": {target}"
            note = "" if len(jobs) <= MAX_JOBS_OVERLAID else f" Only the first {MAX_JOBS_OVERLAID} jobs."
            found.append((name, f"ROC of all jobs{of}", f"Test set, {task.level} level.{note}"))
    return found


def _curve(job: JobResult, target: str, task: TaskSettings) -> curves.Curve | None:
    points = job.roc.loc[job.roc["target"] == target]
    area = job.metrics["test"][task.level][target]["auroc"]
    if not len(points) or area["value"] is None:
        return None
    number = Number(area["value"], area["low"], area["high"])
    note = f"AUROC {number.text}"
    return curves.Curve(f"Job {job.id}", points["fpr"].to_numpy(), points["tpr"].to_numpy(), area["value"], note)
