"""The flow of recordings as a diagram: found, read, used, and beside them what was lost and left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from auscult.formatting.numbers import plural
from auscult.formatting.text import shortened
from auscult.plots.style import INK, MUTED, SERIES, styled

MAX_REASONS = 12
"""So many reasons have a line of their own; the others are summed up."""
WIDTH_INCHES = 6.6
_MARGIN, _LINE, _PAD, _GAP = 0.08, 0.17, 0.09, 0.26
_BETWEEN = {3: 0.2, 4: 0.1}
"""Between the boxes of so many subsets."""
_SIDE = (2.5, WIDTH_INCHES - 2 * _MARGIN)
_COUNT = 0.4
"""Width of the numbers before reasons, which end at one line."""
_MAX_REASON_CHARACTERS = 34
_SUBSETS = {"train": "Training", "val": "Validation", "calibration": "Calibration", "test": "Test"}

Row = Mapping[str, Any]


def draw_flow(rows: Sequence[Row]) -> Figure:
    """Return the flow of all datasets together, in the manner of a CONSORT diagram.

    Args:
        rows: Of `<split>.flow.csv`: dataset, step, reason, recordings, patients, patients_unknown.
    """
    subsets = [step for step in _SUBSETS if any(row["step"] == step for row in rows)]
    is_narrow = len(subsets) > 3
    found, read, used = (_box(title, _sum(rows, step), is_narrow=is_narrow) for title, step in _MAIN_STEPS)
    bottom = [_box(_SUBSETS[step], _sum(rows, step), is_narrow=is_narrow) for step in subsets]
    lost, left_out = _reasons("Lost", rows, "lost"), _reasons("Left out", rows, "left_out")
    heights = [_height(side) for side in (lost, left_out)]
    total = sum(_height(box) for box in (found, read, used)) + sum(heights) + 2 * _GAP + _GAP
    total += max(_height(box) for box in bottom) + 2 * _MARGIN
    width = _box_width(len(bottom))
    main = (0.0, width)  # above the training's box, and as wide: one straight line leads from the first box to it
    with styled():
        figure = Figure(figsize=(WIDTH_INCHES, total))
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(-_MARGIN, WIDTH_INCHES - _MARGIN), ylim=(total - _MARGIN, -_MARGIN))
        axes.axis("off")
        top = 0.0
        for box, side, gap in ((found, lost, heights[0]), (read, left_out, heights[1])):
            _draw(axes, main, top, box)
            middle = width / 2
            start = top + _height(box)
            top = start + gap + _GAP
            _arrow(axes, (middle, start), (middle, top))
            if side:
                at = start + (gap + _GAP - _height(side)) / 2
                _draw(axes, _SIDE, at, side, colour=SERIES[1])
                _arrow(axes, (middle, at + _height(side) / 2), (_SIDE[0], at + _height(side) / 2))
        _draw(axes, main, top, used)
        _draw_subsets(axes, top + _height(used), bottom)
    return figure


_MAIN_STEPS = (("Found", "found"), ("Read", "read"), ("Used", "used"))


def _draw_subsets(axes: Axes, start: float, boxes: Sequence[list[str]]) -> None:
    """Draw the subsets side by side, and the lines that lead to them."""
    width = _box_width(len(boxes))
    middle, branch, top = width / 2, start + _GAP / 2, start + _GAP
    lefts = [number * (width + _BETWEEN[max(len(boxes), 3)]) for number in range(len(boxes))]
    axes.plot([middle, middle], [start, branch], color=MUTED, linewidth=1)
    axes.plot([middle, lefts[-1] + width / 2], [branch, branch], color=MUTED, linewidth=1)
    for left, box in zip(lefts, boxes, strict=True):
        _arrow(axes, (left + width / 2, branch), (left + width / 2, top))
        _draw(axes, (left, left + width), top, box, colour=SERIES[0])


def _box_width(n_subsets: int) -> float:
    """Return the width at which so many boxes, three at least, fill the figure side by side."""
    n_boxes = max(n_subsets, 3)
    return (WIDTH_INCHES - 2 * _MARGIN - (n_boxes - 1) * _BETWEEN[n_boxes]) / n_boxes


def _sum(rows: Sequence[Row], step: str, reason: str | None = None) -> dict[str, int]:
    chosen = [row for row in rows if row["step"] == step and reason in {None, row["reason"]}]
    return {name: sum(int(row[name]) for row in chosen) for name in ("recordings", "patients", "patients_unknown")}


def _box(title: str, counts: Mapping[str, int], *, is_narrow: bool) -> list[str]:
    lines = [title, plural(counts["recordings"], "recording"), plural(counts["patients"], "patient")]
    n_unknown = counts["patients_unknown"]
    if not n_unknown:
        return lines
    return (
        [*lines, f"{n_unknown:,} of unknown", "patients"]
        if is_narrow
        else [*lines, f"{n_unknown:,} of unknown patients"]
    )


def _reasons(title: str, rows: Sequence[Row], step: str) -> list[str]:
    """Return a box of reasons, the most frequent first; nothing where there are none."""
    reasons = dict.fromkeys(str(row["reason"]) for row in rows if row["step"] == step)
    counted = sorted(((_sum(rows, step, reason)["recordings"], reason) for reason in reasons), key=lambda one: -one[0])
    if not counted:
        return []
    lines = [f"{title}: {plural(sum(n for n, _ in counted), 'recording')}"]
    shown = counted if len(counted) <= MAX_REASONS else counted[: MAX_REASONS - 1]
    lines += [f"{n:,}\t{shortened(reason, _MAX_REASON_CHARACTERS)}" for n, reason in shown]
    rest = counted[len(shown) :]
    return [*lines, f"{sum(n for n, _ in rest):,}\tfor {len(rest)} further reasons"] if rest else lines


def _height(lines: Sequence[str]) -> float:
    return len(lines) * _LINE + 2 * _PAD if lines else 0.0


def _draw(axes: Axes, across: tuple[float, float], top: float, lines: Sequence[str], colour: str = MUTED) -> None:
    left, right = across
    axes.add_patch(
        Rectangle((left, top), right - left, _height(lines), facecolor="white", edgecolor=colour, linewidth=1.1)
    )
    for number, line in enumerate(lines):
        weight = "bold" if number == 0 else "normal"
        y = top + _PAD + (number + 0.5) * _LINE
        count, tab, reason = line.partition("\t")
        if tab:
            axes.text(left + 0.11 + _COUNT, y, count, va="center", ha="right", fontsize=8.5, color=INK)
            axes.text(left + 0.21 + _COUNT, y, reason, va="center", fontsize=8.5, color=INK)
        else:
            axes.text(left + 0.11, y, line, va="center", fontsize=8.5, fontweight=weight, color=INK)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate(
        "",
        end,
        start,
        arrowprops={"arrowstyle": "-|>", "color": MUTED, "linewidth": 1, "shrinkA": 0, "shrinkB": 0},
    )
