"""One picture an epoch: what a model sees of the events in a few clips, beneath the truth.

All that stays the same is drawn once. Maps are laid in as pixels, which takes milliseconds: a training does not wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from auscult.plots.spectrograms import SMALL_PANEL_TICK_SHARE, mel_ticks, set_frequency_ticks
from auscult.plots.style import FAINT, GRID, INK, MUTED, SPECTROGRAM_COLOURS, series_colour, styled
from auscult.storage.files import atomic_path

if TYPE_CHECKING:
    from auscult.spectrograms.frames import FrameGrid

    Floats = NDArray[np.float32]
    Pixels = NDArray[np.uint8]

MAX_CLIPS = 3
_DPI = 110
_COLUMN = {1: 760, 2: 480, 3: 330}
"""Width of a clip, by how many there are. All lengths here are pixels."""
_GAP, _RIGHT, _TOP, _TITLE, _LEVELS = 26, 20, 40, 24, 120
_TIME, _FOOT, _LEGEND = 48, 26, 16
_CHARACTER = 8.2
_STRIPS = {2: (9, 22, 6, 12), 3: (54, 54, 54, 54)}
"""Heights of true objects, objects found, true boundaries and boundaries found; of maps over frames, and over bands."""
_LANE_GAP = 14


@dataclass(frozen=True)
class FollowedClip:
    """A clip whose maps are followed.

    Attributes:
        number: Its place among the validation clips: neither patient nor file is named.
        spectrogram: As the model sees it, shape [band, frame].
        truth: Maps of objects and boundaries, shape [channel, frame] or [channel, band, frame]: 1, 0 or -1 (unknown).
    """

    number: int
    spectrogram: Floats
    truth: NDArray[np.int8]


class MapSheet:
    """A picture of a few clips, into which maps are laid: a column a clip, a lane a kind.

    Args:
        clips: One to three, all of one shape.
        kinds: Of events; the channels are the objects of each, then the boundaries of each.
        grid: Where the frames lie in time.
        band_centres_hz: Rising, shape [band]; None where the bands have no known frequency.
    """

    def __init__(
        self,
        clips: Sequence[FollowedClip],
        kinds: Sequence[str],
        grid: FrameGrid,
        band_centres_hz: NDArray[np.float64] | None = None,
    ) -> None:
        self._clips = clips
        self._kinds = kinds
        self._grid = grid
        self._strips = _STRIPS[clips[0].truth.ndim]
        self._column = _COLUMN[len(clips)]
        self._left = 68 + round(_CHARACTER * max(0, max(map(len, kinds)) - 7))
        self._lane = sum(self._strips) + len(self._strips) + _LANE_GAP
        lanes = len(kinds) * self._lane
        self._size = (
            self._left + len(clips) * (self._column + _GAP) - _GAP + _RIGHT,
            _TOP + _TITLE + _LEVELS + lanes + _TIME + _FOOT,
        )
        with styled():
            self._base = self._drawn(band_centres_hz)
        for column, clip in enumerate(clips):
            self._lay(self._base, column, clip.truth.astype(np.float32), first=0)

    def write(self, path: Path, title: str, maps: Floats) -> None:
        """Write the picture of an epoch, a PNG of 256 colours.

        Args:
            path: Its place.
            title: What stands above, such as the epoch.
            maps: Probabilities, shape [clip, channel, frame] or [clip, channel, band, frame].
        """
        pixels = self._base.copy()
        for column, of_clip in enumerate(maps):
            self._lay(pixels, column, of_clip, first=1)
        image = Image.fromarray(pixels)
        font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 16)
        ImageDraw.Draw(image).text((self._left, 10), title, fill=INK, font=font)
        small = image.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        with atomic_path(path) as temporary:
            small.save(temporary, format="PNG")

    def _place(self, column: int, kind: int) -> tuple[int, int]:
        """Return the left upper corner of a lane."""
        return self._left + column * (self._column + _GAP), _TOP + _TITLE + _LEVELS + kind * self._lane + _LANE_GAP

    def _lay(self, pixels: Pixels, column: int, maps: Floats, first: int) -> None:
        """Lay maps into the strips of a clip: the true ones (`first` is 0), or those found (1)."""
        rows = self._rows()
        for kind in range(len(self._kinds)):
            left, top = self._place(column, kind)
            channels = (maps[kind], series_colour(kind)), (maps[len(self._kinds) + kind], INK)
            for (values, colour), strip in zip(channels, (first, first + 2), strict=True):
                y, height = rows[strip]
                laid = shaded(values, (height, self._column), colour)
                pixels[top + y : top + y + height, left : left + self._column] = laid

    def _drawn(self, band_centres_hz: NDArray[np.float64] | None) -> Pixels:
        width, height = self._size
        figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
        canvas = FigureCanvasAgg(figure)

        def add_axes(x: float, y: float, w: float, h: float) -> Any:
            return figure.add_axes((x / width, 1 - (y + h) / height, w / width, h / height))

        levels = np.stack([clip.spectrogram for clip in self._clips])
        low, high = np.percentile(levels, [2, 99.9])
        begin_s = self._grid.first_s - self._grid.step_s / 2
        end_s = begin_s + self._grid.step_s * levels.shape[2]
        for column, clip in enumerate(self._clips):
            left, top = self._place(column, 0)
            above = add_axes(left, _TOP + _TITLE, self._column, _LEVELS)
            above.imshow(
                clip.spectrogram, origin="lower", aspect="auto", cmap=SPECTROGRAM_COLOURS, vmin=low, vmax=high,
                extent=(begin_s, end_s, -0.5, len(clip.spectrogram) - 0.5), interpolation="antialiased",
            )  # fmt: skip
            above.set_title(f"validation clip {clip.number}", loc="left", fontsize=8.5, color=MUTED, pad=3)
            above.tick_params(axis="x", length=0, labelbottom=False)
            above.spines[:].set_visible(False)
            if column == 0 and band_centres_hz is not None:
                set_frequency_ticks(above, mel_ticks(band_centres_hz, SMALL_PANEL_TICK_SHARE))
                above.set_ylabel("Hz")
            else:
                above.set_yticks([])
            lanes = len(self._kinds) * self._lane - _LANE_GAP
            below = add_axes(left, top, self._column, lanes)
            below.set(xlim=(begin_s, end_s), ylim=(lanes, 0))
            below.spines[["left", "bottom"]].set_visible(False)
            below.set_xlabel("time in the clip (s)")
            middles = [
                kind * self._lane + sum(self._strips[:2]) - self._strips[1] / 2 for kind in range(len(self._kinds))
            ]
            below.set_yticks(middles, self._kinds if column == 0 else [""] * len(middles))
            below.tick_params(axis="y", length=0)
        self._explain(add_axes(self._left, height - _FOOT, width - self._left, _LEGEND), width - self._left)
        canvas.draw()
        pixels = np.array(canvas.buffer_rgba())[..., :3].copy()
        grid = np.rint(255 * np.asarray(to_rgb(GRID))).astype(np.uint8)
        for column in range(len(self._clips)):
            for kind in range(len(self._kinds)):
                left, top = self._place(column, kind)
                for y, height in self._rows():
                    pixels[top + y - 1 : top + y + height + 1, left - 1 : left + self._column + 1] = grid
        return pixels

    def _rows(self) -> list[tuple[int, int]]:
        """Return where each strip of a lane begins and how high it is: true and found objects, then boundaries."""
        tops = np.cumsum([0, *(height + 1 for height in self._strips)])
        return list(zip(tops.tolist(), self._strips, strict=False))

    def _explain(self, axes: Any, width: int) -> None:
        """Say what the strips show; places are pixels."""
        axes.set(xlim=(0, width), ylim=(_LEGEND, 0))
        axes.set_axis_off()
        at = 0
        shades = np.linspace(0, 1, 64, dtype=np.float32)
        for name, colour in (("object", series_colour(0)), ("boundary", INK)):
            axes.fill_between((at, at + 30), 2, 14, color=colour, linewidth=0)
            axes.text(at + 36, 8, f"true {name}", va="center", fontsize=7.5, color=MUTED)
            at += 132
            picture = shaded(shades, (12, 60), colour)
            axes.imshow(picture, aspect="auto", extent=(at, at + 60, 14, 2), interpolation="nearest")
            axes.text(at + 66, 8, f"{name} found, 0 to 1", va="center", fontsize=7.5, color=MUTED)
            at += 214
        axes.fill_between((at, at + 30), 2, 14, color=FAINT, linewidth=0)
        axes.text(at + 36, 8, "unknown", va="center", fontsize=7.5, color=MUTED)
        axes.set(xlim=(0, width), ylim=(_LEGEND, 0))


def shaded(values: Floats, size: tuple[int, int], colour: str) -> Pixels:
    """Return a map as pixels, RGB [height, width, 3]: from white (0) to the colour (1), and grey where it is below 0.

    Where a pixel stands for several frames it shows the highest: short events stay.

    Args:
        values: Shape [frame], or [band, frame], whose first band comes lowest.
        size: Height and width.
        colour: Of probability 1.

    >>> shaded(np.array([0.0, 1.0, -1.0], dtype=np.float32), (1, 3), "#000000")[0].tolist()
    [[255, 255, 255], [0, 0, 0], [195, 201, 209]]
    """
    plane = values[None] if values.ndim == 1 else values[::-1]
    for axis, length in enumerate(size):
        plane = _fitted(plane, length, axis)
    share = plane[..., None].clip(0, 1)
    mixed = 1 - share * (1 - np.asarray(to_rgb(colour), dtype=np.float32))
    grey = np.asarray(to_rgb(FAINT), dtype=np.float32)
    return np.rint(255 * np.where(plane[..., None] < 0, grey, mixed)).astype(np.uint8)


def _fitted(values: Floats, length: int, axis: int) -> Floats:
    """Return values along an axis, repeated, or the highest of those that share a place."""
    n = values.shape[axis]
    if n <= length:
        return values.take(((np.arange(length) + 0.5) * n / length).astype(np.int64), axis=axis)
    return np.maximum.reduceat(values, (np.arange(length) * n) // length, axis=axis)
