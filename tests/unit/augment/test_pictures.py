"""A picture and the maps of its objects are changed together, by numbers that depend on nothing but the picture."""

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from auscult.augment.pictures import augment_pictures
from auscult.augment.random import ClipRandom
from auscult.config.augment import PICTURE, PictureAugmentation

ADAPTER = TypeAdapter(PictureAugmentation)
N = 24


def changed(name: str, pictures: torch.Tensor, maps: torch.Tensor | None, ids: list[int], **settings: object):
    step = ADAPTER.validate_python({"name": name, "probability": 1.0, **settings})
    rng = ClipRandom(3, 1, torch.tensor(ids))
    return augment_pictures(pictures, maps, step, rng, torch.ones(len(ids), dtype=torch.bool))


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
    is_exact = name in {"flip", "turn", "brightness_contrast"}
    assert agree == 1 if is_exact else agree > 0.98
    assert bool(is_known.all()) == (name != "rotate")
    if name == "brightness_contrast":
        assert torch.equal(moved, maps)
        assert not torch.allclose(found, pictures)
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
    whole = changed("crop", pictures, maps, list(range(N)), min_share=1.0)
    assert torch.allclose(whole[0], pictures, atol=1e-5)
    assert torch.equal(whole[1], maps)
    step = ADAPTER.validate_python({"name": "flip"})
    untouched, same = augment_pictures(
        pictures, maps, step, ClipRandom(3, 1, torch.arange(N)), torch.zeros(N, dtype=bool)
    )
    assert torch.equal(untouched, pictures)
    assert torch.equal(same, maps)
