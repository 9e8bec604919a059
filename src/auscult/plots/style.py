"""How every figure looks: sizes, colours, lines and fonts; and how it is saved: equal input gives equal bytes."""

from __future__ import annotations

import io
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from auscult.logs import visible
from auscult.storage.files import atomic_path

PANEL_INCHES = (4.4, 3.5)
"""Every chart; shown at its own size on a desktop, it still reads at 90% on a phone."""
WIDE_INCHES = (4.4, 2.6)
"""Spectrograms and other pictures that run along time."""
PNG_DPI = 150

INK = "#1b1f24"
"""Text."""
MUTED = "#5b6470"
"""Notes, ticks and lines that explain."""
FAINT = "#c3c9d1"
"""Reference lines: chance, prevalence, zero."""
GRID = "#e7eaee"

SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito (2008), in an order that keeps neighbours apart in print too; yellow is left out: it fades on white."""
SPECTROGRAM_COLOURS = "magma"
"""Levels in dB: perceptually even, and even in grey."""
SHARE_COLOURS = "Blues"
"""Cells of a confusion matrix."""
EVIDENCE_COLOUR = "#E69F00"
"""Orange of Okabe and Ito on grey: told apart by all kinds of colour vision, and lighter than the grey in print."""

DOTTED = (0, (2, 2))
"""A threshold, or the epoch that was kept."""
DASHES: tuple[tuple[float, tuple[float, ...] | None], ...] = (
    (0, None),
    (0, (5, 1.6)),
    (0, (1.4, 1.4)),
    (0, (5, 1.6, 1.4, 1.6)),
)
"""A second code beside colour: curves stay apart in grey print."""

_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    # DejaVu comes with matplotlib, so that measures are the same on every machine; viewers without it take the next.
    "font.sans-serif": ["DejaVu Sans", "Helvetica Neue", "Arial", "sans-serif"],
    "font.size": 9,
    "axes.labelsize": 9,
    "axes.titlesize": 9,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "legend.labelspacing": 0.35,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "xtick.major.width": 0.8,
    "ytick.major.width": 0.8,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.8,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "none",
    "svg.hashsalt": "auscult",
    # A label or a device may be called $5.
    "text.parse_math": False,
    "image.interpolation": "nearest",
}


@contextmanager
def styled() -> Generator[None]:
    """Draw within this block in the common style; the settings outside stay as they are.

    It begins from matplotlib's own defaults: what is published does not depend on the `matplotlibrc` of who draws it.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def panel(size_inches: tuple[float, float] = PANEL_INCHES) -> tuple[Figure, Axes]:
    """Return an empty figure with one axes, outside pyplot's global list. Call it inside `styled()`."""
    figure = Figure(figsize=size_inches, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def series_colour(index: int) -> str:
    """Colour of curve `index`, from 0; colours recur after seven, dashes then differ."""
    return SERIES[index % len(SERIES)]


def series_dashes(index: int) -> tuple[float, tuple[float, ...] | None]:
    """Dash pattern of curve `index`, from 0; no two of the first 28 curves share colour and dashes."""
    return DASHES[(index + 2 * (index // len(SERIES))) % len(DASHES)]


def save(figure: Figure, path: Path) -> None:
    """Write `figure` to `path`, atomically, by its suffix: `.svg` with real text, `.png` at 150 dpi.

    Neither holds a date or a version, so that a rerun gives the same bytes.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        write(figure, stream, path.suffix)


def save_both(figure: Figure, path: Path) -> None:
    """Write `figure` beside each other as `path` with `.svg` and with `.png`; it is laid out once for both."""
    with styled():
        figure.draw_without_rendering()
        figure.set_layout_engine(None)
    for suffix in (".svg", ".png"):
        save(figure, path.with_name(path.name + suffix))


def write(figure: Figure, stream: IO[bytes], suffix: str) -> None:
    """Write `figure` as `.svg` or `.png` into a stream."""
    with styled():
        if suffix == ".svg":
            empty = dict.fromkeys(("Creator", "Date", "Format", "Type"))
            drawn = io.BytesIO()
            figure.savefig(drawn, format="svg", metadata=empty)
            # XML takes no control character.
            stream.write(visible(drawn.getvalue().decode("utf-8")).encode("utf-8"))
        else:
            figure.savefig(stream, format="png", dpi=PNG_DPI, metadata={"Software": None})


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Name the rows of a chart whose first row is on top, and hide the line beside them."""
    axes.set(ylim=(len(names) - 0.5, -0.5), yticks=range(len(names)))
    axes.set_yticklabels(names)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def plain_log_ticks(axes: Axes) -> None:
    """Mark a logarithmic axis below a chart by plain numbers, such as 0.001 and 20000.

    Call it when all is drawn: over many decades only powers of ten are marked.
    """
    low, high = axes.get_xlim()
    subs = (1.0, 2.0, 5.0) if high < 500 * low else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(subs=subs, numticks=8))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def add_colour_bar(figure: Figure, image: AxesImage, label: str, **place: Any) -> None:
    """Add a colour bar without a frame; `place` is what `Figure.colorbar` takes."""
    bar = figure.colorbar(image, **place)
    bar.set_label(label)
    bar.outline.set_visible(False)
