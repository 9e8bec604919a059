"""Charts of counts and durations, such as a dataset page holds. Each returns a Figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from auscult.formatting.text import shortened
from auscult.plots.style import (
    FAINT,
    GRID,
    INK,
    MUTED,
    PANEL_INCHES,
    name_rows,
    panel,
    plain_log_ticks,
    series_colour,
    styled,
)

MAX_BINS = 24
_ROW_INCHES = 0.27
_LABEL_CHARACTERS = 26
_LOG_FROM = 30.0
"""Durations that span more than this factor are drawn on a logarithmic axis."""

Values = npt.NDArray[np.floating]


def bars(rows: Sequence[tuple[str, int]], label: str) -> Figure:
    """Horizontal bars with their counts, the first on top.

    Args:
        rows: (name, count), at least one.
        label: What is counted, for the axis.
    """
    with styled():
        figure, axes = panel((PANEL_INCHES[0], 0.75 + _ROW_INCHES * len(rows)))
        counts = [count for _, count in rows]
        axes.barh(range(len(rows)), counts, height=0.66, color=series_colour(0))
        for index, count in enumerate(counts):
            _beside(axes, count, index, f"{count:,}")
        axes.set(xlabel=label, xlim=(0, 1.14 * max(1, *counts)))
        _name_rows(axes, [name for name, _ in rows])
        _whole_numbers(axes)
        return figure


@dataclass(frozen=True)
class Shares:
    """One target: how many are positive, negative and unknown."""

    name: str
    positive: int
    negative: int
    unknown: int


def shares(rows: Sequence[Shares]) -> Figure:
    """Positive, negative and unknown as parts of one bar a target, with counts; unknown is hatched.

    Args:
        rows: At least one, each with at least one count.
    """
    parts = (("positive", series_colour(1), "white"), ("negative", series_colour(0), "white"), ("unknown", GRID, INK))
    with styled():
        figure, axes = panel((PANEL_INCHES[0], 1.0 + _ROW_INCHES * 1.25 * len(rows)))
        for index, row in enumerate(rows):
            total = row.positive + row.negative + row.unknown
            left = 0.0
            for key, colour, ink in parts:
                count = int(getattr(row, key))
                width = count / total
                shown = axes.barh(index, width, left=left, height=0.66, color=colour, label="_" if index else key)
                if key == "unknown":
                    for patch in shown.patches:
                        patch.set(hatch="////", edgecolor=FAINT, linewidth=0)
                if width > 0.035 * len(f"{count:,}") + 0.01:
                    axes.text(left + width / 2, index, f"{count:,}", ha="center", va="center", color=ink, fontsize=8.5)
                left += width
        axes.set(xlabel="share", xlim=(0, 1), xticks=np.linspace(0, 1, 6))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
        _name_rows(axes, [row.name for row in rows])
        figure.legend(loc="outside lower center", ncols=3, borderaxespad=0.2)
        return figure


def histogram(values: Values, label: str, unit: str, *, whole: bool = False, bin_width: float | None = None) -> Figure:
    """Histogram of values.

    Args:
        values: Shape [n], at least one.
        label: What the values are, for the axis.
        unit: What is counted, such as `recordings`.
        whole: Whether the values are whole numbers; few of them get a bar each.
        bin_width: Of bars that begin at 0; chosen by the values when None.
    """
    with styled():
        figure, axes = panel((PANEL_INCHES[0], 2.5))
        is_plain = whole or bin_width is not None
        is_log = not is_plain and bool(values.min() > 0 and values.max() / values.min() > _LOG_FROM)
        if bin_width is None:
            edges = _edges(values, whole=whole, is_log=is_log)
        else:
            edges = np.arange(0, float(values.max()) + 1.001 * bin_width, bin_width)
        axes.hist(values, bins=list(edges), color=series_colour(0), edgecolor="white", linewidth=0.6)
        if is_log:
            axes.set_xscale("log")
            plain_log_ticks(axes)
        elif whole:
            axes.set_xlim(max(0, edges[0] - 2), max(edges[-1] + 1, edges[0] + 6))
            axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.set(xlabel=label, ylabel=unit)
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.grid(visible=True, axis="y")
        return figure


def _edges(values: Values, *, whole: bool, is_log: bool) -> npt.NDArray[np.float64]:
    low, high = float(values.min()), float(values.max())
    if whole:
        step = max(1, int(np.ceil((high - low + 1) / MAX_BINS)))
        return np.arange(np.floor(low) - 0.5, high + step, step)
    if is_log:
        return np.geomspace(low, high, MAX_BINS + 1)
    if high == low:
        margin = max(0.05 * abs(low), 0.05)
        return np.linspace(low - margin, high + margin, 8)
    found = np.histogram_bin_edges(values, bins="auto", range=(low, high))
    return found if len(found) <= MAX_BINS + 1 else np.linspace(low, high, MAX_BINS + 1)


def spreads(rows: Sequence[tuple[str, Values]], label: str) -> Figure:
    """Durations by kind: dot, the median; thick line, 25th to 75th percentile; thin line, 5th to 95th.

    Args:
        rows: (name, durations), each with at least one above 0.
        label: Of the axis.
    """
    with styled():
        figure, axes = panel((PANEL_INCHES[0], 0.85 + _ROW_INCHES * 1.1 * len(rows)))
        every: list[float] = []
        for index, (_, values) in enumerate(rows):
            p5, p25, p50, p75, p95 = (float(value) for value in np.percentile(values, [5, 25, 50, 75, 95]))
            every += [p5, p95]
            axes.plot([p5, p95], [index, index], color=series_colour(0), linewidth=1.1, solid_capstyle="butt")
            axes.plot([p25, p75], [index, index], color=series_colour(0), linewidth=5, solid_capstyle="butt")
            axes.plot(p50, index, "o", ms=5.5, mfc="white", mec=series_colour(0), mew=1.5, zorder=3)
        if max(every) / min(every) > _LOG_FROM:
            axes.set_xscale("log")
            plain_log_ticks(axes)
        else:
            axes.set_xlim(0, 1.06 * max(every))
        axes.set_xlabel(label)
        _name_rows(axes, [name for name, _ in rows])
        axes.grid(visible=True, axis="x")
        return figure


def _beside(axes: Axes, x: float, y: float, text: str) -> None:
    axes.annotate(text, (x, y), (4, 0), textcoords="offset points", va="center", color=MUTED, fontsize=8.5)


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    name_rows(axes, [shortened(name, _LABEL_CHARACTERS) for name in names])


def _whole_numbers(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.grid(visible=True, axis="x")
