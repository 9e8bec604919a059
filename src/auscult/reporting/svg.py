"""Figures inside the page: SVG with its own ids, PNG as data. Nothing is loaded from anywhere."""

from __future__ import annotations

import base64
import io
import re
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from PIL import Image

from auscult.figures.spectrograms import COLOURS
from auscult.figures.style import SERIES

_IDS = re.compile(r'(\bid="|href="#|url\(#)')
_FONT = re.compile(r"font:\s*([0-9.]+px)[^;\"]*|font-family:[^;\"]*")
_OPENING = re.compile(r"<svg\b[^>]*>")
_SIZE = re.compile(r'\b(width|height)="([0-9.]+)pt"')
PT_TO_PX = 96 / 72
_N_GREYS = 32
_N_MIXED = 12
_HATCH_SHARES = (0.13, 0.35, 0.6)
"""How white the padding's wash, its hatching's edges and its lines are over the picture."""


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


def png_data(path: Path) -> str:
    """Return a spectrogram's picture as a data URI, in 256 fixed colours: a third of the bytes, as good to the eye."""
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(palette=_palette(), dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    small.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


@cache
def _palette() -> Image.Image:
    """The spectrograms' colours, their mixtures with the white of hatching, greys for text, and series for marks."""
    series = np.array([to_rgb(colour) for colour in SERIES])
    greys = np.linspace(0, 1, _N_GREYS)[:, None].repeat(3, axis=1)
    base = _magma(_N_MIXED)
    mixed = [base + share * (1 - base) for share in _HATCH_SHARES]
    fixed = np.concatenate([series, greys, *mixed])
    colours = np.round(255 * np.concatenate([_magma(256 - len(fixed)), fixed])).astype(np.uint8)
    holder = Image.new("P", (1, 1))
    holder.putpalette(colours.tobytes())
    return holder


def _magma(n_colours: int) -> npt.NDArray[np.float64]:
    return np.asarray(colormaps[COLOURS](np.linspace(0, 1, n_colours)))[:, :3]
