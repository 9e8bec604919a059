"""Pictures brought to the size of clips, and maps of clips brought back to the size of a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from auscult.config.clips import Trim

Size = tuple[int, int]


@dataclass(frozen=True)
class Fit:
    """How a picture of one size becomes one of another, and back.

    Attributes:
        whole: Height and width of the picture.
        inner: Those of its part of the clip, which begins in the upper left corner.
        size: Those of the clip.
        trim: What fills the rest of the clip.
    """

    whole: Size
    inner: Size
    size: Size
    trim: Trim

    @classmethod
    def of(cls, whole: Size, size: Size, trim: Trim) -> Self:
        """Return how a picture is fitted.

        >>> Fit.of((100, 400), (64, 64), "padding").inner, Fit.of((100, 400), (64, 64), "resize").inner
        ((16, 64), (64, 64))
        """
        if trim == "resize":
            return cls(whole, size, size, trim)
        scale = min(size[0] / whole[0], size[1] / whole[1])
        inner = (min(max(1, round(whole[0] * scale)), size[0]), min(max(1, round(whole[1] * scale)), size[1]))
        return cls(whole, inner, size, trim)

    def picture(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a picture at the size of the clip, shape [channel, height, width]; bilinear, without aliasing."""
        inner = np.stack([_resized(channel, self.inner, Image.Resampling.BILINEAR) for channel in values])
        if self.inner == self.size:
            return inner
        if self.trim == "reflect":
            return np.pad(inner, self._missing, mode="symmetric")
        filled = np.empty((len(inner), *self.size), dtype=np.float32)
        filled[:] = inner.mean(axis=(1, 2), keepdims=True)
        filled[:, : self.inner[0], : self.inner[1]] = inner
        return filled

    def labels(self, values: NDArray[np.uint16], outside: int) -> NDArray[np.uint16]:
        """Return a label image at the size of the clip, shape [height, width]; each pixel that of the nearest."""
        labels = np.full(self.size, outside, dtype=np.uint16)
        resized = _resized(values.astype(np.int32), self.inner, Image.Resampling.NEAREST)
        labels[: self.inner[0], : self.inner[1]] = resized
        return labels

    def back(self, maps: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return maps of the clip, [channel, height, width], at the size of the picture; bilinear."""
        inner = maps[:, : self.inner[0], : self.inner[1]]
        return np.stack([_resized(channel, self.whole, Image.Resampling.BILINEAR) for channel in inner])

    def labels_back(self, labels: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """Return a label image of the clip at the size of the picture; each pixel that of the nearest."""
        inner = labels[: self.inner[0], : self.inner[1]].astype(np.int32)
        return _resized(inner, self.whole, Image.Resampling.NEAREST).astype(np.uint16)

    @property
    def _missing(self) -> list[tuple[int, int]]:
        return [(0, 0), *((0, full - part) for full, part in zip(self.size, self.inner, strict=True))]


def _resized(values: NDArray[Any], size: Size, how: Image.Resampling) -> NDArray[Any]:
    if values.shape == size:
        return values
    return np.asarray(Image.fromarray(values).resize((size[1], size[0]), how))
