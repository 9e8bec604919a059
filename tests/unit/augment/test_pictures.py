"""A picture and the maps of its objects are changed together, by numbers that depend on nothing but the picture."""

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torchvision.transforms import v2 as transforms
from torchvision.transforms.v2 import functional

from auscult.augment.pictures import Standard, augment_pictures
from auscult.augment.random import ClipRandom
from auscult.config.augment import PICTURE, OnColours, PictureAugmentation

ADAPTER = TypeAdapter(PictureAugmentation)
N = 24
STANDARD = Standard(torch.full((3, 1, 1), 100.0), torch.full((3, 1, 1), 60.0))
OF_COLOURS = {name for name, kind in PICTURE.items() if issubclass(kind, OnColours)}
NO_OBJECT_MOVES = {*OF_COLOURS, "brightness_contrast", "blur"}


def changed(name: str, pictures: torch.Tensor, maps: torch.Tensor | None, ids: list[int], **settings: object):
    step = ADAPTER.validate_python({"name": name, "probability": 1.0, **settings})
    rng = ClipRandom(3, 1, torch.tensor(ids))
    return augment_pictures(pictures, maps, step, rng, torch.ones(len(ids), dtype=torch.bool), standard=STANDARD)


def squares(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures that are 1 where their map of objects is, at another place in each; the other map says where not."""
    rng = np.random.default_rng(0)
    objects = torch.zeros(N, 1, height, width)
    for picture in objects:
        top, left = rng.integers(0, height - 14), rng.integers(0, width - 18)
        picture[:, top : top + 14, left : left + 18] = 1
    return objects.repeat(1, 3, 1, 1), torch.cat([objects, 1 - objects], dim=1).to(torch.int8)


CASES = [(name, size) for name in PICTURE for size in ((48, 48), (40, 56)) if name != "turn" or size == (48, 48)]


@pytest.mark.parametrize(("name", "size"), CASES)
def test_objects_stay_where_the_picture_shows_them(name: str, size: tuple[int, int]) -> None:
    pictures, maps = squares(*size)
    found, moved = changed(name, pictures, maps, list(range(N)))
    assert found.shape == pictures.shape
    assert moved.dtype == torch.int8
    is_known = moved[:, 0] >= 0
    assert torch.equal(is_known, moved[:, 1] >= 0)
    assert (moved[:, 0] + moved[:, 1] == 1)[is_known].all()
    middles = (found.amin(dim=(1, 2, 3)) + found.amax(dim=(1, 2, 3)))[:, None, None] / 2
    agree = ((found[:, 0] > middles) == (moved[:, 0] == 1))[is_known].float().mean()
    assert agree > 0.98 if name in {"rotate", "affine", "crop", "blur"} else agree == 1
    assert bool(is_known.all()) == (name not in {"rotate", "affine", "erase"})
    if name in NO_OBJECT_MOVES:
        assert torch.equal(moved, maps)
        assert torch.allclose(found, pictures, atol=1e-3) == (name == "grey")  # these are grey
    else:
        n_moved = (moved != maps).flatten(1).any(dim=1).sum()
        assert n_moved >= N - 4  # a cut may be nearly the whole
    # Alone, in another batch, or without maps: the same.
    alone, none = changed(name, pictures[[7]], None, [7])
    assert none is None
    assert torch.allclose(alone[0], found[7], atol=1e-6)


def test_axes_and_the_range_of_angles_are_kept() -> None:
    pictures, maps = squares(40, 56)
    assert torch.equal(changed("flip", pictures, maps, list(range(N)), axes="vertical")[0], pictures.flip(-2))
    assert torch.equal(changed("flip", pictures, maps, list(range(N)), axes="horizontal")[1], maps.flip(-1))
    little = changed("rotate", pictures, maps, list(range(N)), max_degrees=0.01)[0]
    assert torch.allclose(little[:, :, 1:-1, 1:-1], pictures[:, :, 1:-1, 1:-1], atol=0.01)
    whole = changed("crop", pictures, maps, list(range(N)), area_share=[1, 1], ratio=[1.4, 1.4])
    assert torch.allclose(whole[0], pictures, atol=1e-5)
    assert torch.equal(whole[1], maps)
    step = ADAPTER.validate_python({"name": "flip"})
    untouched, same = augment_pictures(
        pictures, maps, step, ClipRandom(3, 1, torch.arange(N)), torch.zeros(N, dtype=bool)
    )
    assert torch.equal(untouched, pictures)
    assert torch.equal(same, maps)


def photos(height: int = 20, width: int = 26) -> torch.Tensor:
    """Standardised pictures with brightness in every colour, smooth enough to be rotated."""
    rng = np.random.default_rng(5)
    coarse = torch.from_numpy(rng.uniform(0, 255, (4, 3, 5, 6)).astype(np.float32))
    return (torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear") - STANDARD.mean) / STANDARD.std


# Mean, deviation and two pixels of what becomes of the four photos.
GOLDEN = {
    "affine": [0.391, 0.806, 0.801, -0.346],
    "autocontrast": [0.44, 0.951, 0.907, -0.025],
    "blur": [0.406, 0.759, 0.774, 0.29],
    "brightness_contrast": [0.451, 0.961, 0.915, 0.354],
    "colour_jitter": [0.668, 1.009, 1.238, -0.007],
    "crop": [0.416, 0.849, 0.497, 0.389],
    "equalize": [0.486, 1.25, 0.95, -0.283],
    "erase": [0.279, 0.813, 0.815, 0.0],
    "flip": [0.406, 0.88, 0.96, 1.157],
    "grey": [0.369, 0.581, 0.354, 0.866],
    "rotate": [0.394, 0.826, 1.146, -0.147],
    "sharpness": [0.406, 0.886, 0.815, 0.19],
    "turn": [0.406, 0.875, 0.701, 0.138],
}


@pytest.mark.parametrize("name", sorted(PICTURE))
def test_numbers_are_of_a_picture_alone_and_stay_what_they_were(name: str) -> None:
    size = (24, 24) if name == "turn" else (20, 26)
    pictures = photos(*size)
    before = pictures.clone()
    found = changed(name, pictures, None, [7, 8, 9, 10])[0]
    assert torch.equal(pictures, before)
    assert torch.equal(found, changed(name, pictures, None, [7, 8, 9, 10])[0])
    assert torch.allclose(found[[2]], changed(name, pictures[[2]], None, [9])[0], atol=1e-6)
    others = changed(name, pictures, None, [17, 18, 19, 20])[0]
    assert torch.equal(found, others) == (name in {"grey", "autocontrast", "equalize"})  # nothing is drawn there
    digits = [round(float(value), 3) for value in (found.mean(), found.std(), found[0, 0, 3, 4], found[3, 2, 11, 7])]
    assert digits == pytest.approx(GOLDEN[name], abs=2e-3)


def test_torchvision_does_what_our_numbers_say() -> None:
    pictures, ids = photos(), torch.tensor([7, 8, 9, 10])
    rng = ClipRandom(3, 1, ids)
    rng.chance(1.0)
    side = 2 * rng.uniform() - 1
    bilinear = transforms.InterpolationMode.BILINEAR
    rotated = [functional.rotate(one, float(15 * part), bilinear) for one, part in zip(pictures, side, strict=True)]
    assert torch.allclose(changed("rotate", pictures, None, ids.tolist())[0], torch.stack(rotated), atol=1e-5)
    assert side.abs().max() > 0.3

    brightness = STANDARD.brightness(pictures)
    assert torch.allclose(STANDARD.standardised(brightness), pictures, atol=1e-4)
    for name, whole in {
        "equalize": transforms.RandomEqualize(1.0),
        "autocontrast": transforms.RandomAutocontrast(1.0),
    }.items():
        found = STANDARD.brightness(changed(name, pictures, None, ids.tolist())[0])
        assert torch.allclose(found, whole(brightness), atol=1e-5), name


def test_colours_need_to_know_what_pictures_were_standardised_by() -> None:
    step = ADAPTER.validate_python({"name": "grey", "probability": 1})
    with pytest.raises(ValueError, match="grey changes brightness"):
        augment_pictures(photos(), None, step, ClipRandom(3, 1, torch.arange(4)), torch.ones(4, dtype=torch.bool))
