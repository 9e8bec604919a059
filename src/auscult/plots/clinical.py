"""The figures of the clinical evaluation: calibration, decision curves, forest plots; listed in `index.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from scipy.special import expit, logit

from auscult.config import TaskSettings
from auscult.formatting.numbers import Number, plural, plural_of
from auscult.formatting.text import shortened
from auscult.metrics.decision_curve import useful_ranges
from auscult.plots import curves, predictions
from auscult.plots.job import MAX_TARGETS_DRAWN_APART, Drawing
from auscult.plots.style import (
    FAINT,
    INK,
    MUTED,
    PANEL_INCHES,
    name_rows,
    panel,
    save_both,
    series_colour,
    series_dashes,
    styled,
)
from auscult.storage.files import file_name, write_json

LEAST_SHOWN = -0.35
"""Of the highest value: how far below zero a decision curve is drawn. Treating all falls without end."""
_NAME_CHARACTERS = 20


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


def draw_clinical(
    views: Sequence[TargetView], between: Sequence[Mapping[str, Any]], task: TaskSettings, folder: Path
) -> None:
    """Draw calibration, decision curves and forest plots as SVG and PNG, of at most `MAX_TARGETS_DRAWN_APART` targets.

    Args:
        views: One a target.
        between: From `evaluation.subgroups.heterogeneity`.
        task: What was predicted.
        folder: Where to write; made when absent.
    """
    names = [file_name(view.target) for view in views]
    entries: list[Drawing] = []
    for number, view in enumerate(views[:MAX_TARGETS_DRAWN_APART], start=1):
        name = names[number - 1] if names.count(names[number - 1]) == 1 else f"{names[number - 1]}_{number}"
        suffix, of = (f"_{name}", f": {view.target}") if len(views) > 1 else ("", "")
        drawn = [_calibration(view, suffix, of, task), _decision(view, suffix, of, task)]
        drawn += [_forest(found, suffix, of, task) for found in between if found["target"] == view.target]
        for drawing, figure in drawn:
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


def _forest(found: Mapping[str, Any], suffix: str, of: str, task: TaskSettings) -> tuple[Drawing, Figure | None]:
    by, pooled = found["by"], found["pooled"]
    drawing = Drawing(f"forest_{by}{suffix}", f"AUROC by {by}{of}", "")
    shown = [study for study in found["studies"] if study["auroc"]["value"] is not None]
    if len(shown) < 2:
        few = f"fewer than two {by}s have patients enough with both classes"
        return replace(drawing, undefined=few), None
    caption = f"Test set, {task.level} level, with 95% intervals over patients."
    if pooled is not None:
        caption += (
            f" Diamond: the mean over {by}s with its interval (random effects). Below: where the AUROC of another {by} "
            "is expected (95% prediction interval)."
        )
    return replace(drawing, caption=caption), forest(shown, pooled)


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


def forest(studies: Sequence[Mapping[str, Any]], pooled: Mapping[str, Any] | None) -> Figure:
    """AUROC of each study with its interval; below, the pooled value as a diamond and the prediction interval.

    Args:
        studies: `value`, `n` and `auroc` of each, as in `evaluation.subgroups.heterogeneity`.
        pooled: As there; None where nothing is pooled.
    """
    rows = [(shortened(str(study["value"]), _NAME_CHARACTERS), study["n"], study["auroc"]) for study in studies]
    texts = [Number(area["value"], area["low"], area["high"]).text for _, _, area in rows]
    names = [
        f"{name}\n{n['patients']:,} ({n['positive_patients']:,} +, {n['negative_patients']:,} −)" for name, n, _ in rows
    ]
    lows = [area["low"] if area["low"] is not None else area["value"] for _, _, area in rows]
    if pooled is not None:
        names += ["pooled", "another one"]
        ends = [(pooled["value"], pooled["low"], pooled["high"]), (pooled["prediction_low"], pooled["prediction_high"])]
        texts += [Number(*ends[0]).text, "–".join(f"{end:.3f}" for end in ends[1])]
        lows += [pooled["low"], pooled["prediction_low"]]
    with styled():
        figure, axes = panel((PANEL_INCHES[0], 0.9 + 0.42 * len(names)))
        left = max(0.0, np.floor(10 * min(lows)) / 10)
        for height, (_, _, area) in enumerate(rows):
            row = curves.Estimate("", area["value"], area["low"], area["high"])
            curves.draw_estimate(axes, row, height, series_colour(0))
        if pooled is not None:
            at = len(rows)
            corners = [
                (pooled["low"], at),
                (pooled["value"], at - 0.22),
                (pooled["high"], at),
                (pooled["value"], at + 0.22),
            ]
            axes.add_patch(Polygon(corners, closed=True, facecolor=series_colour(1), lw=0, zorder=3))
            axes.plot(
                [pooled["prediction_low"], pooled["prediction_high"]], [at + 1, at + 1], color=series_colour(1), lw=3
            )
            axes.axvline(pooled["value"], color=series_colour(1), lw=0.9, ls=series_dashes(2), zorder=1)
            axes.axhline(at - 0.5, color=FAINT, lw=1)
        name_rows(axes, names)
        for height, text in enumerate(texts):
            axes.text(1.03, height, text, transform=axes.get_yaxis_transform(), va="center", fontsize=8, color=INK)
        axes.set(xlim=(min(left, 0.95), 1.0), xlabel="AUROC")
        axes.grid(visible=True, axis="x")
        return figure
