"""Clips and spectrograms of a fixed sound against what librosa made of it (`make_audio_golden.py` wrote `audio.npz`).

Tolerances: clips within 1 step of int16; spectrograms within 0.01 dB before they are stored, and within 0.04 dB (half a
step of float16 between 64 and 128 dB, and rounding) as they are stored.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from auscult.audio.clip_store import ClipStore
from auscult.audio.cut_clips import cut_clips
from auscult.config import ClipSettings, SpectrogramSettings
from auscult.spectrograms.log_mel import LogMel
from auscult.spectrograms.make_spectrograms import make_spectrograms
from auscult.spectrograms.store import FeatureStore
from auscult.storage.tables import events_frame, write_parquet

FOLDER = Path(__file__).parent
CLIPS = ClipSettings(length_s=2, sample_rate_hz=8000)
STEPS_INT16 = 1
COMPUTED_DB = 0.01
STORED_DB = 0.04


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(FOLDER / "audio.npz", allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def clip_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    specification = importlib.util.spec_from_file_location("make_audio_golden", FOLDER / "make_audio_golden.py")
    assert specification is not None
    assert specification.loader is not None
    maker = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(maker)
    folder = tmp_path_factory.mktemp("golden")
    maker.write_sound(folder / "sound.wav")
    recording = {
        "recording_id": "golden/sound",
        "dataset": "golden",
        "patient_id": "golden/p",
        "path": "sound.wav",
        "site": None,
        "device": None,
        "age_years": None,
        "sex": None,
        "sample_rate_hz": 44_100,
        "n_channels": 1,
        "n_samples": 3 * 44_100,
        "duration_s": 3.0,
        "encoding": "PCM_24",
        "sha256": "0" * 64,
        "fingerprint": None,
    }
    texts = dict.fromkeys(("site", "device", "sex", "fingerprint"), "str")
    table = pd.DataFrame([recording]).astype({**texts, "age_years": float})
    write_parquet(folder / "recordings.parquet", table)
    write_parquet(folder / "events.parquet", events_frame([]))
    cut_clips(
        root=folder,
        dataset="golden",
        tables_dir=folder,
        settings=CLIPS,
        channel="mean",
        output=folder / "clips.h5",
        full_settings={"clips": CLIPS.model_dump(mode="json")},
    )
    return folder / "clips.h5"


def test_clips_are_those_of_librosa(clip_file: Path, golden: dict[str, np.ndarray]) -> None:
    with ClipStore(clip_file) as store:
        stored = store.read(range(len(store))).astype(int)
        assert store.n_valid.tolist() == [16_000, 8000]
    assert stored.shape == golden["clips"].shape
    assert np.abs(stored - golden["clips"]).max() <= STEPS_INT16


@pytest.mark.parametrize(
    ("name", "changes"), [("spectrogram", {}), ("spectrogram_centred", {"centred": True, "hop_samples": 512})]
)
def test_spectrograms_are_those_of_librosa(golden: dict[str, np.ndarray], name: str, changes: dict) -> None:
    settings = SpectrogramSettings(n_fft=1024, n_mels=64, **changes)
    computed = LogMel(settings, 8000)(golden["clips"])
    assert computed.shape == golden[name].shape
    assert np.abs(computed - golden[name]).max() <= COMPUTED_DB


def test_stored_spectrograms_are_those_of_librosa(
    clip_file: Path, golden: dict[str, np.ndarray], tmp_path: Path
) -> None:
    settings = SpectrogramSettings(n_fft=1024, n_mels=64)
    make_spectrograms(clips=clip_file, settings=settings, output=tmp_path / "features.h5", full_settings={})
    with FeatureStore(tmp_path / "features.h5") as store, ClipStore(clip_file) as clip_store:
        stored = store.read(range(2)).astype(np.float32)
        is_equal = (clip_store.read(range(2)) == golden["clips"]).all(axis=1)
    # Where a sample differs by one step, bands at the level of that step may differ by more.
    assert np.abs(stored - golden["spectrogram"])[golden["spectrogram"] > -70].max() <= STORED_DB
    assert np.abs(stored - golden["spectrogram"])[is_equal].max(initial=0) <= STORED_DB
