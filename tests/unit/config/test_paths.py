import os
from pathlib import Path

import pytest

from auscult.config import JobSettings, load_dataset, load_experiment, load_task, paths


@pytest.fixture
def config_dir(project_dir: Path) -> Path:
    return project_dir / "config"


@pytest.fixture
def job(config_dir: Path) -> JobSettings:
    return load_experiment(config_dir, "pneumonia", "train2356").job(1)


def changed(job: JobSettings, section: str, **values) -> JobSettings:
    return job.model_copy(update={section: getattr(job, section).model_copy(update=values)})


def test_a_file_name_depends_on_what_shapes_the_file_alone(config_dir: Path, job: JobSettings) -> None:
    dataset = load_dataset(config_dir, "icbhi")
    clips = paths.clips_paths("icbhi", dataset, job.clips)
    features = paths.features_paths("icbhi", dataset, job)
    other_fft = changed(job, "spectrogram", n_fft=512)
    assert paths.clips_paths("icbhi", dataset, other_fft.clips) == clips
    assert paths.features_paths("icbhi", dataset, other_fft) != features
    other_clips = changed(job, "clips", pad="reflect")
    assert paths.clips_paths("icbhi", dataset, other_clips.clips) != clips
    assert paths.features_paths("icbhi", dataset, other_clips) != features
    other_training = changed(job, "train", epochs=99)
    assert paths.features_paths("icbhi", dataset, other_training) == features
    moved = dataset.model_copy(update={"root": "elsewhere", "description": "another"})
    assert paths.features_paths("icbhi", moved, job) == features
    other_channel = dataset.model_copy(update={"channel": 1})
    assert paths.clips_paths("icbhi", other_channel, job.clips) != clips


def test_a_raised_stage_version_never_reads_an_older_file(
    config_dir: Path, job: JobSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = load_dataset(config_dir, "icbhi")
    clips, features = paths.clips_paths("icbhi", dataset, job.clips), paths.features_paths("icbhi", dataset, job)
    monkeypatch.setitem(paths.STAGE_VERSIONS, "clips", paths.STAGE_VERSIONS["clips"] + 1)
    assert paths.clips_paths("icbhi", dataset, job.clips) != clips
    assert paths.features_paths("icbhi", dataset, job) != features


def test_splits_are_shared_by_jobs_with_equal_settings(config_dir: Path) -> None:
    task = load_task(config_dir, "pneumonia")
    first, second = load_experiment(config_dir, "pneumonia", "train2356").jobs
    assert paths.split_path(first, task) == paths.split_path(second, task)
    assert paths.split_path(changed(first, "split", seed=99), task) != paths.split_path(first, task)
    reordered = first.model_copy(update={"datasets": first.datasets[::-1]})
    assert paths.split_path(reordered, task) == paths.split_path(first, task)


def test_the_inventory_sees_every_change_of_the_raw_files(tmp_path: Path) -> None:
    assert paths.inventory(tmp_path / "absent") == ""
    (tmp_path / "a.wav").write_bytes(b"one")
    before = paths.inventory(tmp_path)
    assert paths.inventory(tmp_path) == before
    (tmp_path / "a.wav").write_bytes(b"two!")
    longer = paths.inventory(tmp_path)
    assert longer != before
    os.utime(tmp_path / "a.wav", ns=(1, 1))
    touched = paths.inventory(tmp_path)
    assert touched != longer
    (tmp_path / "a.wav").rename(tmp_path / "b.wav")
    assert paths.inventory(tmp_path) != touched
