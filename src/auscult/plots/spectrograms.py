"""Pictures of spectrograms: time in s, frequency in Hz on the mel scale, level in dB; single ones and means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from matplotlib.transforms import ScaledTranslation

from auscult.config.spectrogram import SpectrogramSettings
from auscult.plots.style import (
    INK,
    MUTED,
    PANEL_INCHES,
    SPECTROGRAM_COLOURS,
    WIDE_INCHES,
    add_colour_bar,
    panel,
    series_colour,
    styled,
)
from auscult.spectrograms.frames import BandGrid

_TICKS_HZ = (50, 100, 200, 500, 1000, 2000, 4000, 8000, 16_000, 32_000)
_MIN_TICK_SHARE = 0.06
SMALL_PANEL_TICK_SHARE = 0.12
"""Least distance of two frequency ticks, as a share of the axis; in small panels."""
_MARK_PITCH_INCHES = 0.16
_CHARACTER_INCHES = 0.068
_LEFT_INCHES = 0.55
"""Width of the frequency axis with its name."""


@dataclass(frozen=True)
class Axis:
    """Where the cells of a spectrogram lie.

    Attributes:
        mel_centres_hz: Centre of each band, rising, shape [mel].
        first_s: Centre of the first frame.
        hop_s: From one frame's centre to the next.
    """

    mel_centres_hz: npt.NDArray[np.float64]
    first_s: float
    hop_s: float


def mel_axis(settings: SpectrogramSettings, sample_rate_hz: int) -> Axis:
    """Return where the cells of a log-mel spectrogram lie, for clips at `sample_rate_hz`."""
    centres_hz = np.asarray(BandGrid.of(settings, sample_rate_hz).centres_hz)
    first_samples = 0 if settings.centred else settings.n_fft / 2
    return Axis(centres_hz, first_samples / sample_rate_hz, settings.hop_samples / sample_rate_hz)


@dataclass(frozen=True)
class Mark:
    """An annotated interval of the clip, in seconds from its start."""

    start_s: float
    end_s: float
    kind: str


def level_range_db(spectrograms: npt.NDArray[np.floating]) -> tuple[float, float]:
    """Return one colour range for pictures side by side: 2nd to 99.9th percentile, rounded to 5 dB, 10 dB at least.

    Args:
        spectrograms: Decibels, any shape.
    """
    low, high = np.percentile(np.asarray(spectrograms, dtype=np.float32), [2, 99.9])
    floor = 5 * np.floor(low / 5)
    return float(floor), float(max(5 * np.ceil(high / 5), floor + 10))


def spectrogram(
    levels_db: npt.NDArray[np.floating],
    axis: Axis,
    valid_s: float,
    range_db: tuple[float, float],
    marks: Sequence[Mark] = (),
    *,
    kinds: Sequence[str] | None = None,
) -> Figure:
    """Draw one clip; padding is hatched.

    Args:
        levels_db: Shape [mel, frame].
        axis: Places of bands and frames.
        valid_s: Length of the true sound from the clip's start on.
        range_db: Lowest and highest level of the colour bar.
        marks: Annotated events, drawn as bars above the picture, one line a kind.
        kinds: The lines, in this order, where pictures stand side by side; those of `marks` when None.
    """
    with styled():
        kinds = sorted({mark.kind for mark in marks}) if kinds is None else kinds
        figure, axes = panel((WIDE_INCHES[0], WIDE_INCHES[1] + _MARK_PITCH_INCHES * len(kinds)))
        _leave_room(figure, kinds)
        n_mels, n_frames = levels_db.shape
        left = axis.first_s - axis.hop_s / 2
        right = left + n_frames * axis.hop_s
        image = axes.imshow(
            np.asarray(levels_db, dtype=np.float32),
            origin="lower",
            aspect="auto",
            cmap=SPECTROGRAM_COLOURS,
            vmin=range_db[0],
            vmax=range_db[1],
            extent=(left, right, -0.5, n_mels - 0.5),
        )
        if valid_s < right - axis.hop_s:
            hatch_padding(axes, (valid_s, right), (-0.5, n_mels - 0.5), dark=True)
            axes.axvline(valid_s, color="white", linewidth=1)
        set_frequency_ticks(axes, mel_ticks(axis.mel_centres_hz))
        axes.set(xlabel="time (s)", ylabel="frequency (Hz)", xlim=(min(0.0, left), right), ylim=(-0.5, n_mels - 0.5))
        axes.spines[:].set_visible(False)
        # No frame is centred in the first half window: the picture begins a little after 0.
        axes.set_facecolor(colormaps[SPECTROGRAM_COLOURS](0.0))
        _draw_marks(axes, marks, kinds, (min(0.0, left), right))
        add_colour_bar(figure, image, "level (dB)", ax=axes, pad=0.015, fraction=0.05)
        return figure


def hatch_padding(axes: Axes, times_s: tuple[float, float], heights: tuple[float, float], *, dark: bool) -> None:
    """Hatch where a clip was padded, on a dark or a light ground."""
    face, edge = ("#ffffff22", "#ffffff88") if dark else ("#00000008", "#00000030")
    corner, width, height = (times_s[0], heights[0]), times_s[1] - times_s[0], heights[1] - heights[0]
    axes.add_patch(Rectangle(corner, width, height, facecolor=face, edgecolor=edge, hatch="///", linewidth=0))


def _leave_room(figure: Figure, kinds: Sequence[str]) -> None:
    """Keep space for the marks above the picture, and for their names where they are wider than the axis."""
    engine = figure.get_layout_engine()
    if not isinstance(engine, ConstrainedLayoutEngine) or not kinds:
        return
    width, height = figure.get_size_inches()
    left = max(0.0, _CHARACTER_INCHES * max(map(len, kinds)) - _LEFT_INCHES) / width
    top = (_MARK_PITCH_INCHES * len(kinds) + 0.03) / height
    engine.set(rect=(left, 0, 1 - left, 1 - top))


def _draw_marks(axes: Axes, marks: Sequence[Mark], kinds: Sequence[str], limits_s: tuple[float, float]) -> None:
    for line, kind in enumerate(kinds):
        above_inches = 0.09 + _MARK_PITCH_INCHES * line
        # Measured from the picture's upper edge: a share of its height would change with the layout.
        shift = ScaledTranslation(0, above_inches, axes.figure.dpi_scale_trans)
        for mark in marks:
            start, end = max(mark.start_s, limits_s[0]), min(mark.end_s, limits_s[1])
            if mark.kind == kind and end > start:
                (bar,) = axes.plot(
                    [start, end],
                    [1, 1],
                    color=series_colour(line),
                    linewidth=4,
                    solid_capstyle="butt",
                    transform=axes.get_xaxis_transform() + shift,
                    clip_on=False,
                )
                bar.set_in_layout(False)
        name = axes.annotate(
            kind,
            (0, 1),
            (-4, 72 * above_inches),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="right",
            va="center",
            color=INK,
            fontsize=8,
        )
        name.set_in_layout(False)


def set_frequency_ticks(axes: Axes, ticks: Sequence[tuple[float, str]], **text: Any) -> None:
    """Set ticks of `mel_ticks`; `text` says how the labels look."""
    axes.set_yticks([position for position, _ in ticks])
    axes.set_yticklabels([label for _, label in ticks], **text)


def mel_ticks(centres_hz: npt.NDArray[np.float64], min_share: float = _MIN_TICK_SHARE) -> list[tuple[float, str]]:
    """Positions (in bands) and labels of round frequencies, without those closer than `min_share` of the axis."""
    ticks: list[tuple[float, str]] = []
    # The last band reaches up to where the next one would have its centre.
    top_hz = 2 * centres_hz[-1] - centres_hz[-2]
    for frequency in _TICKS_HZ:
        if not centres_hz[0] <= frequency <= top_hz + 1:
            continue
        position = float(np.interp(frequency, centres_hz, np.arange(len(centres_hz))))
        if not ticks or position - ticks[-1][0] >= min_share * len(centres_hz):
            ticks.append((position, f"{frequency:d}"))
    return ticks


@dataclass(frozen=True)
class Average:
    """One panel.

    Attributes:
        name: What its clips have in common.
        n_clips: How many there are.
        levels_db: Mean levels, shape [mel, frame], NaN where no clip has sound; None without clips.
    """

    name: str
    n_clips: int
    levels_db: npt.NDArray[np.float64] | None


def averages(panels: Sequence[Average], axis: Axis) -> Figure:
    """Draw four mean spectrograms, two by two.

    Args:
        panels: Four; at least one with clips.
        axis: Places of bands and frames.
    """
    with styled():
        figure = Figure(figsize=PANEL_INCHES, layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(2, 2, sharex=True, sharey=True)
        known = [panel.levels_db for panel in panels if panel.levels_db is not None]
        low, high = level_range_db(np.concatenate([values[np.isfinite(values)] for values in known]))
        n_mels, n_frames = known[0].shape
        left_s = axis.first_s - axis.hop_s / 2
        extent = (left_s, left_s + n_frames * axis.hop_s, -0.5, n_mels - 0.5)
        has_sound = np.any([np.isfinite(values).any(axis=0) for values in known], axis=0)
        end_s = left_s + (np.flatnonzero(has_sound)[-1] + 1) * axis.hop_s
        ticks = mel_ticks(axis.mel_centres_hz, SMALL_PANEL_TICK_SHARE)
        image = None
        for axes, panel in zip(grid.flat, panels, strict=True):
            axes.set_title(f"{panel.name}, n = {panel.n_clips:,}", loc="left", fontsize=8.5)
            set_frequency_ticks(axes, ticks)
            axes.set(xlim=(min(0.0, left_s), end_s), ylim=(-0.5, n_mels - 0.5))
            axes.spines[:].set_visible(False)
            if panel.levels_db is None:
                axes.text(0.5, 0.5, "no clip", transform=axes.transAxes, ha="center", va="center", color=MUTED)
                continue
            image = axes.imshow(
                panel.levels_db,
                origin="lower",
                aspect="auto",
                cmap=SPECTROGRAM_COLOURS,
                vmin=low,
                vmax=high,
                extent=extent,
            )
        figure.supxlabel("time in the clip (s)", fontsize=9)
        figure.supylabel("frequency (Hz)", fontsize=9)
        if image is not None:
            add_colour_bar(figure, image, "mean level (dB)", ax=grid, pad=0.015, fraction=0.04)
        return figure
