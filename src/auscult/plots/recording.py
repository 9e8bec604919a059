"""A recording's spectrogram and, beneath it, the predicted probabilities over time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from auscult.audio.cut import Cut
from auscult.formatting.numbers import metric_text
from auscult.plots.spectrograms import (
    SMALL_PANEL_TICK_SHARE,
    Axis,
    level_range_db,
    mel_axis,
    mel_ticks,
    set_frequency_ticks,
)
from auscult.plots.style import (
    DOTTED,
    GRID,
    INK,
    MUTED,
    SPECTROGRAM_COLOURS,
    add_colour_bar,
    series_colour,
    series_dashes,
    styled,
)

if TYPE_CHECKING:
    from auscult.inference.stream import ClipBlock, ClipReader

MAX_COLUMNS = 1600
"""More than a picture of this width has pixels for; longer recordings are averaged."""
_INCHES = (9.2, 4.6)
_LEGEND_LINE_INCHES = 0.2
_MINUTES_FROM_S = 180
_ROUNDING = 1e-6
"""Of a column: a frame at its very edge is never put into the one before."""


class LongSpectrogram:
    """The spectrogram of a recording, assembled from its clips in bounded memory.

    Args:
        reader: Makes the clips' spectrograms.
        duration_s: Of the recording.
        max_columns: Frames are averaged where there are more.

    Attributes:
        axis: Places of bands and frames.
    """

    def __init__(self, reader: ClipReader, duration_s: float, max_columns: int = MAX_COLUMNS) -> None:
        self._reader = reader
        settings = reader.log_mel.settings
        self.axis: Axis = mel_axis(settings, reader.clips.sample_rate_hz)
        self.duration_s = duration_s
        # No column is narrower than a frame: none stays empty between two.
        n_columns = max(1, min(max_columns, int(duration_s / self.axis.hop_s)))
        self._sums = np.zeros((settings.n_mels, n_columns), np.float32)
        self._counts = np.zeros(n_columns, np.int64)

    def add(self, block: ClipBlock) -> None:
        """Add some clips; where they overlap their levels are averaged."""
        n_valid = np.array([cut.n_valid for cut in block.cuts])
        n_frames_valid = self._reader.log_mel.n_frames_valid(n_valid, block.waveforms.shape[1])
        spectrograms = self._reader.spectrograms(block)
        for cut, levels, n_frames in zip(block.cuts, spectrograms, n_frames_valid, strict=True):
            times_s = cut.start_s + self.axis.first_s + self.axis.hop_s * np.arange(n_frames)
            columns = np.minimum(
                (times_s / self.duration_s * len(self._counts) + _ROUNDING).astype(np.int64), len(self._counts) - 1
            )
            used, first = np.unique(columns, return_index=True)
            self._sums[:, used] += np.add.reduceat(levels[:, :n_frames].astype(np.float32), first, axis=1)
            self._counts[used] += np.diff([*first, n_frames])

    @property
    def levels_db(self) -> NDArray[np.float32]:
        """Mean levels, shape [mel, column]; NaN where no clip lies."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self._sums / self._counts.astype(np.float32)


def over_time(
    spectrogram: LongSpectrogram,
    cuts: Sequence[Cut],
    probabilities: NDArray[np.float64],
    *,
    targets: Sequence[str],
    thresholds: Mapping[str, float],
    title: str,
) -> Figure:
    """Draw a recording: its spectrogram above, the probability of each target in each clip below.

    Args:
        spectrogram: Of the whole recording.
        cuts: Its clips.
        probabilities: Of its clips, shape [clip, target].
        targets: Names of the targets.
        thresholds: Target -> threshold, drawn as a thin line; empty: none.
        title: What stands above.
    """
    with styled():
        height = _INCHES[1] + (_LEGEND_LINE_INCHES * math.ceil(len(targets) / 3) if len(targets) > 1 else 0)
        figure = Figure(figsize=(_INCHES[0], height), layout="constrained")
        FigureCanvasAgg(figure)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1.7, 1))
        above.set_title(title, loc="left", color=INK)
        image = draw_levels(above, spectrogram, level_range(spectrogram))
        above.set_ylabel("frequency (Hz)")
        above.tick_params(axis="x", length=0)
        add_colour_bar(figure, image, "level (dB)", ax=above, pad=0.01, fraction=0.03)
        for index, target in enumerate(targets):
            name = f"{target} (dotted: threshold {metric_text(thresholds[target])})" if target in thresholds else target
            _draw_steps(below, cuts, probabilities[:, index], index, name)
            if target in thresholds:
                below.axhline(
                    thresholds[target], color=series_colour(index) if len(targets) > 1 else MUTED,
                    linewidth=1, linestyle=DOTTED, zorder=2,
                )  # fmt: skip
        if len(targets) == 1 and targets[0] in thresholds:
            _name_threshold(below, thresholds[targets[0]])
        below.set(ylabel=f"probability of\n{targets[0]}" if len(targets) == 1 else "probability", ylim=(-0.02, 1.02))
        below.set(xlim=(0, spectrogram.duration_s), yticks=[0, 0.5, 1])
        below.grid(visible=True, color=GRID)
        _name_time(below, spectrogram.duration_s)
        figure.align_ylabels()
        if len(targets) > 1:
            handles, labels = below.get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=3)
        return figure


def level_range(spectrogram: LongSpectrogram) -> tuple[float, float]:
    """Return the colour range of a recording, in dB."""
    levels = spectrogram.levels_db
    return level_range_db(levels[:, ~np.isnan(levels[0])])


def draw_levels(
    axes: Axes, spectrogram: LongSpectrogram, range_db: tuple[float, float], span_s: tuple[float, float] | None = None
) -> AxesImage:
    """Draw a recording's spectrogram, or a part of it, with its frequency axis; the caller names the axes."""
    levels = spectrogram.levels_db
    n_mels, n_columns = levels.shape
    column_s = spectrogram.duration_s / n_columns
    begin_s, end_s = span_s or (0, spectrogram.duration_s)
    first, end = int(begin_s / column_s), min(n_columns, math.ceil(end_s / column_s))
    image = axes.imshow(
        levels[:, first:end], origin="lower", aspect="auto", cmap=SPECTROGRAM_COLOURS, vmin=range_db[0],
        vmax=range_db[1], interpolation="antialiased",
        extent=(first * column_s, end * column_s, -0.5, n_mels - 0.5),
    )  # fmt: skip
    axes.set(xlim=(begin_s, end_s))
    axes.set_facecolor(colormaps[SPECTROGRAM_COLOURS](0.0))
    centres_hz = spectrogram.axis.mel_centres_hz
    # Rows of parts are low.
    ticks = mel_ticks(centres_hz) if span_s is None else mel_ticks(centres_hz, SMALL_PANEL_TICK_SHARE)
    set_frequency_ticks(axes, ticks)
    axes.spines[:].set_visible(False)
    return image


def _draw_steps(axes: Axes, cuts: Sequence[Cut], values: NDArray[np.float64], index: int, name: str) -> None:
    """Draw one horizontal line a clip; consecutive clips are joined."""
    times: list[float] = []
    levels: list[float] = []
    end_s = None
    for cut, value in zip(cuts, values, strict=True):
        if end_s is not None and cut.start_s > end_s + 1e-6:
            times.append(end_s)
            levels.append(np.nan)
        times += [cut.start_s, cut.end_s]
        levels += [value, value]
        end_s = cut.end_s
    colour = series_colour(index)
    axes.plot(times, levels, color=colour, linestyle=series_dashes(index), label=name, zorder=3, clip_on=False)


def _name_threshold(axes: Axes, threshold: float) -> None:
    axes.annotate(
        f"threshold\n{metric_text(threshold)}", (1, threshold), (6, 0), xycoords=("axes fraction", "data"),
        textcoords="offset points", ha="left", va="center", color=MUTED, fontsize=8, annotation_clip=False,
    ).set_in_layout(False)  # fmt: skip


def _name_time(axes: Axes, duration_s: float) -> None:
    if duration_s < _MINUTES_FROM_S:
        axes.set_xlabel("time (s)")
        return
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, steps=[1, 1.5, 3, 6, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds / 60:g}"))
    axes.set_xlabel("time (min)")
