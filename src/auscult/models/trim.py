"""Maps brought to a size that can be halved often enough, and what a network makes of them brought back."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from auscult.config.clips import Trim


def fitted_size(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """Return the next size whose sides are multiples.

    >>> fitted_size((64, 311), 16)
    (64, 320)
    """
    return -(-size[0] // multiple) * multiple, -(-size[1] // multiple) * multiple


def trim(maps: Tensor, multiple: int, method: Trim) -> Tensor:
    """Bring maps to the next size whose sides are multiples.

    Args:
        maps: Shape [batch, channel, height, width].
        multiple: Of both sides.
        method: `resize` stretches them bilinearly; `padding` adds zeros (the training mean) at both far ends, `reflect`
            the maps themselves, mirrored there as often as needed.
    """
    height, width = maps.shape[2:]
    size = fitted_size((height, width), multiple)
    if size == (height, width):
        return maps
    if method == "resize":
        return functional.interpolate(maps, size, mode="bilinear", align_corners=False)
    if method == "padding":
        return functional.pad(maps, (0, size[1] - width, 0, size[0] - height))
    rows, columns = (_mirrored(n, length, maps.device) for n, length in zip(size, (height, width), strict=True))
    return maps.index_select(2, rows).index_select(3, columns)


def restore(maps: Tensor, size: tuple[int, int], method: Trim) -> Tensor:
    """Bring what a network made of trimmed maps back to their first size, [batch, channel, height, width]."""
    if tuple(maps.shape[2:]) == size:
        return maps
    if method == "resize":
        return functional.interpolate(maps, size, mode="bilinear", align_corners=False)
    return maps[:, :, : size[0], : size[1]]


def _mirrored(n: int, length: int, device: torch.device) -> Tensor:
    """Return `n` places of a side of `length` that goes to and fro: 0 1 2 1 0 1 ..."""
    period = max(2 * (length - 1), 1)
    places = torch.arange(n, device=device) % period
    return torch.where(places < length, places, period - places)
