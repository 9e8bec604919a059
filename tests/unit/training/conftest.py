import signal
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from auscult.config import JobSettings, TaskSettings
from auscult.spectrograms.store import write_features
from auscult.storage.seal import seal
from auscult.storage.tables import EVENTS, read_events, read_recordings, read_split, write_csv, write_parquet

N_MELS, N_FRAMES = 32, 40


@dataclass(frozen=True)
class Setup:
    features: dict[str, list[Path]]
    tables: dict[str, Path]
    split: Path
    task: TaskSettings
    job: JobSettings

    @property
    def inputs(self) -> dict[str, object]:
        return {"features": self.features, "tables": self.tables, "split": self.split, "task": self.task}

    def with_train(self, **values: object) -> JobSettings:
        settings = self.job.model_dump(mode="json")
        settings["train"] |= values
        return JobSettings.model_validate(settings)


def make_setup(
    folder: Path,
    *,
    n_patients: int = 24,
    clips_each: int = 2,
    seed: int = 0,
    label: str = "sick",
    shape: tuple[int, int] = (N_MELS, N_FRAMES),
) -> Setup:
    """A dataset in which sick patients carry a louder band; every sixth patient is unknown."""
    rng = np.random.default_rng(seed)
    patients = [f"toy/p{number:02d}" for number in range(n_patients)]
    health = [None if number % 6 == 5 else (label if number % 2 else "well") for number in range(n_patients)]
    recordings = pd.DataFrame(
        {
            "recording_id": [f"toy/r{number:02d}" for number in range(n_patients)],
            "dataset": "toy",
            "patient_id": patients,
            "path": [f"r{number:02d}.wav" for number in range(n_patients)],
            "site": pd.array([None] * n_patients, dtype="str"),
            "device": pd.array([None] * n_patients, dtype="str"),
            "age_years": np.nan,
            "sex": pd.array([None] * n_patients, dtype="str"),
            "sample_rate_hz": 4000,
            "n_channels": 1,
            "n_samples": 8000,
            "duration_s": 2.0,
            "encoding": "PCM_16",
            "sha256": [f"{number:064x}" for number in range(n_patients)],
            "fingerprint": pd.array([None] * n_patients, dtype="str"),
            "label_health": pd.array(health, dtype="str"),
        }
    )
    tables = folder / "tables"
    write_parquet(tables / "recordings.parquet", recordings)
    write_parquet(
        tables / "events.parquet",
        pd.DataFrame({name: pd.Series(dtype=column.dtype.type) for name, column in EVENTS.columns.items()}),
    )
    clips = pd.DataFrame(
        [
            {
                "clip_id": f"{row.recording_id}:{index:04d}",
                "recording_id": row.recording_id,
                "patient_id": row.patient_id,
                "dataset": "toy",
                "start_s": float(index),
                "end_s": float(index + 1),
                "n_valid": 4000,
            }
            for row in recordings.itertuples()
            for index in range(clips_each)
        ]
    )
    spectrograms = -50 + 8 * rng.standard_normal((len(clips), *shape), dtype=np.float32)
    is_sick = np.repeat([value == label for value in health], clips_each)
    spectrograms[is_sick, 5:15] += 20
    features = folder / "features.h5"
    n_frames_valid = rng.integers(shape[1] // 2, shape[1] + 1, len(clips))
    write_features(features, clips, spectrograms, n_frames_valid, {"clips": {}, "spectrogram": {}})
    subsets = ["train" if number % 12 < 6 else "val" if number % 12 < 9 else "test" for number in range(n_patients)]
    known = [value is not None for value in health]
    split = recordings.loc[known, ["recording_id", "patient_id", "dataset"]].assign(
        split=[subset for subset, is_known in zip(subsets, known, strict=True) if is_known]
    )
    write_csv(folder / "split.csv", split)
    (
        read_recordings(tables / "recordings.parquet"),
        read_events(tables / "events.parquet"),
        read_split(folder / "split.csv"),
    )
    task = TaskSettings.model_validate(
        {
            "description": "toy",
            "type": "binary",
            "targets": ["sick"],
            "level": "patient",
            "datasets": {"toy": {"sick": {"column": "health", "positive": ["sick"], "negative": "others"}}},
        }
    )
    job = JobSettings.model_validate(
        {
            "task": "toy",
            "datasets": ["toy"],
            "clips": {"length_s": 1, "sample_rate_hz": 4000},
            "spectrogram": {"n_fft": 256, "hop_samples": 96, "n_mels": N_MELS},
            "split": {"kind": "patients"},
            "model": {"name": "test_cnn", "dropout": 0.3},
            "train": {"epochs": 4, "batch_size": 8, "optimizer": {"lr": 0.01}},
        }
    )
    return Setup({"toy": [features]}, {"toy": tables}, folder / "split.csv", task, job)


def spoil(setup: Setup, subset: str, clips: dict[str, list[Path]] | None = None) -> None:
    """Write NaN over the spectrograms of a subset, and noise over its sound, which has no NaN."""
    split = pd.read_csv(setup.split)
    recordings = split.loc[split["split"] == subset, "recording_id"]
    rng = np.random.default_rng(1)
    for path in [*setup.features["toy"], *(clips or {}).get("toy", [])]:
        with h5py.File(path, "r+") as store:
            named = np.array([value.decode() for value in store["table/recording_id"][:]])
            rows = np.flatnonzero(np.isin(named, recordings))
            assert len(rows)
            for name in ("spectrogram", "sum", "sum_sq"):
                if name in store:
                    store[name][rows] = np.nan
            if "waveform" in store:
                n_samples = store["waveform"].shape[1]
                store["waveform"][rows] = rng.integers(-(2**15), 2**15, (len(rows), n_samples), dtype=np.int16)
        seal(path)


@pytest.fixture(scope="session")
def setup(tmp_path_factory) -> Setup:
    return make_setup(tmp_path_factory.mktemp("toy"))


@pytest.fixture(autouse=True)
def own_signals():
    """A training that was told to stop takes no further signals; the tests that come after it do."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
