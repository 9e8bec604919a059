"""Pictures and label images as arrays; what cannot be taken is said, with what would be."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, ImageSequence

from auscult.audio.probe import AudioFacts
from auscult.errors import DataError
from auscult.images.fingerprint import fingerprint_of
from auscult.images.idx import ENCODING as IDX_ENCODING
from auscult.storage.files import sha256_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

BACKGROUND, TOO_HARD, FIRST_OBJECT = 0, 1, 2
"""Values of a label image; each object has a value of its own, from `FIRST_OBJECT` on."""
MAX_OBJECTS = 65_000
_FULL_SCALE = 255.0
_FULL_SCALE_16_BIT = 65_535.0
_GREY_16_BIT = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_LABEL_MODES = ("L", "P", *_GREY_16_BIT)


def probe_picture(path: Path) -> AudioFacts:
    """Decode a picture and return its facts: one without a rate, samples or a duration.

    Raises:
        DataError: It is missing, empty, or no picture; the message opens with the class of the fault and does not name
            the file.
    """
    if not path.is_file() or path.stat().st_size == 0:
        raise DataError("empty: the file has 0 bytes" if path.is_file() else "missing: there is no such file")
    with _opened(path) as picture:
        encoding, n_pages = f"{picture.format}/{picture.mode}", _n_pages(picture)
        n_channels = len(picture.getbands()) if n_pages == 1 else n_pages
        fingerprint = fingerprint_of(_grey(picture))
    return _facts(n_channels, encoding, sha256_file(path), fingerprint)


def probe_pixels(pixels: NDArray[np.uint8]) -> AudioFacts:
    """Return the facts of a grey picture that has no file of its own; its SHA-256 is of its size and pixels.

    Args:
        pixels: Shape [height, width].
    """
    digest = hashlib.sha256(f"{pixels.shape[1]}x{pixels.shape[0]}".encode() + pixels.tobytes()).hexdigest()
    return _facts(1, IDX_ENCODING, digest, fingerprint_of(Image.fromarray(pixels)))


def _facts(n_channels: int, encoding: str, sha256: str, fingerprint: str | None) -> AudioFacts:
    return AudioFacts(
        sample_rate_hz=0,
        n_channels=n_channels,
        n_samples=0,
        duration_s=0.0,
        encoding=encoding,
        sha256=sha256,
        fingerprint=fingerprint,
    )


def _grey(picture: Image.Image) -> Image.Image:
    """Return a picture, or the page of it that is open, in grey from 0 to 255; floats have their own range."""
    if picture.mode in _GREY_16_BIT:
        return Image.fromarray(np.asarray(picture).astype(np.float32) * np.float32(_FULL_SCALE / _FULL_SCALE_16_BIT))
    return picture if picture.mode == "F" else picture.convert("L")


def read_picture(path: Path, n_channels: int) -> NDArray[np.float32]:
    """Return a picture, from 0 to 255, shape [channel, height, width].

    An orientation that a camera noted is applied. 16 bit are scaled to the same range.

    Args:
        path: PNG, JPEG, TIFF, BMP or WebP.
        n_channels: 1: grey, 3: colour, whatever the file has; others: it must have so many bands or grey pages.

    Raises:
        DataError: It cannot be decoded, or has another number of channels.
    """
    with _opened(path) as picture:
        pages = [page.copy() for page in ImageSequence.Iterator(picture)]
    if len(pages) > 1 or n_channels not in (1, 3):
        channels = [band for page in pages for band in page.split()]
        if len(channels) != n_channels:
            raise DataError(
                f"channels: it has {len(channels)} ({len(pages)} pages of mode {pages[0].mode}), clips.channels asks "
                f"for {n_channels}"
            )
        if len({channel.size for channel in channels}) > 1:
            raise DataError(f"channels: its pages differ in size: {sorted({channel.size for channel in channels})}")
        return np.stack([_values(channel) for channel in channels])
    page = pages[0]
    if page.mode in _GREY_16_BIT:
        return np.repeat(_values(page)[None], n_channels, axis=0)
    if page.mode == "F":
        raise DataError(
            "floats: its values are floating-point numbers, of which nobody knows what is white; save 8 bit"
        )
    converted = np.asarray(page.convert("L" if n_channels == 1 else "RGB"), dtype=np.float32)
    return np.ascontiguousarray(converted[None] if n_channels == 1 else converted.transpose(2, 0, 1))


def read_pixels(pixels: NDArray[np.uint8], n_channels: int) -> NDArray[np.float32]:
    """Return a grey picture as `read_picture` does.

    Args:
        pixels: Shape [height, width].
        n_channels: 1: grey, 3: colour.

    Raises:
        DataError: Another number of channels is asked for.
    """
    if n_channels not in (1, 3):
        raise DataError(f"channels: it is grey, clips.channels asks for {n_channels}; take 1 or 3")
    return np.repeat(pixels[None].astype(np.float32), n_channels, axis=0)


def read_labels(path: Path) -> NDArray[np.uint16]:
    """Return a label image: 0, 1, and the objects from 2 on without gaps, in the order of their values.

    Args:
        path: PNG or TIFF, grey (8 or 16 bit) or with a palette, whose numbers count.

    Returns:
        Shape [height, width].

    Raises:
        DataError: It cannot be decoded, has colours or several pages, or holds what is no number of an object.
    """
    with _opened(path) as picture:
        if _n_pages(picture) > 1:
            raise DataError(f"label: it has {_n_pages(picture)} pages, expected one, with a value for each object")
        if picture.mode not in _LABEL_MODES:
            found = (
                "black and white" if picture.mode == "1" else "in colours" if len(picture.getbands()) > 1 else "none"
            )
            raise DataError(
                f"label: a label image holds a whole number for each pixel, and this one is {found} (mode "
                f"{picture.mode}); save it in grey of 8 or 16 bit: 0 background, 1 too hard, from 2 on the objects"
            )
        values = np.asarray(picture).astype(np.int64)
    if values.min() < 0:
        raise DataError(f"label: its lowest value is {values.min()}; expected 0 background, 1 too hard, 2 on objects")
    objects = np.unique(values[values >= FIRST_OBJECT])
    if len(objects) > MAX_OBJECTS:
        raise DataError(f"label: it has {len(objects)} objects, at most {MAX_OBJECTS} can be told apart")
    numbers = np.searchsorted(objects, values) + FIRST_OBJECT
    return np.where(values < FIRST_OBJECT, values, numbers).astype(np.uint16)


def _values(channel: Image.Image) -> NDArray[np.float32]:
    """Return a page or band in grey, from 0 to 255."""
    if channel.mode in _GREY_16_BIT:
        values = np.asarray(channel).astype(np.float32)
        if values.min() < 0 or values.max() > _FULL_SCALE_16_BIT:
            raise DataError(f"values from {values.min():g} to {values.max():g}; expected those of 8 or 16 bit")
        return values * np.float32(_FULL_SCALE / _FULL_SCALE_16_BIT)
    if channel.mode == "F":
        raise DataError(
            "floats: its values are floating-point numbers, of which nobody knows what is white; save 8 bit"
        )
    return np.asarray(channel.convert("L"), dtype=np.float32)


def _n_pages(picture: Image.Image) -> int:
    return int(getattr(picture, "n_frames", 1))


@contextmanager
def _opened(path: Path) -> Generator[Image.Image]:
    """Yield a decoded picture, turned as its camera noted.

    Raises:
        DataError: There is none, or it is not whole.
    """
    try:
        with Image.open(path) as picture:
            picture.load()
            if _n_pages(picture) == 1:
                ImageOps.exif_transpose(picture, in_place=True)
            yield picture
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"missing: there is no file {path}") from None
    except Image.DecompressionBombError as error:
        raise DataError(f"too large: {error}; make it smaller") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise DataError(f"unreadable: Pillow cannot decode it ({error})") from error
