"""Steps of a user's own, as the page of plugins shows them."""

from pathlib import Path

import pytest
import torch
from pydantic import TypeAdapter
from tests.unit.config.test_plugins import write_documented

from auscult.augment.pictures import augment_pictures
from auscult.augment.random import ClipRandom
from auscult.augment.spectrogram import augment_spectrograms
from auscult.config.augment import PictureAugmentation, SpectrogramAugmentation, events_fault
from auscult.errors import ConfigError


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_documented(tmp_path)


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def step(name: str, kind=SpectrogramAugmentation, **settings):
    return TypeAdapter(kind).validate_python({"name": name, "probability": 1, **settings})


@pytest.mark.parametrize("chain", [False, True])
def test_a_waveform_step_depends_on_the_clip_alone(augment, chain):
    waveforms = 0.1 * drawn(6, 8000)
    waveforms[0, 5000:] = 0
    n_valid = torch.tensor([5000, *[8000] * 5])
    fade = {"name": "augmix", "functions": ["fade"], "weight": [1, 1]} if chain else {"name": "fade", "max_share": 0.4}
    whole = augment(waveforms, fade, n_valid=n_valid)
    parts = [augment(waveforms[[row]], fade, n_valid=n_valid[[row]], ids=torch.tensor([row])) for row in range(6)]
    assert torch.equal(whole, torch.cat(parts))
    assert not whole[0, 5000:].any()
    # Another share of each clip; fading in takes up to 0.4 of it, and leaves the rest as it is.
    firsts = (whole / waveforms)[1:, 0]
    assert len(set(firsts.tolist())) == 5
    if not chain:
        assert (1 / firsts <= 0.4 * 8000 + 1).all()
        assert torch.equal(whole[1:, 3201:], waveforms[1:, 3201:])


def test_a_spectrogram_step_changes_those_that_are_picked(augment):
    spectrograms = drawn(64, 4, 9)
    found = augment_spectrograms(
        spectrograms, [step("turn_round", probability=0.5)], ClipRandom(1, 1, torch.arange(64))
    )
    is_turned = (found != spectrograms).flatten(1).any(1)
    assert 16 < is_turned.sum() < 48
    assert torch.equal(found[is_turned], spectrograms[is_turned].flip(2))


def test_a_picture_step_has_numbers_of_its_own_for_each_picture():
    pictures, maps = drawn(5, 3, 8, 8), torch.ones(5, 2, 8, 8, dtype=torch.int8)
    darken = step("darken", PictureAugmentation, by=2.0)
    eligible = torch.tensor([True, True, True, True, False])
    found, found_maps = augment_pictures(pictures, maps, darken, ClipRandom(1, 1, torch.arange(5)), eligible)
    by = (pictures - found).flatten(1).mean(1)
    assert len({round(value, 5) for value in by.tolist()}) == 5
    assert ((by[:4] > 0) & (by[:4] < 2)).all()
    assert by[4] == 0
    assert torch.equal(found_maps, maps)


def test_a_step_that_changes_the_shape_is_refused_and_tasks_of_events_take_none():
    path = Path("plugins/steps.py")
    path.write_text(path.read_text().replace("spectrograms.flip(2)", "spectrograms[:, 1:]"))
    with pytest.raises(ConfigError, match=r"turn_round: its plugin returned \[2, 3, 9\], expected .* \[2, 4, 9\]"):
        augment_spectrograms(drawn(2, 4, 9), [step("turn_round")], ClipRandom(1, 1, torch.arange(2)))
    assert "nothing says whether it leaves sound in its place" in (events_fault(step("turn_round")) or "")
