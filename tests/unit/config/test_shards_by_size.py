"""A collection is divided by its size: the same everywhere, in jobs that are never too many."""

import shutil
from pathlib import Path

import pytest

from auscult.config import load_dataset, paths, shards

SHARD_BYTES = 1 << 20


@pytest.fixture
def ward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose dataset `ward` has 60 files of 64 KiB in three folders."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shards, "SHARD_BYTES", SHARD_BYTES)
    monkeypatch.setattr(shards, "FILE_BYTES", 0)
    shards.shards_by_size.cache_clear()
    (tmp_path / "config/datasets").mkdir(parents=True)
    (tmp_path / "config/datasets/ward.yaml").write_text("description: d\nlayout: label_folders\nroot: raw\n")
    for number in range(60):
        path = tmp_path / "raw" / "abc"[number % 3] / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(64 << 10))
    return tmp_path


def parts(project: Path) -> list[str]:
    shards.shards_by_size.cache_clear()
    return paths.audio_facts_paths("ward", load_dataset(project / "config", "ward"))


def test_the_folder_decides_and_a_file_more_changes_nothing(ward: Path) -> None:
    found = parts(ward)
    assert len(found) == 4  # 3.75 MiB, a MiB a job
    assert found[3] == "work/tables/ward/audio_facts-part-00003-of-00004.parquet"
    (ward / "raw/a/late.wav").write_bytes(bytes(64 << 10))
    assert parts(ward) == found
    for number in range(10):
        (ward / f"raw/b/later-{number}.wav").write_bytes(bytes(64 << 10))
    assert len(parts(ward)) == 8


def test_the_setting_comes_first_and_a_small_folder_is_one_piece(ward: Path) -> None:
    file = ward / "config/datasets/ward.yaml"
    file.write_text(file.read_text() + "shards: 3\n")
    assert len(parts(ward)) == 3
    file.write_text("description: d\nlayout: label_folders\nroot: raw/c\n")
    shutil.rmtree(ward / "raw/c")
    (ward / "raw/c").mkdir()
    assert parts(ward) == []


def test_without_the_folder_the_tables_say_how_they_were_made(ward: Path) -> None:
    found = parts(ward)
    for path in found:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()
    shutil.rmtree(ward / "raw")
    assert parts(ward) == found


def test_a_bucket_is_one_piece_unless_it_is_said(ward: Path) -> None:
    del ward
    settings = load_dataset(Path("config"), "ward", {"ward": "gs://bucket/ward"})
    assert paths.n_shards("ward", settings) == 1
    assert paths.n_shards("ward", settings.model_copy(update={"shards": 5})) == 5
