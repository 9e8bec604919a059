"""Augmentations of pictures, and of the maps of their objects with them.

Pictures [batch, channel, height, width], standardised, and their maps, int8 [batch, map, height, width]; new tensors of
the same shapes come out. What comes in from outside is the mean colour, and nobody knows what is there.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from auscult.augment.random import ClipRandom
from auscult.augment.waveform import same_shape
from auscult.config.augment import PICTURE, Augmentation, BrightnessContrast, Crop, Flip, Rotate, Turn
from auscult.config.plugins import PluginSettings

Pair = tuple[Tensor, Tensor | None]
"""Pictures, and their maps."""


def augment_pictures(
    pictures: Tensor, maps: Tensor | None, step: Augmentation, rng: ClipRandom, eligible: Tensor
) -> Pair:
    """Apply a step.

    Args:
        pictures: Left unchanged.
        maps: 1, 0 or -1 for unknown; left unchanged; None: there are none.
        step: One of `config.augment.PICTURE`.
        rng: The only source of randomness.
        eligible: The pictures that it may change, bool [batch].
    """
    picked = rng.chance(1.0 if step.quantity is not None else step.probability) & eligible
    if isinstance(step, PluginSettings):
        changed, changed_maps = step.implementation()(pictures.clone(), None if maps is None else maps.clone(), rng)
        pictures = _where(picked, same_shape(step.name, changed, pictures), pictures)
        return pictures, None if maps is None else _where(picked, same_shape(step.name, changed_maps, maps), maps)
    return PICTURE.implementation(step.name)(pictures, maps, step, rng, picked)


def flip(pictures: Tensor, maps: Tensor | None, settings: Flip, rng: ClipRandom, picked: Tensor) -> Pair:
    """Mirror pictures: along one axis, or along one or both of them, each of the three equally often."""
    way = (rng.uniform() * 3).long()
    is_along = {
        -1: picked & (way != 1 if settings.axes == "both" else torch.full_like(picked, settings.axes == "horizontal")),
        -2: picked & (way != 0 if settings.axes == "both" else torch.full_like(picked, settings.axes == "vertical")),
    }
    for axis, chosen in is_along.items():
        pictures = _where(chosen, pictures.flip(axis), pictures)
        maps = None if maps is None else _where(chosen, maps.flip(axis), maps)
    return pictures, maps


def turn(pictures: Tensor, maps: Tensor | None, settings: Turn, rng: ClipRandom, picked: Tensor) -> Pair:
    """Turn square pictures by one, two or three right angles, equally often."""
    n_quarters = (rng.uniform() * 3).long() + 1
    turned, maps_turned = pictures, maps
    for quarters in (1, 2, 3):
        chosen = picked & (n_quarters == quarters)
        turned = _where(chosen, pictures.rot90(quarters, (-2, -1)), turned)
        if maps is not None and maps_turned is not None:
            maps_turned = _where(chosen, maps.rot90(quarters, (-2, -1)), maps_turned)
    return turned, maps_turned


def rotate(pictures: Tensor, maps: Tensor | None, settings: Rotate, rng: ClipRandom, picked: Tensor) -> Pair:
    """Rotate pictures about their middle by an angle that is uniform up to `max_degrees` to either side."""
    angle = (2 * rng.uniform() - 1) * math.radians(settings.max_degrees)
    height, width = pictures.shape[-2:]
    cosine, sine, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    rows = [
        torch.stack([cosine, -sine * height / width, zero], 1),
        torch.stack([sine * width / height, cosine, zero], 1),
    ]
    return _warped(pictures, maps, torch.stack(rows, 1), picked)


def crop(pictures: Tensor, maps: Tensor | None, settings: Crop, rng: ClipRandom, picked: Tensor) -> Pair:
    """Cut a rectangle of the picture's own form and enlarge it to the picture's size; its place is uniform."""
    share = 1 - rng.uniform() * (1 - settings.min_share)
    x, y = ((2 * rng.uniform(2) - 1) * (1 - share)[:, None]).unbind(1)
    zero = torch.zeros_like(share)
    rows = [torch.stack([share, zero, x], 1), torch.stack([zero, share, y], 1)]
    return _warped(pictures, maps, torch.stack(rows, 1), picked)


def brightness_contrast(
    pictures: Tensor, maps: Tensor | None, settings: BrightnessContrast, rng: ClipRandom, picked: Tensor
) -> Pair:
    """Add to all channels alike, and spread each about its mean in the picture; no object moves."""
    added, spread = (2 * rng.uniform(2) - 1).unbind(1)
    means = pictures.mean(dim=(-2, -1), keepdim=True)
    contrast = 1 + settings.max_contrast * spread[:, None, None, None]
    changed = (pictures - means) * contrast + means + settings.max_brightness * added[:, None, None, None]
    return _where(picked, changed.to(pictures.dtype), pictures), maps


def _warped(pictures: Tensor, maps: Tensor | None, places: Tensor, picked: Tensor) -> Pair:
    """Return pictures (bilinear) and maps (nearest) whose pixels lay elsewhere before.

    Args:
        pictures: Shape [batch, channel, height, width].
        maps: Of the same height and width.
        places: The affine maps from new places to old, both from -1 to 1, shape [batch, 2, 3].
        picked: Which are changed.
    """
    grid = functional.affine_grid(places, list(pictures.shape), align_corners=False)
    moved = functional.grid_sample(pictures.float(), grid, mode="bilinear", align_corners=False).to(pictures.dtype)
    pictures = _where(picked, moved, pictures)
    if maps is None:
        return pictures, None
    # Outside are zeros, which stand for unknown here.
    found = functional.grid_sample((maps + 1).float(), grid, mode="nearest", align_corners=False) - 1
    return pictures, _where(picked, found.round().to(maps.dtype), maps)


def _where(chosen: Tensor, changed: Tensor, given: Tensor) -> Tensor:
    return torch.where(chosen[:, None, None, None], changed, given)
