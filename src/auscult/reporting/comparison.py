"""Figures that set the jobs of an experiment beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from auscult.config import TaskSettings
from auscult.figures import charts
from auscult.figures.style import save
from auscult.presentation import Number
from auscult.reporting.job import JobResult

MAX_JOBS_OVERLAID = 8


def draw_comparison(jobs: Sequence[JobResult], task: TaskSettings, folder: Path) -> list[tuple[str, str, str]]:
    """Draw what several jobs have in common: the first headline metric, and the ROC curves laid over each other.

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
        charts.Estimate(f"Job {job.id}", number.value, number.low, number.high)
        for job, number in zip(jobs, numbers, strict=True)
    ]
    is_percent = numbers[0].is_percent
    figure = charts.estimates(rows, f"{metric} (%)" if is_percent else metric, upper=100.0 if is_percent else 1.0)
    _save(figure, folder / "comparison")
    caption = f"{metric} of each job on its test part, {task.level} level, with 95% intervals over patients."
    found.append(("comparison", f"{metric} of all jobs", caption))
    for target in task.targets if task.type != "multi_class" else ():
        curves = [_curve(job, target, task) for job in jobs[:MAX_JOBS_OVERLAID]]
        drawn = [curve for curve in curves if curve is not None]
        if len(drawn) > 1:
            name = "roc" if len(task.targets) == 1 else f"roc_{task.targets.index(target) + 1}"
            _save(charts.roc(drawn), folder / name)
            of = "" if len(task.targets) == 1 else f": {target}"
            note = "" if len(jobs) <= MAX_JOBS_OVERLAID else f" The first {MAX_JOBS_OVERLAID} jobs."
            found.append((name, f"ROC of all jobs{of}", f"Test part, {task.level} level.{note}"))
    return found


def _curve(job: JobResult, target: str, task: TaskSettings) -> charts.Curve | None:
    points = job.roc.loc[job.roc["target"] == target]
    area = job.metrics["test"][task.level][target]["auroc"]
    if not len(points) or area["value"] is None:
        return None
    number = Number(area["value"], area["low"], area["high"])
    interval = f" ({number.interval_text})" if number.interval_text else ""
    note = f"AUROC {number.value_text}{interval}"
    return charts.Curve(f"Job {job.id}", points["fpr"].to_numpy(), points["tpr"].to_numpy(), area["value"], note)


def _save(figure: Figure, path: Path) -> None:
    for suffix in (".svg", ".png"):
        save(figure, path.with_suffix(suffix))
