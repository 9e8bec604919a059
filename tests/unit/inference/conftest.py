"""Small models that nobody trained, and recordings of all kinds to ask them about."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from auscult.audio.clip_store import ClipStore
from auscult.audio.cut_clips import cut_clips
from auscult.config import JobSettings, ManifestDataset, TaskSettings
from auscult.datasets.ingest import ingest
from auscult.models import FullScale, Normalisation, SavedModel, build_model_of, describe_model, save_model
from auscult.training.train import backbone_shape

TASKS = {
    "binary": {"type": "binary", "targets": ["ill"]},
    "multi_label": {"type": "multi_label", "targets": ["crackle", "wheeze"], "aggregate": {"method": "max"}},
    "multi_class": {"type": "multi_class", "targets": ["a", "b", "c"]},
    "events": {"type": "events", "targets": ["crackle", "wheeze"], "aggregate": {"method": "max"}},
}

DATASET_YAML = """
description: made up
root: raw
layout: manifest
pattern: (?P<patient>p[0-9]+)_(?P<state>[a-z]+)_(?P<number>[0-9])
columns: {patient: patient, labels: {state: state}}
"""
TASK_YAML = """
description: Is the patient ill?
type: binary
targets: [ill]
level: patient
datasets:
  clinic: {ill: {column: state, positive: [ill], negative: [well]}}
  other: {ill: {column: state, positive: [ill], negative: [well]}}
"""


def task_of(kind: str) -> TaskSettings:
    return TaskSettings.model_validate({"description": "", "level": "recording", **TASKS[kind]})


def job_of(kind: str = "binary", **changes) -> JobSettings:
    settings = {
        "task": kind,
        "datasets": ["mine"],
        "clips": {"length_s": 1.0, "sample_rate_hz": 2000, "min_valid_s": 0.25},
        "spectrogram": {"n_fft": 128, "hop_samples": 48, "n_mels": 32},
        "split": {"kind": "patients"},
        "model": {"name": "test_cnn"},
        "train": {"monitor": "val/auroc"},
    }
    return JobSettings.model_validate(settings | changes)


def save(folder: Path, job: JobSettings) -> Path:
    task = task_of(job.task)
    module = build_model_of(job, len(task.targets), seed=3, learns_maps=task.learns_maps).eval()
    normalisation = FullScale()
    if not module.takes_waveforms:
        n_mels = job.spectrogram.n_mels
        normalisation = Normalisation.from_bands(np.full(n_mels, -50.0), np.full(n_mels, 12.0))
    meta = describe_model(
        module,
        normalisation=normalisation,
        job=job,
        task=task,
        input_shape=backbone_shape(job),
        training={"best_epoch": 2, "settings": job.train.model_dump(mode="json"), "split": {"kind": "patients"}},
    )
    thresholds = {} if task.type == "multi_class" else dict.fromkeys(task.targets, 0.5)
    folder.mkdir(parents=True)
    decoding = {"event_decoding": {name: {"threshold": 0.5} for name in task.targets}} if task.finds_events else {}
    save_model(folder, SavedModel(module, normalisation, {**meta, "thresholds": thresholds, **decoding}))
    return folder


@pytest.fixture
def make_model(tmp_path):
    """Save a model of a kind of task, its settings changed at will; the folder is returned."""

    def make(kind: str = "binary", name: str = "model", **changes) -> Path:
        return save(tmp_path / name, job_of(kind, **changes))

    return make


@pytest.fixture
def recordings(tmp_path) -> Path:
    """A folder of recordings: other rates, two channels, other formats, shorter than a clip, exactly two clips."""
    rng = np.random.default_rng(11)
    folder = tmp_path / "raw"
    (folder / "below").mkdir(parents=True)
    for name, rate, seconds, n_channels in (
        ("a.wav", 44_100, 3.7, 1),
        ("b.flac", 8000, 2.0, 2),
        ("below/c.ogg", 16_000, 5.3, 1),
        ("d.wav", 2000, 0.4, 1),
        ("e.mp3", 22_050, 2.6, 1),
    ):
        sound = 0.2 * rng.standard_normal((int(rate * seconds), n_channels)).cumsum(axis=0)
        soundfile.write(folder / name, np.tanh(sound - np.linspace(sound[0], sound[-1], len(sound))), rate)
    return folder


@pytest.fixture
def cut_by_the_workflow(recordings, tmp_path):
    """Run ingest and the clip stage; the clip table with each clip's path, and the waveforms, are returned."""

    def cut(settings):
        dataset = ManifestDataset(description="", root=str(recordings), layout="manifest")
        ingest(recordings, "mine", dataset, tmp_path / "tables")
        cut_clips(
            root=recordings, dataset="mine", tables_dir=tmp_path / "tables", settings=settings, channel="mean",
            output=tmp_path / "clips.h5", full_settings={"clips": settings.model_dump(mode="json")},
        )  # fmt: skip
        paths = pd.read_parquet(tmp_path / "tables" / "recordings.parquet").set_index("recording_id")["path"]
        with ClipStore(tmp_path / "clips.h5") as store:
            table = store.table.assign(path=paths.loc[store.table["recording_id"]].to_numpy())
            return table, store.read(np.arange(len(store)))

    return cut


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with one dataset: ten patients of two recordings, one of them of an unknown state."""
    rng = np.random.default_rng(4)
    (tmp_path / "raw").mkdir()
    for patient in range(10):
        state = "unclear" if patient == 9 else ("ill", "well")[patient % 2]
        for number in range(2):
            sound = rng.standard_normal(int(2000 * (1.6 + 0.3 * number))) * (0.02 if state == "ill" else 0.2)
            soundfile.write(tmp_path / "raw" / f"p{patient}_{state}_{number}.wav", sound, 2000)
    for folder, name, text in (
        ("datasets", "clinic", DATASET_YAML),
        ("datasets", "other", DATASET_YAML),
        ("tasks", "binary", TASK_YAML),
    ):
        (tmp_path / "config" / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "config" / folder / f"{name}.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path
