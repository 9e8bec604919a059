"""Charts of predictions against labels: confusion matrix, predicted probabilities, calibration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from auscult.formatting.numbers import metric_text
from auscult.plots.style import (
    DOTTED,
    FAINT,
    INK,
    MUTED,
    PANEL_INCHES,
    SHARE_COLOURS,
    add_colour_bar,
    panel,
    series_colour,
    series_dashes,
    styled,
)


def calibration(
    bins: pd.DataFrame | None,
    prob: npt.NDArray[np.floating],
    summary: str,
    smooth: tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]] | None = None,
) -> Figure:
    """Observed share of positives over predicted probability, with Wilson intervals; below, a histogram.

    Args:
        bins: From `curves.calibration_bins`; None: too few rows for bins.
        prob: All probabilities, for the histogram, shape [n].
        summary: Scores of the calibration in words, written above the chart; may be empty.
        smooth: Predicted and observed probability of a fitted curve.
    """
    with styled():
        figure, main = panel()
        axes, strip = figure.subplot_mosaic([["a"], ["b"]], height_ratios=[5, 1], sharex=True).values()
        main.remove()
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, zorder=1)
        if bins is not None:
            axes.errorbar(
                bins["prob"],
                bins["share"],
                yerr=[bins["share"] - bins["low"], bins["high"] - bins["share"]],
                fmt="o-" if smooth is None else "o",
                ms=4,
                lw=1.4,
                color=series_colour(0),
                elinewidth=1,
                zorder=3,
            )
        if smooth is not None:
            axes.plot(*smooth, color=series_colour(1), lw=1.6, ls=series_dashes(1), zorder=2)
        axes.set(ylabel="observed share", xlim=(0, 1), ylim=(0, 1.01), yticks=np.linspace(0, 1, 6))
        # Above the chart: inside, it would lie on somebody's data.
        axes.set_title(summary, loc="left", color=INK, fontsize=8.5)
        axes.grid(visible=True)
        strip.hist(prob, bins=list(np.linspace(0, 1, 21)), color=series_colour(0), alpha=0.55)
        strip.set(xlabel="predicted probability", ylabel="count", xticks=np.linspace(0, 1, 6))
        strip.yaxis.set_major_locator(MaxNLocator(2, integer=True))
        return figure


def confusion(counts: npt.NDArray[np.integer], names: Sequence[str]) -> Figure:
    """Confusion matrix: rows are actual classes, columns predicted ones; colour is the share of the row.

    Args:
        counts: Shape [class, class], actual by predicted.
        names: The classes.
    """
    with styled():
        n_classes = len(names)
        few = n_classes <= 4
        figure, axes = panel((PANEL_INCHES[0], PANEL_INCHES[1] if few else PANEL_INCHES[1] + 0.5))
        totals = counts.sum(axis=1, keepdims=True)
        share = np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
        image = axes.imshow(np.nan_to_num(share), cmap=SHARE_COLOURS, vmin=0, vmax=1, aspect="auto")
        for row in range(n_classes):
            for column in range(n_classes):
                value = share[row, column]
                text = _cell_text(int(counts[row, column]), float(value), with_share=few)
                dark = bool(np.nan_to_num(value) > 0.55)
                axes.text(
                    column,
                    row,
                    text,
                    ha="center",
                    va="center",
                    fontsize=9.5 if few else 8,
                    color="white" if dark else INK,
                )
        axes.set(xlabel="predicted", ylabel="actual", xticks=range(n_classes), yticks=range(n_classes))
        axes.set_xticklabels(names)
        axes.set_yticklabels(
            [f"{name}\nn = {int(total):,}" if few else name for name, total in zip(names, totals[:, 0], strict=True)]
        )
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xticks(np.arange(n_classes - 1) + 0.5, minor=True)
        axes.set_yticks(np.arange(n_classes - 1) + 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=1.5)
        axes.tick_params(which="minor", length=0)
        percent = PercentFormatter(1, decimals=0)
        add_colour_bar(figure, image, "share of the row", ax=axes, fraction=0.05, pad=0.02, format=percent)
        return figure


def _cell_text(count: int, share: float, *, with_share: bool) -> str:
    if not with_share:
        return f"{count:,}" if count else "·"
    return f"{count:,}" if np.isnan(share) else f"{count:,}\n{share:.0%}"


def probabilities_by_class(groups: Sequence[tuple[str, npt.NDArray[np.floating]]], threshold: float) -> Figure:
    """Each predicted probability as a dot, one band an actual class; the line is the threshold chosen on validation.

    Dots are spread within their band by a fixed low-discrepancy sequence: no chance, and no overlap that hides counts.
    """
    with styled():
        figure, axes = panel((PANEL_INCHES[0], 2.2))
        most = max(len(prob) for _, prob in groups)
        size = 28.0 if most <= 60 else 12.0 if most <= 400 else 5.0
        for index, (_, prob) in enumerate(groups):
            height = (np.arange(len(prob)) * 0.6180339887498949) % 1.0
            axes.scatter(
                np.sort(prob),
                index + 0.6 * (height - 0.5),
                s=size,
                color=series_colour(index),
                alpha=0.7,
                lw=0,
                clip_on=False,
            )
        axes.axvline(threshold, color=INK, linewidth=1, linestyle=DOTTED)
        right = threshold > 0.6
        axes.annotate(
            f"threshold {metric_text(threshold)}",
            (threshold, 1.0),
            (-4 if right else 4, 0),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="right" if right else "left",
            va="top",
            fontsize=8.5,
            color=MUTED,
        )
        axes.set(
            xlabel="predicted probability", xlim=(0, 1), ylim=(-0.5, len(groups) - 0.35), yticks=range(len(groups))
        )
        axes.set_yticklabels([f"{name}\nn = {len(prob):,}" for name, prob in groups])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(visible=True, axis="x")
        return figure
