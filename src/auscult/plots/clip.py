"""One clip in one picture: waveform, spectrogram, and the evidence for a prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from auscult.plots.spectrograms import SMALL_PANEL_TICK_SHARE, Axis, Mark, hatch_padding, mel_ticks, set_frequency_ticks
from auscult.plots.style import (
    EVIDENCE_COLOUR,
    GRID,
    INK,
    MUTED,
    PANEL_INCHES,
    SPECTROGRAM_COLOURS,
    add_colour_bar,
    series_colour,
    styled,
)

_WIDTH_INCHES = PANEL_INCHES[0]
_LEFT_INCHES, _RIGHT_INCHES = 0.62, 0.72
_WAVE_INCHES, _PICTURE_INCHES, _GAP_INCHES = 0.55, 1.35, 0.13
_MARK_INCHES, _TITLE_INCHES, _BOTTOM_INCHES, _CAPTION_INCHES = 0.15, 0.42, 0.25, 0.2
_WAVE_COLUMNS = 900
"""The waveform is drawn as its highest and lowest value in so many columns: more than the picture has pixels."""


@dataclass(frozen=True)
class Evidence:
    """Which parts of a spectrogram a prediction rests on.

    Attributes:
        map: Shape [mel, frame], in [0, 1]; None: there is nothing to draw.
        caption: The method, or why there is no map.
    """

    map: npt.NDArray[np.float32] | None
    caption: str


@dataclass(frozen=True)
class Sound:
    """A clip as it was recorded.

    Attributes:
        waveform: Of full scale 1, shape [sample], padding included.
        rate_hz: Samples a second.
        valid_s: Length of the true sound from the clip's start on.
    """

    waveform: npt.NDArray[np.floating]
    rate_hz: int
    valid_s: float


def clip_picture(
    levels_db: npt.NDArray[np.floating],
    axis: Axis,
    sound: Sound,
    evidence: Evidence,
    *,
    range_db: tuple[float, float],
    marks: Sequence[Mark] = (),
    title: str = "",
    subtitle: str = "",
) -> Figure:
    """Draw one clip, from top to bottom: annotated events, waveform, spectrogram, evidence over the spectrogram.

    Args:
        levels_db: Shape [mel, frame].
        axis: Places of bands and frames.
        sound: The waveform.
        evidence: Drawn in orange over the spectrogram in grey.
        range_db: Lowest and highest level of the colour bar.
        marks: Annotated events, one line a kind.
        title: The prediction.
        subtitle: The clip.
    """
    with styled():
        kinds = sorted({mark.kind for mark in marks})
        n_pictures = 1 if evidence.map is None else 2
        lines_inches = _MARK_INCHES * len(kinds)
        height = _TITLE_INCHES + lines_inches + _WAVE_INCHES + _GAP_INCHES + _BOTTOM_INCHES
        height += n_pictures * (_PICTURE_INCHES + _GAP_INCHES) + _CAPTION_INCHES
        figure = Figure(figsize=(_WIDTH_INCHES, height))
        FigureCanvasAgg(figure)
        place = _Places(figure, height)
        figure.text(0.1 / _WIDTH_INCHES, 1 - 0.07 / height, title, va="top", fontsize=9, weight="bold", color=INK)
        figure.text(0.1 / _WIDTH_INCHES, 1 - 0.235 / height, subtitle, va="top", fontsize=7.5, color=MUTED)
        place.skip(_TITLE_INCHES)
        n_mels, n_frames = levels_db.shape
        left_s = axis.first_s - axis.hop_s / 2
        limits_s = (min(0.0, left_s), max(left_s + n_frames * axis.hop_s, len(sound.waveform) / sound.rate_hz))
        if kinds:
            _draw_marks(place.panel(lines_inches), marks, kinds, limits_s)
        _draw_wave(place.panel(_WAVE_INCHES), sound, limits_s)
        place.skip(_GAP_INCHES)
        shown = np.asarray(levels_db, dtype=np.float32)
        extent = (left_s, left_s + n_frames * axis.hop_s, -0.5, n_mels - 0.5)
        for number in range(n_pictures):
            axes = place.panel(_PICTURE_INCHES)
            is_last = number == n_pictures - 1
            image = axes.imshow(
                shown,
                origin="lower",
                aspect="auto",
                cmap=SPECTROGRAM_COLOURS if number == 0 else "gray",
                vmin=range_db[0],
                vmax=range_db[1],
                extent=extent,
            )
            label = "level (dB)"
            if number == 1 and evidence.map is not None:
                image = draw_evidence(axes, evidence.map, extent)
                label = "share of maximum"
            _dress(axes, axis, sound.valid_s, limits_s, n_mels, is_last=is_last)
            add_colour_bar(figure, image, label, cax=place.beside(axes))
            place.skip(_GAP_INCHES)
        figure.text(0.1 / _WIDTH_INCHES, 0.06 / height, evidence.caption, va="bottom", fontsize=7.5, color=MUTED)
        return figure


class _Places:
    """Places panels from top to bottom, in inches."""

    def __init__(self, figure: Figure, height: float) -> None:
        self._figure = figure
        self._height = height
        self._top = height

    def skip(self, inches: float) -> None:
        self._top -= inches

    def panel(self, inches: float) -> Axes:
        self._top -= inches
        width = _WIDTH_INCHES - _LEFT_INCHES - _RIGHT_INCHES
        return self._figure.add_axes(
            (_LEFT_INCHES / _WIDTH_INCHES, self._top / self._height, width / _WIDTH_INCHES, inches / self._height)
        )

    def beside(self, axes: Axes) -> Axes:
        box = axes.get_position()
        return self._figure.add_axes((box.x1 + 0.06 / _WIDTH_INCHES, box.y0, 0.1 / _WIDTH_INCHES, box.height))


def _draw_marks(axes: Axes, marks: Sequence[Mark], kinds: Sequence[str], limits_s: tuple[float, float]) -> None:
    for line, kind in enumerate(kinds):
        spans = [(max(mark.start_s, limits_s[0]), min(mark.end_s, limits_s[1])) for mark in marks if mark.kind == kind]
        for start_s, end_s in spans:
            axes.plot([start_s, end_s], [line, line], color=series_colour(line), linewidth=4, solid_capstyle="butt")
    axes.set(xlim=limits_s, ylim=(-0.6, len(kinds) - 0.4), yticks=range(len(kinds)), xticks=[])
    axes.set_yticklabels(kinds, fontsize=7.5)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _draw_wave(axes: Axes, sound: Sound, limits_s: tuple[float, float]) -> None:
    n_valid = min(len(sound.waveform), max(1, round(sound.valid_s * sound.rate_hz)))
    wave = np.asarray(sound.waveform[:n_valid], dtype=np.float32)
    edges = np.unique(np.linspace(0, n_valid, min(n_valid, _WAVE_COLUMNS) + 1).astype(np.int64))
    low, high = np.minimum.reduceat(wave, edges[:-1]), np.maximum.reduceat(wave, edges[:-1])
    times_s = (edges[:-1] + edges[1:]) / 2 / sound.rate_hz
    axes.fill_between(times_s, low, high, color=INK, linewidth=0.4)
    reach = float(np.abs(wave).max()) or 1.0
    axes.set(xlim=limits_s, ylim=(-1.1 * reach, 1.1 * reach), yticks=[-reach, 0, reach])
    axes.set_yticklabels([f"−{reach:.2g}", "0", f"{reach:.2g}"], fontsize=7)
    axes.set_ylabel("amplitude", fontsize=7.5)
    axes.tick_params(axis="x", labelbottom=False)
    axes.spines["bottom"].set_visible(False)
    axes.axhline(0, color=GRID, linewidth=0.5, zorder=0)
    _hatch_padding(axes, sound.valid_s, limits_s, (-1.1 * reach, 1.1 * reach), dark=False)


def draw_evidence(
    axes: Axes, evidence: npt.NDArray[np.float32], extent: tuple[float, float, float, float] | None = None
) -> AxesImage:
    """Lay evidence in [0, 1] over what is drawn, in orange, with a line at half of the maximum.

    Args:
        axes: They hold a spectrogram, or a picture.
        evidence: Shape [row, column].
        extent: Left, right, bottom and top of a spectrogram, whose first row is the lowest; None: of a picture, whose
            first row is the highest.
    """
    origin = "upper" if extent is None else "lower"
    clear = LinearSegmentedColormap.from_list("evidence", [f"{EVIDENCE_COLOUR}00", f"{EVIDENCE_COLOUR}e6"])
    aspect = "equal" if extent is None else "auto"
    image = axes.imshow(evidence, origin=origin, aspect=aspect, cmap=clear, vmin=0, vmax=1, extent=extent)
    if evidence.max() > 0:
        # A line as well, for print in grey: half of the maximum.
        outline = None if extent is None else "lower"
        axes.contour(evidence, levels=[0.5], extent=extent, origin=outline, colors="white", linewidths=0.9)
    return image


def _dress(
    axes: Axes, axis: Axis, valid_s: float, limits_s: tuple[float, float], n_mels: int, *, is_last: bool
) -> None:
    set_frequency_ticks(axes, mel_ticks(axis.mel_centres_hz, SMALL_PANEL_TICK_SHARE), fontsize=7)
    axes.set(xlim=limits_s, ylim=(-0.5, n_mels - 0.5))
    axes.set_ylabel("frequency (Hz)", fontsize=8)
    axes.spines[:].set_visible(False)
    axes.tick_params(axis="x", labelbottom=is_last)
    axes.set_facecolor("black")
    if is_last:
        axes.set_xlabel("time (s)", fontsize=8, labelpad=1)
    _hatch_padding(axes, valid_s, limits_s, (-0.5, n_mels - 0.5), dark=True)


def _hatch_padding(
    axes: Axes, valid_s: float, limits_s: tuple[float, float], heights: tuple[float, float], *, dark: bool
) -> None:
    if valid_s < limits_s[1] - 0.02 * (limits_s[1] - limits_s[0]):
        hatch_padding(axes, (valid_s, limits_s[1]), heights, dark=dark)
