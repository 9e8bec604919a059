from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as checking
from hypothesis import strategies as st

from auscult.errors import DataError
from auscult.spectrograms.store import FeatureStore, create_features, sum_spectrograms, write_features

N_CLIPS, N_MELS, N_FRAMES = 90, 8, 30
RNG = np.random.default_rng(6)
SPECTROGRAMS = RNG.normal(-50, 15, (N_CLIPS, N_MELS, N_FRAMES)).astype(np.float32)
N_FRAMES_VALID = RNG.integers(1, N_FRAMES + 1, N_CLIPS)


def clip_table(n: int = N_CLIPS) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "clip_id": [f"icbhi/a{index}:0000" for index in range(n)],
            "recording_id": [f"icbhi/a{index}" for index in range(n)],
            "patient_id": "icbhi/p",
            "dataset": "icbhi",
            "start_s": 0.0,
            "end_s": 1.0,
            "n_valid": np.arange(1, n + 1),
        }
    )


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "features.h5"
    write_features(path, clip_table(), SPECTROGRAMS, N_FRAMES_VALID, {"spectrogram": {"n_mels": N_MELS}})
    return path


def test_what_was_written_is_read(stored: Path) -> None:
    with FeatureStore(stored) as store:
        assert store.shape == (N_CLIPS, N_MELS, N_FRAMES)
        assert store.settings == {"spectrogram": {"n_mels": N_MELS}}
        pd.testing.assert_frame_equal(store.table, clip_table())
        read = store.read(range(N_CLIPS))
        assert read.dtype == np.float16
        assert np.array_equal(read, SPECTROGRAMS.astype(np.float16))
        assert np.array_equal(store.n_frames_valid(range(N_CLIPS)), N_FRAMES_VALID)


def add_up(store: FeatureStore, rows: Sequence[int]) -> tuple[np.ndarray, np.ndarray, int]:
    total, total_sq, n_frames = np.zeros(N_MELS), np.zeros(N_MELS), 0
    for sums in store.sums(np.array(rows, int)):
        total, total_sq = total + sums.sum.sum(axis=0), total_sq + sums.sum_sq.sum(axis=0)
        n_frames += int(sums.n_frames_valid.sum())
    return total, total_sq, n_frames


@checking(deadline=None)
@given(rows=st.lists(st.integers(0, N_CLIPS - 1), max_size=40))
def test_sums_are_those_of_the_stored_true_frames(stored: Path, rows: list[int]) -> None:
    frames = [SPECTROGRAMS[row, :, : N_FRAMES_VALID[row]].astype(np.float16).astype(np.float64) for row in rows]
    joined = np.concatenate([np.zeros((N_MELS, 0)), *frames], axis=1)
    with FeatureStore(stored) as store:
        total, total_sq, n_frames = add_up(store, rows)
    assert n_frames == joined.shape[1]
    assert np.allclose(total, joined.sum(axis=1), rtol=1e-12)
    assert np.allclose(total_sq, np.square(joined).sum(axis=1), rtol=1e-12)


def test_mean_and_deviation_follow_from_the_sums(stored: Path) -> None:
    rows = np.arange(0, N_CLIPS, 2)
    with FeatureStore(stored) as store:
        total, total_sq, n_frames = add_up(store, rows)
    mean = total / n_frames
    deviation = np.sqrt(total_sq / n_frames - mean**2)
    frames = [SPECTROGRAMS[row, :, : N_FRAMES_VALID[row]].astype(np.float16).astype(np.float64) for row in rows]
    joined = np.concatenate(frames, axis=1)
    assert np.allclose(mean, joined.mean(axis=1), rtol=1e-12)
    assert np.allclose(deviation, joined.std(axis=1), rtol=1e-9)


def test_padding_enters_no_sum() -> None:
    loud_padding = np.full((1, 2, 5), 90.0)
    loud_padding[:, :, :3] = -10
    block = sum_spectrograms(loud_padding, np.array([3]))
    assert block.sum.tolist() == [[-30.0, -30.0]]
    assert block.sum_sq.tolist() == [[300.0, 300.0]]


def test_reading_a_clip_touches_one_chunk(stored: Path) -> None:
    with h5py.File(stored, "r") as file:
        assert file["spectrogram"].chunks[1:] == (N_MELS, N_FRAMES)


def test_missing_spectrograms_leave_no_store(tmp_path: Path) -> None:
    path = tmp_path / "features.h5"
    with (
        pytest.raises(ValueError, match="2 rows of data, 3 rows of the table"),
        create_features(path, clip_table(3), shape=(N_MELS, N_FRAMES), settings={}) as writer,
    ):
        writer.append(sum_spectrograms(SPECTROGRAMS[:2], N_FRAMES_VALID[:2]))
    assert list(tmp_path.iterdir()) == []


def test_a_flipped_bit_in_a_spectrogram_is_found(tmp_path: Path) -> None:
    path = tmp_path / "features.h5"
    write_features(path, clip_table(), SPECTROGRAMS, N_FRAMES_VALID, {})
    with h5py.File(path, "r") as file:
        offset = file["spectrogram"].id.get_chunk_info(0).byte_offset
    damaged = bytearray(path.read_bytes())
    damaged[offset + 100] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(DataError, match=r"features\.h5: damaged.*make it again: snakemake .*--force .*features\.h5"):
        FeatureStore(path)
