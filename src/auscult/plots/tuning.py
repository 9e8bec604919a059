"""Pictures of `auscult tune lr` and `auscult tune batch`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from auscult.plots.style import DOTTED, FAINT, GRID, MUTED, PANEL_INCHES, SERIES, plain_log_ticks, styled

if TYPE_CHECKING:
    from auscult.ops.batch_search import BatchSearch
    from auscult.ops.lr_search import LrSearch, LrTrial


def draw_lr(found: LrSearch) -> Figure:
    """Draw the curve of the range test, and beside it the trainings by their rate."""
    with styled():
        figure = _wide(2)
        left, right = figure.subplots(1, 2)
        curve = found.range_test
        left.plot(curve.lrs, curve.losses, color=FAINT, linewidth=1, label="each step")
        left.plot(curve.lrs, curve.smoothed, color=SERIES[0], label="smoothed")
        for lr, name in ((curve.steepest, "steepest"), (curve.lowest, "lowest")):
            left.axvline(lr, color=MUTED, linewidth=1, linestyle=DOTTED)
            left.annotate(
                f"{name} {lr:.2g}",
                (lr, 1),
                (-2, -2),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                rotation=90,
                ha="right",
                va="top",
                fontsize=8,
                color=MUTED,
            )
        low, high = min(curve.smoothed), max(curve.smoothed[: max(len(curve.smoothed) // 3, 1)])
        # Beyond, the loss only diverges.
        left.set_ylim(low - 0.15 * (high - low), high + 0.6 * (high - low) if high > low else None)
        left.set(xscale="log", xlabel="learning rate", ylabel="training loss", title="Range test")
        left.legend(loc="lower left")
        _trainings(right, found.coarse, "coarse", filled=False)
        _trainings(right, found.fine, "fine", filled=True)
        right.axvline(found.best.lr, color=SERIES[1], linewidth=1.4)
        right.set(xscale="log", xlabel="learning rate", ylabel=found.metric)
        right.margins(x=0.08)
        plain_log_ticks(left)
        plain_log_ticks(right)
        right.set_title(f"Trainings; recommended {found.best.lr:.3g}")
        for axes in (left, right):
            axes.grid(visible=True, axis="y", color=GRID)
        right.legend(loc="best")
        return figure


def _trainings(axes: Axes, trials: Sequence[LrTrial], name: str, *, filled: bool) -> None:
    reached = {trial.lr: trial.rung.value for trial in trials if trial.rung.value is not None}
    epochs = f", {trials[0].epochs} epochs" if trials else ""
    face = SERIES[0] if filled else "white"
    edge = SERIES[0] if filled else MUTED
    axes.plot(
        list(reached),
        list(reached.values()),
        marker="o",
        markersize=5.5,
        markerfacecolor=face,
        markeredgecolor=edge,
        color=edge,
        linewidth=1,
        label=f"{name}{epochs}",
        zorder=3 if filled else 2,
    )
    for number, trial in enumerate(trial for trial in trials if not trial.has_value):
        label = "failed" if number == 0 else None
        foot = axes.get_xaxis_transform()
        axes.plot(trial.lr, 0.02, marker="x", color=SERIES[1], linestyle="none", label=label, transform=foot)


def draw_batch(found: BatchSearch) -> Figure:
    """Draw speed, memory and the validation result by batch size."""
    whole = [trial for trial in found.trials if trial.rung.value is not None]
    sizes = [trial.size for trial in whole]
    columns = (
        ("clips a second", [trial.rung.samples_per_s for trial in whole]),
        ("peak memory (MB)", [trial.rung.peak_memory_mb for trial in whole]),
        (found.metric, [trial.rung.value for trial in whole]),
    )
    with styled():
        figure = _wide(3)
        by = {"linear": ", the rate in proportion", "sqrt": ", the rate by its root"}.get(found.scale, "")
        for axes, (name, values) in zip(figure.subplots(1, 3), columns, strict=True):
            axes.axvline(found.best.size, color=SERIES[1], linewidth=1.4, label="recommended")
            axes.plot(sizes, values, marker="o", color=SERIES[0], markersize=5)
            axes.set(xscale="log", xlabel=f"batch size{by}", title=name)
            axes.xaxis.set_major_locator(FixedLocator(sizes))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set_xticklabels(list(map(str, sizes)))
            axes.grid(visible=True, axis="y", color=GRID)
            if name == found.metric:
                axes.axhspan(*found.good_enough, color=FAINT, alpha=0.5, linewidth=0, zorder=0, label="good enough")
                axes.legend(loc="best")
            else:
                axes.set_ylim(bottom=0)
        return figure


def _wide(n_panels: int) -> Figure:
    figure = Figure(figsize=(PANEL_INCHES[0] * (0.55 + 0.55 * n_panels), PANEL_INCHES[1]), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
