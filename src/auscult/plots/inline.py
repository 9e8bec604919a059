"""Figures inside a page: SVG with its own ids, PNG as data. Nothing is loaded from anywhere."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup, escape
from matplotlib.figure import Figure
from PIL import Image

from auscult.plots.style import write

_IDS = re.compile(r'(\bid="|href="#|url\(#)')
_FONT = re.compile(r"font:\s*([0-9.]+px)[^;\"]*|font-family:[^;\"]*")
_OPENING = re.compile(r"<svg\b[^>]*>")
_SIZE = re.compile(r'\b(width|height)="([0-9.]+)pt"')
PT_TO_PX = 96 / 72


@dataclass(frozen=True)
class PageFigure:
    """A figure as it stands in the page; `undefined` says why there is none."""

    title: str
    caption: str
    image: Markup | None
    undefined: str | None = None


def page_figure(figure: Figure, prefix: str, title: str, caption: str) -> PageFigure:
    """Return a figure for a page.

    Args:
        figure: Drawn in the common style.
        prefix: Of its ids, unique on the page.
        title: Stands above.
        caption: Stands below; both are read out to those who do not see the figure.
    """
    stream = io.BytesIO()
    write(figure, stream, ".svg")
    return PageFigure(title, caption, inline_svg(stream.getvalue().decode(), prefix, f"{title}. {caption}"))


def read_figure(path: Path, prefix: str, title: str, caption: str) -> PageFigure:
    """Return an SVG file for a page; see `page_figure`."""
    return PageFigure(title, caption, inline_svg(path.read_text(encoding="utf-8"), prefix, f"{title}. {caption}"))


def inline_svg(text: str, prefix: str, label: str) -> Markup:
    """Return an SVG file's text for use inside HTML.

    Ids get `prefix`, so that figures do not take each other's clip paths; fonts become the page's; the size becomes the
    largest one, from which the picture shrinks with the screen.

    Args:
        text: As matplotlib writes it, with real text.
        prefix: Unique on the page.
        label: Read out to those who do not see it.
    """
    opening = _OPENING.search(text)
    if opening is None:
        raise ValueError("no <svg> element found")
    body = text[opening.end() :]
    width_px = {name: float(value) * PT_TO_PX for name, value in _SIZE.findall(opening[0])}["width"]
    view = re.search(r'viewBox="[^"]*"', opening[0])
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = _IDS.sub(rf"\g<1>{prefix}-", body)
    body = _FONT.sub(lambda match: f"font-size: {match[1]}" if match[1] else "", body)
    start = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {view[0] if view else ""} '
        f'style="max-width:{width_px:.0f}px" role="img" aria-label="{escape(label)}">'
    )
    return Markup(start + body)  # noqa: S704 (written by this package; texts in it were escaped by matplotlib)


def png_data(picture: Path | Figure | Image.Image) -> str:
    """Return a picture as a data URI, in its own 256 colours: a third of the bytes, as good to the eye."""
    if isinstance(picture, Image.Image):
        small = _in_few_colours(picture)
    else:
        with Image.open(picture if isinstance(picture, Path) else _png(picture)) as image:
            small = _in_few_colours(image)
    stream = io.BytesIO()
    small.save(stream, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def _in_few_colours(picture: Image.Image) -> Image.Image:
    return picture.convert("RGB").quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)


def mp3_data(sound: Path) -> str:
    """Return an MP3 file as a data URI."""
    return "data:audio/mpeg;base64," + base64.b64encode(sound.read_bytes()).decode("ascii")


def _png(figure: Figure) -> io.BytesIO:
    stream = io.BytesIO()
    write(figure, stream, ".png")
    stream.seek(0)
    return stream
