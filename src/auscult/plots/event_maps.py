"""Maps of events along a recording, in rows as music is written: spectrogram, events found, objects and boundaries."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator
from numpy.typing import NDArray

from auscult.plots.recording import MAX_COLUMNS, LongSpectrogram, draw_levels, level_range
from auscult.plots.style import GRID, INK, MUTED, add_colour_bar, series_colour, styled

if TYPE_CHECKING:
    from auscult.inference.predictions import Event
    from auscult.metrics.event_decoding import Tracks

MAX_ROWS = 20
_ROW_S = (30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400, 28_800)
_TICKS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200)
_MAX_TICKS = 13
_MINUTES_FROM_S = 120
_WIDTH_INCHES = 12.0
_RIGHT_INCHES = 0.75
_TOP_INCHES = 0.5
_FOOT_INCHES = 0.5
_LEVELS_INCHES = 1.05
_TIME_INCHES = 0.42
_CHARACTER_INCHES = 0.075
_BAR, _OBJECTS, _BOUNDARIES, _GAP = 0.16, 0.24, 0.12, 0.09
"""Inches of a kind's lane: the events found, its objects, its boundaries, and what parts it from the next."""


def row_length_s(duration_s: float) -> float:
    """Return how long a row is: 30 s, or so much longer that a picture has at most 20.

    >>> row_length_s(12.5), row_length_s(600), row_length_s(7200)
    (12.5, 30.0, 600.0)
    """
    if duration_s <= _ROW_S[0]:
        return duration_s
    fitting = (float(row_s) for row_s in _ROW_S if duration_s <= row_s * MAX_ROWS)
    return next(fitting, duration_s / MAX_ROWS)


def spectrogram_columns(duration_s: float) -> int:
    """Return how many columns a spectrogram needs to fill the rows."""
    return MAX_COLUMNS * math.ceil(duration_s / row_length_s(duration_s))


def draw_maps(
    tracks: Tracks,
    kinds: Sequence[str],
    *,
    title: str,
    spectrogram: LongSpectrogram | None = None,
    events: Sequence[Event] | None = None,
) -> Figure:
    """Draw the maps of one recording; long ones in several rows.

    Where a row has fewer columns than frames, a column shows the highest of its probabilities: short events stay.

    Args:
        tracks: Of one recording.
        kinds: Of events.
        title: What stands above.
        spectrogram: Of the whole recording, drawn above the maps; None: none.
        events: Found in it, drawn as bars above each kind's maps; None: none.
    """
    duration_s = float(tracks.durations_s[0])
    row_s = row_length_s(duration_s)
    n_rows = math.ceil(duration_s / row_s)
    bar = 0.0 if events is None else _BAR
    lanes = len(kinds) * (bar + _OBJECTS + _BOUNDARIES + _GAP)
    levels = 0.0 if spectrogram is None else _LEVELS_INCHES
    row_inches = levels + lanes + _TIME_INCHES
    height = _TOP_INCHES + n_rows * row_inches + _FOOT_INCHES
    left = max(0.75, 0.2 + _CHARACTER_INCHES * max(map(len, kinds)))
    right = _RIGHT_INCHES if spectrogram is not None else 0.25
    width = _WIDTH_INCHES - left - right
    with styled():
        figure = Figure(figsize=(_WIDTH_INCHES, height))
        FigureCanvasAgg(figure)

        def add_axes(x: float, y: float, w: float, h: float) -> Axes:
            return figure.add_axes((x / _WIDTH_INCHES, y / height, w / _WIDTH_INCHES, h / height))

        figure.text(left / _WIDTH_INCHES, 1 - 0.26 / height, title, fontsize=10.5, color=INK, va="center")
        range_db = None if spectrogram is None else level_range(spectrogram)
        for number in range(n_rows):
            begin_s = number * row_s
            bottom = height - _TOP_INCHES - (number + 1) * row_inches + _TIME_INCHES
            below = add_axes(left, bottom, width, lanes)
            _draw_lanes(below, tracks, kinds, events, (begin_s, begin_s + row_s))
            if spectrogram is not None and range_db is not None:
                # A last row that the recording does not fill is as much shorter.
                end_s = min(begin_s + row_s, duration_s)
                above = add_axes(left, bottom + lanes, width * (end_s - begin_s) / row_s, levels)
                image = draw_levels(above, spectrogram, range_db, (begin_s, end_s))
                above.tick_params(axis="x", length=0, labelbottom=False)
                above.set_ylabel("Hz")
                if number == 0:
                    beside = add_axes(left + width + 0.1, bottom + lanes, 0.11, levels)
                    add_colour_bar(figure, image, "level (dB)", cax=beside)
        _explain(add_axes(left, 0.12, width, 0.2), left, width, with_events=events is not None)
    return figure


def _draw_lanes(
    axes: Axes, tracks: Tracks, kinds: Sequence[str], events: Sequence[Event] | None, row: tuple[float, float]
) -> None:
    """Draw each kind's lane in inches from the top down: a bar an event, its objects, its boundaries."""
    begin_s, row_s = row[0], row[1] - row[0]
    end_s = min(row[1], float(tracks.durations_s[0]))
    bar = 0.0 if events is None else _BAR
    lane = bar + _OBJECTS + _BOUNDARIES + _GAP
    for kind, name in enumerate(kinds):
        top = kind * lane + _GAP
        objects = (kind, bar, _OBJECTS, _colours(series_colour(kind)))
        boundaries = (len(kinds) + kind, bar + _OBJECTS, _BOUNDARIES, _colours(INK))
        for channel, place, size, colours in (objects, boundaries):
            for left_s, right_s, values in _strips(tracks, channel, begin_s, end_s):
                axes.imshow(
                    values[None], aspect="auto", cmap=colours, vmin=0, vmax=1,
                    extent=(left_s, right_s, top + place + size, top + place), interpolation="nearest",
                )  # fmt: skip
        axes.plot([begin_s, end_s], [top + bar + _OBJECTS] * 2, color="white", linewidth=0.6)
        edges = [top + bar, top + bar, top + lane - _GAP, top + lane - _GAP, top + bar]
        axes.plot([begin_s, end_s, end_s, begin_s, begin_s], edges, color=GRID, linewidth=0.8)
        spans = [(start_s, stop_s - start_s) for _, of, start_s, stop_s, _ in events or () if of == name]
        axes.broken_barh(spans, (top + 0.03, bar - 0.05), facecolors=series_colour(kind), linewidth=0)
    middles = [kind * lane + _GAP + bar + _OBJECTS / 2 for kind in range(len(kinds))]
    axes.set_yticks(middles, list(kinds))
    axes.tick_params(axis="y", length=0)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set(xlim=row, ylim=(len(kinds) * lane, 0))
    _name_time(axes, float(tracks.durations_s[0]), begin_s, end_s, row_s)


def _strips(
    tracks: Tracks, channel: int, begin_s: float, end_s: float
) -> Iterator[tuple[float, float, NDArray[np.float32]]]:
    """Yield the probabilities of a stretch, at most `MAX_COLUMNS` of them, and the times of their two ends."""
    grid, values = tracks.grid, tracks.of_recording(0)[channel]
    edge_s = grid.first_s - grid.step_s / 2
    first = max(0, math.floor((begin_s - edge_s) / grid.step_s))
    end = min(len(values), math.ceil((end_s - edge_s) / grid.step_s))
    if end <= first:
        return
    each = math.ceil((end - first) / MAX_COLUMNS)
    starts = np.arange(first, end, each)
    highest = np.maximum.reduceat(values[:end], starts)
    # The last column may hold fewer frames than the others: it is drawn by itself.
    whole = (end - first) // each
    last_s = edge_s + (first + whole * each) * grid.step_s
    if whole:
        yield edge_s + first * grid.step_s, last_s, highest[:whole]
    if whole < len(highest):
        yield last_s, edge_s + end * grid.step_s, highest[whole:]


def _colours(colour: str) -> Colormap:
    return LinearSegmentedColormap.from_list(colour, ["white", colour])


def _name_time(axes: Axes, duration_s: float, begin_s: float, end_s: float, row_s: float) -> None:
    step_s = next((step for step in _TICKS_S if row_s / step <= _MAX_TICKS), _TICKS_S[-1])
    axes.xaxis.set_major_locator(MultipleLocator(step_s))
    is_long = duration_s >= _MINUTES_FROM_S
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: _clock(at) if is_long else f"{at:g}"))
    ticks = [at for at in axes.get_xticks() if begin_s - 1e-6 <= at <= end_s + 1e-6]
    axes.set_xticks(ticks)
    is_last = end_s >= duration_s - 1e-6
    if is_last:
        unit = "time (h:min:s)" if duration_s >= 3600 else "time (min:s)" if is_long else "time (s)"
        axes.set_xlabel(unit, loc="left" if begin_s else "center", labelpad=1)


def _clock(at_s: float) -> str:
    """Return a time as a clock shows it.

    >>> _clock(90), _clock(3725)
    ('1:30', '1:02:05')
    """
    minutes, seconds = divmod(round(at_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _explain(axes: Axes, left: float, width: float, *, with_events: bool) -> None:
    """Say what a lane shows, and which probability is how dark. Places are in inches."""
    axes.set(xlim=(0, width), ylim=(0, 0.2))
    axes.set_axis_off()
    at = 0.0
    shades = np.linspace(0, 1, 64)[None]
    if with_events:
        axes.broken_barh([(at, 0.35)], (0.05, _BAR - 0.05), facecolors=series_colour(0), linewidth=0)
        axes.text(at + 0.42, 0.1, "event found", va="center", fontsize=8.5, color=MUTED)
        at += 1.45
    for name, size, colour in (("object", _OBJECTS, series_colour(0)), ("boundary", _BOUNDARIES, INK)):
        half = min(size, 0.2) / 2
        axes.imshow(shades, aspect="auto", cmap=_colours(colour), extent=(at, at + 0.8, 0.1 - half, 0.1 + half))
        axes.text(at + 0.87, 0.1, f"probability of {name}, 0 to 1", va="center", fontsize=8.5, color=MUTED)
        at += 3.1
    axes.set(xlim=(0, width), ylim=(0, 0.2))
