from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from auscult.audio.clip_store import ClipStore, create_clips, to_float32
from auscult.config import ClipSettings, SpectrogramSettings
from auscult.errors import ConfigError, DataError
from auscult.spectrograms.log_mel import LogMel
from auscult.spectrograms.make_spectrograms import make_spectrograms
from auscult.spectrograms.store import FeatureStore

N_CLIPS, N_SAMPLES = 45, 4000
N_VALID = np.random.default_rng(1).integers(1, N_SAMPLES + 1, N_CLIPS)


def make_clips(path: Path, how: str = "zero") -> np.ndarray:
    waveforms = np.random.default_rng(2).normal(0, 3000, (N_CLIPS, N_SAMPLES)).astype(np.int16)
    if how == "zero":
        waveforms[np.arange(N_SAMPLES) >= N_VALID[:, None]] = 0
    table = pd.DataFrame(
        {
            "clip_id": [f"mine/a:{index:04d}" for index in range(N_CLIPS)],
            "recording_id": "mine/a",
            "patient_id": "mine/p",
            "dataset": "mine",
            "start_s": 0.0,
            "end_s": N_VALID / 8000,
            "n_valid": N_VALID,
        }
    )
    settings = ClipSettings(length_s=0.5, sample_rate_hz=8000, pad=how)
    with create_clips(path, n_samples=N_SAMPLES, settings={"clips": settings.model_dump(mode="json")}) as writer:
        writer.append(table, waveforms)
    return waveforms


SETTINGS = SpectrogramSettings(n_fft=512, hop_samples=100, n_mels=32)


@pytest.mark.parametrize("threads", [1, 3])
def test_every_clip_becomes_its_spectrogram(tmp_path: Path, threads: int) -> None:
    waveforms = make_clips(tmp_path / "clips.h5")
    output = tmp_path / "features.h5"
    make_spectrograms(
        clips=tmp_path / "clips.h5", settings=SETTINGS, output=output, full_settings={"any": 1}, threads=threads
    )
    expected = LogMel(SETTINGS, 8000)(to_float32(waveforms)).astype(np.float16)
    with FeatureStore(output) as store:
        assert store.settings == {"any": 1}
        assert store.shape == (N_CLIPS, 32, 35)
        assert np.array_equal(store.read(range(N_CLIPS)), expected)
        assert store.table["n_valid"].tolist() == N_VALID.tolist()
        assert np.array_equal(store.n_frames_valid(range(N_CLIPS)), np.clip(-(-N_VALID // 100), 1, 35))


@pytest.mark.parametrize("how", ["reflect", "repeat"])
def test_padding_by_sound_counts_as_sound(tmp_path: Path, how: str) -> None:
    make_clips(tmp_path / "clips.h5", how)
    output = tmp_path / "features.h5"
    make_spectrograms(clips=tmp_path / "clips.h5", settings=SETTINGS, output=output, full_settings={})
    with FeatureStore(output) as store:
        assert store.n_frames_valid(range(N_CLIPS)).tolist() == [35] * N_CLIPS


def test_the_file_does_not_depend_on_the_number_of_threads(tmp_path: Path) -> None:
    make_clips(tmp_path / "clips.h5")
    for threads in (1, 2):
        make_spectrograms(
            clips=tmp_path / "clips.h5",
            settings=SETTINGS,
            output=tmp_path / f"{threads}.h5",
            full_settings={},
            threads=threads,
        )
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "2.h5").read_bytes()


def test_a_missing_or_damaged_clip_store_stops_the_stage(tmp_path: Path) -> None:
    clips, output = tmp_path / "clips.h5", tmp_path / "features.h5"
    with pytest.raises(DataError, match="no such file"):
        make_spectrograms(clips=clips, settings=SETTINGS, output=output, full_settings={})
    make_clips(clips)
    clips.write_bytes(clips.read_bytes()[:-5000])
    with pytest.raises(DataError, match="make it again"):
        make_spectrograms(clips=clips, settings=SETTINGS, output=output, full_settings={})
    assert not output.exists()


def test_the_clips_of_another_dataset_stop_the_stage(tmp_path: Path) -> None:
    clips, output = tmp_path / "clips.h5", tmp_path / "features.h5"
    make_clips(clips)
    with ClipStore(clips) as store:
        (own,) = set(store.table["dataset"])
    with pytest.raises(DataError, match=f"its clips are of {own}, expected other; make it again"):
        make_spectrograms(clips=clips, settings=SETTINGS, output=output, full_settings={}, dataset="other")
    assert not output.exists()
    make_spectrograms(clips=clips, settings=SETTINGS, output=output, full_settings={}, dataset=own)
    assert output.exists()


def test_frames_longer_than_a_clip_stop_the_stage(tmp_path: Path) -> None:
    make_clips(tmp_path / "clips.h5")
    with pytest.raises(ConfigError, match="n_fft 8192 is longer than a clip of 4000 samples"):
        make_spectrograms(
            clips=tmp_path / "clips.h5",
            settings=SpectrogramSettings(n_fft=8192),
            output=tmp_path / "features.h5",
            full_settings={},
        )
    assert not (tmp_path / "features.h5").exists()


def test_empty_bands_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_clips(tmp_path / "clips.h5")
    settings = SpectrogramSettings(n_fft=128, n_mels=128)
    output = tmp_path / "features.h5"
    make_spectrograms(clips=tmp_path / "clips.h5", settings=settings, output=output, full_settings={})
    assert "of 128 mel bands hold no FFT bin and stay at -100 dB" in caplog.text
