"""Mean spectrograms side by side, on one colour scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from auscult.figures.spectrograms import COLOURS, Axis, level_range_db, mel_ticks
from auscult.figures.style import MUTED, styled

_SIZE_INCHES = (4.4, 3.6)
_MAX_TICKS = 5


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
        figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(2, 2, sharex=True, sharey=True)
        known = [panel.levels_db for panel in panels if panel.levels_db is not None]
        low, high = level_range_db(np.concatenate([values[np.isfinite(values)] for values in known]))
        n_mels, n_frames = known[0].shape
        left_s = axis.first_s - axis.hop_s / 2
        extent = (left_s, left_s + n_frames * axis.hop_s, -0.5, n_mels - 0.5)
        has_sound = np.any([np.isfinite(values).any(axis=0) for values in known], axis=0)
        end_s = left_s + (np.flatnonzero(has_sound)[-1] + 1) * axis.hop_s
        ticks = mel_ticks(axis.mel_centres_hz)
        ticks = ticks[:: -(-len(ticks) // _MAX_TICKS)]
        image = None
        for axes, panel in zip(grid.flat, panels, strict=True):
            axes.set_title(f"{panel.name}, n = {panel.n_clips:,}", loc="left", fontsize=8.5)
            axes.set_yticks([position for position, _ in ticks])
            axes.set_yticklabels([label for _, label in ticks])
            axes.set(xlim=(min(0.0, left_s), end_s), ylim=(-0.5, n_mels - 0.5))
            axes.spines[:].set_visible(False)
            if panel.levels_db is None:
                axes.text(0.5, 0.5, "no clip", transform=axes.transAxes, ha="center", va="center", color=MUTED)
                continue
            image = axes.imshow(
                panel.levels_db, origin="lower", aspect="auto", cmap=COLOURS, vmin=low, vmax=high, extent=extent
            )
        figure.supxlabel("time in the clip (s)", fontsize=9)
        figure.supylabel("frequency (Hz)", fontsize=9)
        if image is not None:
            bar = figure.colorbar(image, ax=grid, pad=0.015, fraction=0.04)
            bar.set_label("mean level (dB)")
            bar.outline.set_visible(False)
        return figure
