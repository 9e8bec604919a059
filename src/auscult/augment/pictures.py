"""Augmentations of pictures, and of the maps of their objects with them: torchvision's functions by our numbers.

Pictures [batch, channel, height, width], standardised, and their maps, int8 [batch, map, height, width]; new tensors of
the same shapes come out. What comes in from outside is the mean colour, and nobody knows what is there. torchvision
takes one number for a whole batch, so each picture that is changed is handed over alone, by numbers of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from auscult.augment.random import ClipRandom
from auscult.augment.waveform import same_shape
from auscult.config.augment import (
    PICTURE,
    Affine,
    Augmentation,
    Blur,
    BrightnessContrast,
    ColourJitter,
    Crop,
    Erase,
    Flip,
    OnColours,
    Rotate,
    Sharpness,
    Turn,
)
from auscult.config.plugins import PluginSettings

Pair = tuple[Tensor, Tensor | None]
"""Pictures, and their maps."""

_UNKNOWN = -1
_N_TRIES = 10
"""How often a rectangle is drawn that has to fit into the picture, as in torchvision."""


class Standard(NamedTuple):
    """What pictures were standardised by, brightness from 0 to 255: mean and deviation, shape [channel, 1, 1] each."""

    mean: Tensor
    std: Tensor

    def brightness(self, pictures: Tensor) -> Tensor:
        """Return brightness from 0 to 1 of standardised pictures."""
        return ((pictures * self.std + self.mean) / 255).clamp(0, 1)

    def standardised(self, brightness: Tensor) -> Tensor:
        """Return standardised pictures of brightness from 0 to 1."""
        return (255 * brightness - self.mean) / self.std


def augment_pictures(
    pictures: Tensor,
    maps: Tensor | None,
    step: Augmentation,
    rng: ClipRandom,
    eligible: Tensor,
    *,
    standard: Standard | None = None,
) -> Pair:
    """Apply a step.

    Args:
        pictures: Left unchanged.
        maps: 1, 0 or -1 for unknown; left unchanged; None: there are none.
        step: One of `config.augment.PICTURE`.
        rng: The only source of randomness.
        eligible: The pictures that it may change, bool [batch].
        standard: What they were standardised by; needed by steps on colours.

    Raises:
        ValueError: A step on colours, and nobody says what the pictures were standardised by.
    """
    picked = rng.chance(1.0 if step.quantity is not None else step.probability) & eligible
    if isinstance(step, PluginSettings):
        changed, moved = step.implementation()(pictures.clone(), None if maps is None else maps.clone(), rng)
        pictures = _where(picked, same_shape(step.name, changed, pictures), pictures)
        return pictures, None if maps is None else _where(picked, same_shape(step.name, moved, maps), maps)
    function = PICTURE.implementation(step.name)
    if not isinstance(step, OnColours):
        return function(pictures, maps, step, rng, picked)
    if standard is None:
        raise ValueError(f"{step.name} changes brightness from 0 to 1: say what the pictures were standardised by")
    changed, maps = function(standard.brightness(pictures), maps, step, rng, picked)
    return _where(picked, standard.standardised(changed), pictures), maps


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
    angles = (settings.max_degrees * _either_side(rng)).tolist()
    return _moved(pictures, maps, picked, lambda place, way: _torchvision().rotate(angle=angles[place], **way))


def affine(pictures: Tensor, maps: Tensor | None, settings: Affine, rng: ClipRandom, picked: Tensor) -> Pair:
    """Move, scale and shear pictures about their middle."""
    height, width = pictures.shape[-2:]
    shifts = (
        settings.max_shift_share * _either_side(rng, 2) * torch.tensor([width, height], device=picked.device)
    ).tolist()
    scales = _between_logs(settings.scale, rng.uniform()).tolist()
    shears = (settings.max_shear_degrees * _either_side(rng, 2)).tolist()
    return _moved(
        pictures,
        maps,
        picked,
        lambda place, way: _torchvision().affine(
            angle=0.0, translate=shifts[place], scale=scales[place], shear=shears[place], **way
        ),
    )


def crop(pictures: Tensor, maps: Tensor | None, settings: Crop, rng: ClipRandom, picked: Tensor) -> Pair:
    """Cut a rectangle and stretch it to the picture's size; area and place are uniform."""
    from torchvision.transforms import InterpolationMode  # noqa: PLC0415 (seconds)

    height, width = pictures.shape[-2:]
    cuts = _rectangles(settings, rng, height, width)

    def cut(given: Tensor, place: int, interpolation: Any) -> Tensor:
        top, left, *size = cuts[place] or _middle(settings.ratio, height, width)
        return _torchvision().resized_crop(given, top, left, *size, [height, width], interpolation)

    pictures = _each(pictures, picked, lambda given, place: cut(given, place, InterpolationMode.BILINEAR))
    if maps is not None:
        maps = _each(maps, picked, lambda given, place: cut(given, place, InterpolationMode.NEAREST_EXACT))
    return pictures, maps


def erase(pictures: Tensor, maps: Tensor | None, settings: Erase, rng: ClipRandom, picked: Tensor) -> Pair:
    """Cover a rectangle; where none fits, nothing is changed."""
    holes = _rectangles(settings, rng, *pictures.shape[-2:])

    def cover(given: Tensor, place: int, value: int) -> Tensor:
        hole = holes[place]
        filling = torch.full((1, 1, 1), value, dtype=given.dtype, device=given.device)
        return given if hole is None else _torchvision().erase(given, *hole, filling)

    covered = _each(pictures, picked, lambda given, place: cover(given, place, 0))
    return covered, None if maps is None else _each(maps, picked, lambda given, place: cover(given, place, _UNKNOWN))


def brightness_contrast(
    pictures: Tensor, maps: Tensor | None, settings: BrightnessContrast, rng: ClipRandom, picked: Tensor
) -> Pair:
    """Add to all channels alike, and spread each about its mean in the picture; no object moves."""
    added, spread = _either_side(rng, 2).unbind(1)
    means = pictures.mean(dim=(-2, -1), keepdim=True)
    contrast = 1 + settings.max_contrast * spread[:, None, None, None]
    changed = (pictures - means) * contrast + means + settings.max_brightness * added[:, None, None, None]
    return _where(picked, changed.to(pictures.dtype), pictures), maps


def colour_jitter(
    pictures: Tensor, maps: Tensor | None, settings: ColourJitter, rng: ClipRandom, picked: Tensor
) -> Pair:
    """Change brightness, contrast, saturation and hue, in an order of their own for each picture."""
    vision = _torchvision()
    changes = (
        (vision.adjust_brightness, 1.0, settings.max_brightness),
        (vision.adjust_contrast, 1.0, settings.max_contrast),
        (vision.adjust_saturation, 1.0, settings.max_saturation),
        (vision.adjust_hue, 0.0, settings.max_hue),
    )
    orders = rng.uniform(len(changes)).argsort(dim=1).tolist()
    sides = _either_side(rng, len(changes)).tolist()

    def jitter(given: Tensor, place: int) -> Tensor:
        for number in orders[place]:
            function, none, most = changes[number]
            given = function(given, none + most * sides[place][number]) if most else given
        return given

    return _each(pictures, picked, jitter), maps


def grey(pictures: Tensor, maps: Tensor | None, settings: Augmentation, rng: ClipRandom, picked: Tensor) -> Pair:
    """Take the colours out."""
    return _where(picked, _torchvision().rgb_to_grayscale(pictures, pictures.shape[1]), pictures), maps


def blur(pictures: Tensor, maps: Tensor | None, settings: Blur, rng: ClipRandom, picked: Tensor) -> Pair:
    """Blur with a Gaussian, as far as three deviations."""
    sigmas = (settings.sigma_px[0] + (settings.sigma_px[1] - settings.sigma_px[0]) * rng.uniform()).tolist()
    limit = min(pictures.shape[-2:]) - 1  # the border is reflected, and has to be shorter than the picture

    def blurred(given: Tensor, place: int) -> Tensor:
        reach = min(math.ceil(3 * sigmas[place]), limit)
        return _torchvision().gaussian_blur(given, [2 * reach + 1] * 2, [sigmas[place]] * 2)

    return _each(pictures, picked, blurred), maps


def sharpness(pictures: Tensor, maps: Tensor | None, settings: Sharpness, rng: ClipRandom, picked: Tensor) -> Pair:
    """Make pictures sharper or softer."""
    factors = (1 + settings.max_change * _either_side(rng)).tolist()
    return _each(pictures, picked, lambda given, place: _torchvision().adjust_sharpness(given, factors[place])), maps


def autocontrast(
    pictures: Tensor, maps: Tensor | None, settings: Augmentation, rng: ClipRandom, picked: Tensor
) -> Pair:
    """Stretch each channel from 0 to 1."""
    return _each(pictures, picked, lambda given, place: _torchvision().autocontrast(given)), maps


def equalize(pictures: Tensor, maps: Tensor | None, settings: Augmentation, rng: ClipRandom, picked: Tensor) -> Pair:
    """Make all brightnesses equally frequent."""
    return _each(pictures, picked, lambda given, place: _torchvision().equalize(given)), maps


def _torchvision() -> Any:
    from torchvision.transforms.v2 import functional  # noqa: PLC0415 (seconds)

    return functional


def _either_side(rng: ClipRandom, *shape: int) -> Tensor:
    """Return numbers from -1 to 1, shape [batch, *shape]."""
    return 2 * rng.uniform(*shape) - 1


def _between_logs(ends: tuple[float, float], share: Tensor) -> Tensor:
    low, high = (math.log(end) for end in ends)
    return (low + (high - low) * share).exp()


def _rectangles(
    settings: Crop | Erase, rng: ClipRandom, height: int, width: int
) -> list[tuple[int, int, int, int] | None]:
    """Draw a rectangle for each picture: top, left, height, width in pixels; None where no try fitted."""
    areas, ratios, tops, lefts = rng.uniform(_N_TRIES, 4).unbind(2)
    least, most = settings.area_share
    areas = height * width * (least + (most - least) * areas)
    ratios = _between_logs(settings.ratio, ratios)
    heights, widths = (areas / ratios).sqrt().round().long(), (areas * ratios).sqrt().round().long()
    fits = (heights > 0) & (heights <= height) & (widths > 0) & (widths <= width)
    first = fits.to(torch.uint8).argmax(dim=1, keepdim=True)
    tops, lefts = (tops * (height + 1 - heights)).long(), (lefts * (width + 1 - widths)).long()
    chosen = torch.cat([part.gather(1, first) for part in (tops, lefts, heights, widths)], dim=1)
    found = zip(chosen.tolist(), fits.any(dim=1).tolist(), strict=True)
    return [tuple(rectangle) if is_there else None for rectangle, is_there in found]


def _middle(ratios: tuple[float, float], height: int, width: int) -> tuple[int, int, int, int]:
    """Return the largest rectangle in the middle of a picture whose ratio is allowed, as torchvision falls back on."""
    ratio = min(max(width / height, ratios[0]), ratios[1])
    cut_height, cut_width = min(height, round(width / ratio)), min(width, round(height * ratio))
    return (height - cut_height) // 2, (width - cut_width) // 2, cut_height, cut_width


def _moved(
    pictures: Tensor, maps: Tensor | None, picked: Tensor, move: Callable[[int, dict[str, Any]], Tensor]
) -> Pair:
    """Return pictures (bilinear) and maps (nearest) that a function of torchvision moves; outside nothing is known."""
    from torchvision.transforms import InterpolationMode  # noqa: PLC0415 (seconds)

    smooth = {"interpolation": InterpolationMode.BILINEAR}
    pictures = _each(pictures, picked, lambda given, place: move(place, {"inpt": given, **smooth}))
    if maps is None:
        return pictures, None
    sharp = {"interpolation": InterpolationMode.NEAREST, "fill": _UNKNOWN}
    return pictures, _each(maps, picked, lambda given, place: move(place, {"inpt": given, **sharp}))


def _each(given: Tensor, picked: Tensor, change: Callable[[Tensor, int], Tensor]) -> Tensor:
    """Return a copy in which each picked picture or map is what `change` makes of it and of its place in the batch."""
    changed = given.clone()
    for place in picked.nonzero().flatten().tolist():
        changed[place] = change(given[place], place)
    return changed


def _where(chosen: Tensor, changed: Tensor, given: Tensor) -> Tensor:
    return torch.where(chosen[:, None, None, None], changed, given)
