"""Planting faults; that readers find each is tested with the readers."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from tests.planted_faults import plant_faults

from auscult.errors import ConfigError, DataError
from auscult_simulate.layouts import WRITERS
from auscult_simulate.write import write_dataset


@pytest.mark.parametrize("layout", ["perch", "manifest", "sprsound", "label_folders"])
def test_planting_is_repeatable(layout: str, tmp_path: Path) -> None:
    planted = []
    for name in "ab":
        write_dataset(
            layout, tmp_path / name, n_patients=14, seed=1, duration_s=(2.5, 3), recordings_per_patient=(3, 3)
        )
        planted.append(plant_faults(tmp_path / name, layout, np.random.default_rng(8)))
    assert planted[0] == planted[1]
    for path in (tmp_path / "a").rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


def test_every_layout_has_its_faults(tmp_path: Path) -> None:
    for layout in WRITERS:
        with pytest.raises(DataError, match=f"{tmp_path} holds 0 recordings, too few"):
            plant_faults(tmp_path, layout, np.random.default_rng(0))


def test_planted_audio_is_truly_damaged(tmp_path: Path) -> None:
    write_dataset("perch", tmp_path, n_patients=10, seed=1, duration_s=(2.5, 3))
    by_kind = {fault.kind: tmp_path / fault.file for fault in plant_faults(tmp_path, "perch", np.random.default_rng(0))}
    assert by_kind["empty file"].stat().st_size == 0
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.info(by_kind["text named as a sound"])
    assert soundfile.info(by_kind["wav without samples"]).frames == 0
    assert np.isnan(soundfile.read(by_kind["samples not finite"])[0]).sum() == 1
    content = by_kind["truncated wav"].read_bytes()
    assert int.from_bytes(content[4:8], "little") + 8 > len(content)


def test_refuses_a_tree_that_is_too_small(tmp_path: Path) -> None:
    write_dataset("antwerp_sim", tmp_path, n_patients=3, seed=1, duration_s=(2.5, 3), recordings_per_patient=(1, 1))
    with pytest.raises(DataError, match="3 recordings, too few"):
        plant_faults(tmp_path, "antwerp_sim", np.random.default_rng(0))


def test_refuses_an_unknown_layout(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown layout 'jordn'; did you mean 'jordan'"):
        plant_faults(tmp_path, "jordn", np.random.default_rng(0))
