"""Curves of several results laid over each other, and their differences with intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from auscult.comparison.differences import View
from auscult.comparison.run import LETTERS, Comparison
from auscult.figures import charts
from auscult.figures.curves import pr_points, roc_points
from auscult.figures.style import FAINT, GRID, panel, series_colour, styled
from auscult.presentation import Number

_LINE_INCHES = 0.3


def draw_curves(found: Comparison, column: int) -> tuple[Figure, Figure] | None:
    """Draw ROC and precision-recall curves of one target; None where it has one class only."""
    truth = found.rows[0].targets[:, column].astype(np.float64)
    roc: list[charts.Curve] = []
    precision: list[charts.Curve] = []
    for letter, rows in zip(LETTERS, found.rows, strict=False):
        scores = rows.probabilities[:, column]
        corners, steps = roc_points(truth, scores), pr_points(truth, scores)
        if corners is None or steps is None:
            return None
        x, y = corners["fpr"].to_numpy(), corners["tpr"].to_numpy()
        area = float(np.trapezoid(y, x))
        roc.append(charts.Curve(letter, x, y, area, f"AUROC {Number(area).value_text}"))
        recall, share = steps["recall"].to_numpy(), steps["precision"].to_numpy()
        average = float(-np.sum(np.diff(recall) * share[:-1]))
        precision.append(charts.Curve(letter, recall, share, average, f"AUPRC {Number(average).value_text}"))
    prevalence = float(np.nanmean(truth))
    return charts.roc(roc), charts.precision_recall(precision, prevalence)


def draw_differences(view: View, letters: Sequence[str]) -> Figure | None:
    """Draw each metric's difference to the first result with its interval; None where none is defined."""
    shown = [line for line in view.lines if any(number.value is not None for number in line.differences)]
    if not shown:
        return None
    n_others = len(letters) - 1
    with styled():
        figure, axes = panel((4.4, 1.0 + _LINE_INCHES * len(shown) * max(1.0, 0.55 * n_others)))
        axes.axvline(0, color=FAINT, linewidth=1.2, zorder=1)
        for other in range(n_others):
            shift = (other - (n_others - 1) / 2) * 0.6 / max(1, n_others)
            for index, line in enumerate(shown):
                number, at = line.differences[other], index + shift
                if number.value is None:
                    continue
                if number.low is not None and number.high is not None:
                    axes.plot([number.low, number.high], [at, at], color=series_colour(other + 1), linewidth=1.8)
                label = f"{letters[other + 1]} − A" if index == 0 else None
                axes.plot(number.value, at, "o", ms=5, color=series_colour(other + 1), label=label, zorder=3)
        ends = [abs(end) for line in shown for one in line.differences for end in (one.low, one.high, one.value) if end]
        reach = 1.08 * max(ends, default=0.1)
        is_percent = shown[0].values[0].is_percent
        axes.set(xlim=(-reach, reach), ylim=(len(shown) - 0.5, -0.5), yticks=range(len(shown)))
        axes.set_xlabel("difference (percentage points)" if is_percent else "difference")
        axes.set_yticklabels([line.metric + (" ↓" if line.is_lower_better else "") for line in shown])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(visible=True, axis="x", color=GRID)
        if n_others > 1:
            figure.legend(loc="outside lower center", ncols=min(4, n_others))
        return figure
