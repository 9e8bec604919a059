"""Curves, learning curves and estimates, of one job or of several. Each returns a Figure; nothing global is touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from auscult.formatting.numbers import UNDEFINED
from auscult.plots.style import (
    DOTTED,
    FAINT,
    GRID,
    MUTED,
    PANEL_INCHES,
    name_rows,
    panel,
    series_colour,
    series_dashes,
    styled,
)

MAX_NAMED_CURVES = 6
"""With more curves only the three weakest are coloured and named: nobody reads a legend of ten lines."""
_LEGEND_LINE_INCHES = 0.18


@dataclass(frozen=True)
class Curve:
    """One curve: its corners, its name in the legend, its area and, if any, the operating point upon it."""

    name: str
    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    area: float
    note: str = ""
    point: tuple[float, float] | None = None


def roc(curves: Sequence[Curve]) -> Figure:
    """ROC curves with the chance line; a ring marks the operating point chosen on validation."""
    with styled():
        figure, axes = panel()
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, zorder=1)
        _curves(axes, curves, steps=False)
        axes.set(xlabel="1 − specificity", ylabel="sensitivity")
        _unit_square(axes)
        _legend_below(figure, axes)
        return figure


def precision_recall(curves: Sequence[Curve], prevalence: float | None) -> Figure:
    """Precision-recall curves; the thin line is the precision of calling everything positive."""
    with styled():
        figure, axes = panel()
        if prevalence is not None:
            axes.axhline(prevalence, color=FAINT, linewidth=1, zorder=1)
            axes.annotate(
                f"prevalence {prevalence:.0%}",
                (0.0, prevalence),
                (3, 3),
                textcoords="offset points",
                color=MUTED,
                fontsize=8,
            )
        _curves(axes, curves, steps=True)
        axes.set(xlabel="recall (sensitivity)", ylabel="precision (PPV)")
        _unit_square(axes)
        _legend_below(figure, axes)
        return figure


def _curves(axes: Axes, curves: Sequence[Curve], *, steps: bool) -> None:
    style = "steps-post" if steps else "default"
    many = len(curves) > MAX_NAMED_CURVES
    weakest = sorted(range(len(curves)), key=lambda index: curves[index].area)[:3] if many else range(len(curves))
    named = set(weakest)
    for index, curve in enumerate(curves):
        if index not in named:
            axes.plot(curve.x, curve.y, color=FAINT, linewidth=1, drawstyle=style, zorder=2)
    for rank, index in enumerate(weakest):
        curve = curves[index]
        colour = series_colour(rank)
        label = f"{curve.name}: {curve.note}" if curve.note else curve.name
        axes.plot(
            curve.x,
            curve.y,
            color=colour,
            linestyle=series_dashes(rank),
            drawstyle=style,
            label=label,
            zorder=3,
            clip_on=False,
        )
        if curve.point is not None:
            axes.plot(*curve.point, "o", ms=7, mfc="white", mec=colour, mew=1.8, zorder=4, clip_on=False)
    if many:
        axes.plot([], [], color=FAINT, linewidth=1, label=f"the other {len(curves) - len(named)}, all higher")


def _unit_square(axes: Axes) -> None:
    axes.set(xlim=(0, 1), ylim=(0, 1.01), xticks=np.linspace(0, 1, 6), yticks=np.linspace(0, 1, 6))
    axes.grid(visible=True)
    axes.set_aspect("equal", adjustable="box")


def _legend_below(figure: Figure, axes: Axes) -> None:
    """Under the chart, one line a curve: inside, it would lie on somebody's data. The figure grows with it."""
    n_lines = len(axes.get_legend_handles_labels()[0])
    if n_lines:
        figure.set_size_inches(PANEL_INCHES[0], PANEL_INCHES[1] + _LEGEND_LINE_INCHES * n_lines)
        figure.legend(loc="outside lower center", borderaxespad=0.2)


def learning(history: pd.DataFrame, monitor: str, best_epoch: int | None) -> Figure:
    """Losses above, the monitored metric below; a dotted line marks the epoch that was kept."""
    with styled():
        figure, main = panel()
        main.remove()
        losses = [name for name in ("train/loss", "val/loss") if name in history and bool(history[name].notna().any())]
        monitored = [monitor] if monitor in history and monitor not in losses else []
        mosaic = "L\nW" if monitored else "L"
        parts = figure.subplot_mosaic(mosaic, sharex=True)
        for index, name in enumerate(losses):
            _draw_course(parts["L"], history, name, color=series_colour(index), ls=series_dashes(index))
        parts["L"].set_ylabel("loss")
        if monitored:
            _draw_course(parts["W"], history, monitor, color=series_colour(2))
            parts["W"].set_ylabel(monitor)
        for axes in parts.values():
            axes.grid(visible=True)
            if best_epoch is not None:
                axes.axvline(best_epoch, color=MUTED, linewidth=1, linestyle=DOTTED, label=f"kept: epoch {best_epoch}")
        # Above the chart: inside, it would hide data.
        parts["L"].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, borderaxespad=0.2, columnspacing=1.2)
        last = list(parts.values())[-1]
        last.set_xlabel("epoch")
        last.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if len(history) == 1:
            last.set_xlim(history["epoch"].iloc[0] - 0.5, history["epoch"].iloc[0] + 0.5)
        figure.align_ylabels()
        return figure


def risk_coverage(found: pd.DataFrame) -> Figure:
    """Draw the error rate of the most confident decisions over their share of all, a line a target.

    Args:
        found: Columns `target`, `coverage` and `risk`.
    """
    with styled():
        figure, axes = panel()
        for index, (target, part) in enumerate(found.groupby("target", sort=False)):
            axes.plot(
                part["coverage"],
                part["risk"],
                label=str(target),
                color=series_colour(index),
                linestyle=series_dashes(index),
                marker="o" if len(part) <= 30 else "",
                markersize=3,
            )
        axes.set(xlim=(0, 1), xlabel="coverage: share of decisions taken", ylabel="risk: share of them wrong")
        axes.set_ylim(0, max(0.05, 1.1 * float(found["risk"].to_numpy().max())))
        axes.grid(visible=True)
        if len(set(found["target"])) > 1:
            axes.legend(loc="best")
        return figure


def protocols(epochs: pd.DataFrame, metric: str, chosen_epoch: int, best_epoch: int | None) -> Figure:
    """One metric on validation and on test over the epochs; marks show the epochs that either would choose.

    Args:
        epochs: Columns `epoch`, `val` and `test`.
        metric: What it is, with its unit if it has one.
        chosen_epoch: By validation.
        best_epoch: By the test set; None where the metric is undefined there.
    """
    with styled():
        figure, axes = panel((PANEL_INCHES[0], 2.8))
        names = {"val": "validation", "test": "test"}
        for index, (name, label) in enumerate(names.items()):
            _draw_course(
                axes, epochs.rename(columns={name: label}), label, color=series_colour(index), ls=series_dashes(index)
            )
        test = epochs.set_index("epoch")["test"]
        marks = [(chosen_epoch, "chosen on validation", "o"), (best_epoch, "best on test (optimistic)", "D")]
        for epoch, label, shape in marks:
            if epoch is not None and bool(np.isfinite(test.loc[epoch])):
                axes.plot(
                    [epoch],
                    [test.loc[epoch]],
                    shape,
                    ms=8,
                    mfc="none",
                    mec=MUTED,
                    mew=1.6,
                    zorder=4,
                    label=label,
                    ls="none",
                )
        axes.set(xlabel="epoch", ylabel=metric)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(visible=True)
        figure.legend(loc="outside lower center", ncols=2, borderaxespad=0.2)
        return figure


def _draw_course(axes: Axes, history: pd.DataFrame, name: str, **line: Any) -> None:
    """Draw the epochs that have a value, as dots too where some epoch has none or there is one only."""
    defined = history[history[name].notna()]
    is_sparse = len(defined) < max(2, len(history))
    axes.plot(defined["epoch"], defined[name], marker="o" if is_sparse else None, markersize=4, label=name, **line)


@dataclass(frozen=True)
class Estimate:
    """A value with its 95% interval; None where undefined."""

    name: str
    value: float | None
    low: float | None
    high: float | None


def estimates(rows: Sequence[Estimate], label: str, upper: float = 1.0) -> Figure:
    """Values from 0 to `upper` with their 95% intervals, one line each, the first on top; the undefined are named."""
    with styled():
        figure, axes = panel((PANEL_INCHES[0], min(6.0, 1.0 + 0.34 * len(rows))))
        for index, row in enumerate(rows):
            if row.value is None:
                axes.text(0.02 * upper, index, UNDEFINED, color=MUTED, va="center", fontsize=8.5)
            draw_estimate(axes, row, index, series_colour(0))
        axes.set(xlabel=label, xlim=(0, upper))
        name_rows(axes, [row.name for row in rows])
        axes.grid(visible=True, axis="x", color=GRID)
        return figure


def draw_estimate(axes: Axes, row: Estimate, height: float, colour: str, label: str | None = None) -> None:
    """Draw a value as a dot and its interval as a line, at `height`; nothing where it is undefined."""
    if row.value is None:
        return
    if row.low is not None and row.high is not None:
        axes.plot([row.low, row.high], [height, height], color=colour, linewidth=1.8, solid_capstyle="butt")
    axes.plot(row.value, height, "o", ms=6, color=colour, label=label, clip_on=False, zorder=3)
