"""The figures of the clinical evaluation: calibration and decision curves; `index.json` says what each shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from scipy.special import expit, logit

from auscult.config import TaskSettings
from auscult.formatting.numbers import Number, plural, plural_of
from auscult.metrics.decision_curve import useful_ranges
from auscult.plots import predictions
from auscult.plots.job import MAX_TARGETS_DRAWN_APART, Drawing
from auscult.plots.style import FAINT, MUTED, PANEL_INCHES, panel, save_both, series_colour, series_dashes, styled
from auscult.storage.files import file_name, write_json

LEAST_SHOWN = -0.35
"""Of the highest value: how far below zero a decision curve is drawn. Treating all falls without end."""


@dataclass(frozen=True)
class TargetView:
    """One target, or class against the rest, at the task's level.

    Attributes:
        target: Its name.
        truth: Known rows, 1 or 0, shape [row].
        prob: Shape [row].
        bins: From `curves.calibration_bins`.
        line: From `calibration_line.calibration_line`.
        decision: From `decision_curve.decision_curve`.
    """

    target: str
    truth: npt.NDArray[np.float64]
    prob: npt.NDArray[np.float64]
    bins: pd.DataFrame | None
    line: Mapping[str, Any]
    decision: pd.DataFrame | None


def draw_clinical(views: Sequence[TargetView], task: TaskSettings, folder: Path) -> None:
    """Draw calibration and decision curves as SVG and PNG, of at most `MAX_TARGETS_DRAWN_APART` targets.

    Args:
        views: One a target.
        task: What was predicted.
        folder: Where to write; made when absent.
    """
    names = [file_name(view.target) for view in views]
    entries: list[Drawing] = []
    for number, view in enumerate(views[:MAX_TARGETS_DRAWN_APART], start=1):
        name = names[number - 1] if names.count(names[number - 1]) == 1 else f"{names[number - 1]}_{number}"
        suffix, of = (f"_{name}", f": {view.target}") if len(views) > 1 else ("", "")
        for drawing, figure in (_calibration(view, suffix, of, task), _decision(view, suffix, of, task)):
            entries.append(drawing)
            if figure is not None:
                save_both(figure, folder / drawing.name)
    write_json(folder / "index.json", [asdict(entry) for entry in entries])


def _calibration(view: TargetView, suffix: str, of: str, task: TaskSettings) -> tuple[Drawing, Figure | None]:
    caption = f"Test set, {_counts(view, task)}. Observed share of {view.target} over the predicted probability."
    drawing = Drawing(f"calibration{suffix}", f"Calibration{of}", caption)
    if not len(view.prob):
        return replace(drawing, undefined=f"no {task.level} with a known label"), None
    said = [
        "Dots: bins of about equal count, with 95% intervals over patients."
        if view.bins is not None
        else f"Too few {plural_of(task.level)} for bins."
    ]
    smooth = None
    if view.line["logistic"] is not None:
        intercept, slope = view.line["logistic"]
        at = np.linspace(view.prob.min(), view.prob.max(), 200)
        inside = np.clip(at, 1e-6, 1 - 1e-6)
        smooth = at, expit(intercept + slope * logit(inside))
        said.append("Dashed: logistic calibration, where predictions lie.")
    summary = ", ".join(
        f"{name} {Number(found['value'], found['low'], found['high']).span_text}"
        for name, found in (("intercept", view.line["intercept"]), ("slope", view.line["slope"]))
    )
    figure = predictions.calibration(view.bins, view.prob, summary, smooth)
    return replace(drawing, caption=" ".join([caption, *said])), figure


def _decision(view: TargetView, suffix: str, of: str, task: TaskSettings) -> tuple[Drawing, Figure | None]:
    caption = (
        f"Test set, {_counts(view, task)}. Net benefit of acting where the probability reaches the threshold, beside "
        "acting on all and on none."
    )
    drawing = Drawing(f"decision_curve{suffix}", f"Decision curve{of}", caption)
    if view.decision is None:
        return replace(drawing, undefined=f"all known {plural_of(task.level)} are of one class"), None
    if bool(view.decision["low"].notna().any()):
        caption += " The band is the model's 95% bootstrap interval over patients."
    if useful_ranges(view.decision):
        caption += " On the axis: where the model is of most use."
    return replace(drawing, caption=caption), decision_curve(view.decision)


def _counts(view: TargetView, task: TaskSettings) -> str:
    n_positive = int((view.truth == 1).sum())
    return f"{plural(len(view.truth), task.level)}, {n_positive:,} with {view.target}"


def decision_curve(curve: pd.DataFrame) -> Figure:
    """Net benefit over the threshold: model with its interval, treat all, treat none.

    Args:
        curve: From `metrics.decision_curve.decision_curve`.
    """
    with styled():
        figure, axes = panel((PANEL_INCHES[0], PANEL_INCHES[1] + 0.2))
        threshold, model, treat_all, low, high = (
            curve[name].to_numpy(dtype=np.float64) for name in ("threshold", "model", "treat_all", "low", "high")
        )
        highest = max(float(model.max()), float(treat_all.max()), 0.02)
        for first, last in useful_ranges(curve):
            axes.axvspan(first - 0.005, last + 0.005, ymax=0.02, color=series_colour(0), lw=0, alpha=0.9)
        axes.fill_between(threshold, low, high, color=series_colour(0), alpha=0.15, lw=0)
        axes.axhline(0, color=FAINT, linewidth=1, zorder=1)
        for index, (name, label) in enumerate((("model", "model"), ("treat_all", "treat all"))):
            axes.plot(
                threshold, curve[name], color=series_colour(index), ls=series_dashes(index), label=label, zorder=3
            )
        axes.plot([], [], color=FAINT, linewidth=1, label="treat none")
        top = 1.08 * max(highest, float(np.nanmax(high, initial=0.0)))
        axes.set(xlim=(0, 1), ylim=(LEAST_SHOWN * highest, top), xticks=np.linspace(0, 1, 6))
        axes.set(xlabel="threshold probability", ylabel="net benefit")
        axes.tick_params(axis="y", labelcolor=MUTED)
        axes.grid(visible=True)
        figure.legend(loc="outside lower center", ncols=3, borderaxespad=0.2)
        return figure
