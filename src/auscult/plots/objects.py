"""Objects in pictures drawn: picture, truth, maps of objects and boundaries, and objects told apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from auscult.images.decode import FIRST_OBJECT, TOO_HARD
from auscult.plots.job import Drawing
from auscult.plots.style import MUTED, styled
from auscult.storage.study_ids import StudyIds

_COLUMNS = ("picture", "true objects", "map of objects", "map of boundaries", "objects found")
_BACKGROUND, _HARD = "#1b1b1b", "#6b6b6b"
_OBJECTS = ("#56B4E9", "#E69F00", "#009E73", "#F0E442", "#CC79A7", "#D55E00", "#0072B2")
_CELL_INCHES = 1.5
_CAPTION = (
    "Pictures of the test set: those with the most true objects, then those whose objects were found worst. Each "
    "object has a colour of its own; grey: too hard to annotate. Maps are probabilities, from black (0) to white (1)."
)


@dataclass(frozen=True)
class ShownPicture:
    """A picture to draw.

    Attributes:
        recording_id: Its id.
        values: From 0 to 255, shape [channel, height, width].
        labels: Its label image, shape [height, width].
        maps: Probabilities of objects and boundaries, shape [2, height, width].
        found: The objects found, as a label image.
    """

    recording_id: str
    values: NDArray[np.float32]
    labels: NDArray[np.uint16]
    maps: NDArray[np.float32]
    found: NDArray[np.uint16]


def draw_objects(shown: Sequence[ShownPicture], ids: StudyIds) -> Iterator[tuple[Drawing, Figure | None]]:
    """Yield the figure of a test set: a row a picture.

    Args:
        shown: What to draw.
        ids: What recordings are called.
    """
    drawing = Drawing("object_maps", "Objects in pictures", _CAPTION)
    if not shown:
        yield Drawing(drawing.name, drawing.title, _CAPTION, "no picture in the test set"), None
        return
    with styled():
        figure = Figure(figsize=(_CELL_INCHES * len(_COLUMNS), (_CELL_INCHES + 0.22) * len(shown)))
        grid: Any = figure.subplots(len(shown), len(_COLUMNS), squeeze=False)
        for row, one in zip(grid, shown, strict=True):
            panels = (_visible(one.values), coloured(one.labels), *map(_grey, one.maps), coloured(one.found))
            for axes, picture in zip(row, panels, strict=True):
                axes.imshow(picture, interpolation="nearest")
                axes.set_axis_off()
            row[0].set_title(ids.recording(one.recording_id), fontsize=7, color=MUTED, loc="left")
        for axes, name in zip(grid[0], _COLUMNS, strict=True):
            axes.text(0.5, 1.18, name, transform=axes.transAxes, ha="center", fontsize=8)
        figure.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=1 - 0.4 / figure.get_figheight(), wspace=0.05)
    yield drawing, figure


def _visible(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a picture as matplotlib draws it; of other than three channels the first is shown in grey."""
    scaled = np.clip(values / 255, 0, 1).astype(np.float32)
    return scaled.transpose(1, 2, 0) if len(scaled) == 3 else _grey(scaled[0])


def _grey(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.repeat(values[:, :, None], 3, axis=2)


def coloured(labels: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Return a label image in colours, shape [height, width, 4]; neighbours in number differ."""
    palette = np.asarray(ListedColormap((_BACKGROUND, _HARD, *_OBJECTS))(np.arange(2 + len(_OBJECTS))))
    objects = FIRST_OBJECT + (labels.astype(np.int64) - FIRST_OBJECT) % len(_OBJECTS)
    return palette[np.where(labels <= TOO_HARD, labels, objects)]
