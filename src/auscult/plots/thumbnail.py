"""One picture that was classified, and over it the evidence for the prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from auscult.plots.clip import Evidence, draw_evidence
from auscult.plots.style import INK, MUTED, PANEL_INCHES, styled

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes

_WIDTH_INCHES = PANEL_INCHES[0]
_TITLE_INCHES, _CAPTION_INCHES, _MARGIN_INCHES = 0.42, 0.25, 0.1
_LEAST_INCHES, _MOST_INCHES = 0.8, 3.2
_FULL_SCALE = 255.0


def thumbnail(picture: npt.NDArray[np.floating], evidence: Evidence, *, title: str = "", subtitle: str = "") -> Figure:
    """Draw a picture, and beside it the same in grey with the evidence in orange.

    Args:
        picture: From 0 to 255, shape [channel, height, width]; of one or three channels it is drawn as it is, of others
            the first channel is.
        evidence: Its map has the shape [height, width].
        title: The prediction.
        subtitle: Which picture it is.
    """
    n_panels = 1 if evidence.map is None else 2
    panel_width = (_WIDTH_INCHES - 3 * _MARGIN_INCHES) / 2
    panel_height = float(np.clip(panel_width * picture.shape[1] / picture.shape[2], _LEAST_INCHES, _MOST_INCHES))
    height = _TITLE_INCHES + panel_height + _CAPTION_INCHES
    with styled():
        figure = Figure(figsize=(_WIDTH_INCHES, height))
        FigureCanvasAgg(figure)
        figure.text(0.1 / _WIDTH_INCHES, 1 - 0.07 / height, title, va="top", fontsize=9, weight="bold", color=INK)
        figure.text(0.1 / _WIDTH_INCHES, 1 - 0.235 / height, subtitle, va="top", fontsize=7.5, color=MUTED)
        figure.text(0.1 / _WIDTH_INCHES, 0.06 / height, evidence.caption, va="bottom", fontsize=7.5, color=MUTED)
        for number in range(n_panels):
            left = _MARGIN_INCHES + number * (panel_width + _MARGIN_INCHES)
            axes = figure.add_axes(
                (
                    left / _WIDTH_INCHES,
                    _CAPTION_INCHES / height,
                    panel_width / _WIDTH_INCHES,
                    panel_height / height,
                )
            )
            _show(axes, picture, in_grey=number == 1)
            if number == 1 and evidence.map is not None:
                draw_evidence(axes, evidence.map)
            axes.set_axis_off()
        return figure


def _show(axes: Axes, picture: npt.NDArray[np.floating], *, in_grey: bool) -> None:
    values = np.clip(np.asarray(picture, dtype=np.float32) / _FULL_SCALE, 0, 1)
    if len(values) == 3 and not in_grey:
        axes.imshow(values.transpose(1, 2, 0))
        return
    axes.imshow(values.mean(axis=0) if len(values) == 3 else values[0], cmap="gray", vmin=0, vmax=1)
