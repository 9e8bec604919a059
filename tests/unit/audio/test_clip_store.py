import multiprocessing
import os
import pickle
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as checking
from hypothesis import strategies as st

from auscult.audio.clip_store import ClipStore, create_clips, to_float32, to_int16
from auscult.errors import DataError
from auscult.storage.seal import seal

N_CLIPS, N_SAMPLES = 150, 500
WAVEFORMS = np.random.default_rng(5).integers(-32768, 32768, (N_CLIPS, N_SAMPLES)).astype(np.int16)


def clip_table(n: int = N_CLIPS, n_samples: int = N_SAMPLES) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "clip_id": [f"icbhi/Größe_{index}:0000" for index in range(n)],
            "recording_id": [f"icbhi/Größe_{index}" for index in range(n)],
            "patient_id": "icbhi/p",
            "dataset": "icbhi",
            "start_s": np.arange(n) * 0.1,
            "end_s": np.arange(n) * 0.1 + 1.25,
            "n_valid": np.full(n, n_samples),
        }
    )


def write(path: Path, settings: dict | None = None) -> Path:
    table = clip_table()
    with create_clips(path, n_samples=N_SAMPLES, settings=settings or {}) as writer:
        for start in range(0, N_CLIPS, 40):
            writer.append(table.iloc[start : start + 40], WAVEFORMS[start : start + 40])
    return path


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("store") / "clips.h5", {"clips": {"pad": "zero"}, "channel": "mean"})


def test_what_was_written_in_blocks_is_read_as_one(stored: Path) -> None:
    with ClipStore(stored) as store:
        assert len(store) == N_CLIPS
        assert store.n_samples == N_SAMPLES
        assert store.settings == {"clips": {"pad": "zero"}, "channel": "mean"}
        pd.testing.assert_frame_equal(store.table, clip_table(), check_dtype=True)
        assert store.n_valid.tolist() == [N_SAMPLES] * N_CLIPS
        assert np.array_equal(store.read(range(N_CLIPS)), WAVEFORMS)


@checking(deadline=None)
@given(rows=st.lists(st.integers(0, N_CLIPS - 1), max_size=60))
def test_rows_are_read_in_any_order_with_duplicates(stored: Path, rows: list[int]) -> None:
    with ClipStore(stored) as store:
        read = store.read(rows)
    assert read.dtype == np.int16
    assert np.array_equal(read, WAVEFORMS[np.array(rows, int)])


@pytest.mark.parametrize("rows", [[-1], [N_CLIPS], [0.5], [[0, 1]]])
def test_rows_that_are_not_there_are_refused(stored: Path, rows: list) -> None:
    with ClipStore(stored) as store, pytest.raises(IndexError):
        store.read(rows)


def test_a_closed_reader_opens_again(stored: Path) -> None:
    store = ClipStore(stored)
    store.close()
    assert np.array_equal(store.read([3]), WAVEFORMS[[3]])
    store.close()


def test_a_reader_travels_to_spawned_workers(stored: Path) -> None:
    with ClipStore(stored) as store, pickle.loads(pickle.dumps(store)) as copy:
        assert np.array_equal(copy.read([7]), WAVEFORMS[[7]])


def _child(store: ClipStore, rows: list[int], connection: object) -> None:
    parent_handle = store._handle
    values = store.read(rows)
    connection.send((store._handle is not parent_handle, values.tobytes()))  # type: ignore[attr-defined]
    os._exit(0)


def test_a_forked_worker_opens_the_file_for_itself(stored: Path) -> None:
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    with ClipStore(stored) as store:
        store.read([0])
        child = context.Process(target=_child, args=(store, [5, 2], there))
        child.start()
        opened_anew, values = here.recv()
        child.join()
        assert opened_anew
        assert values == WAVEFORMS[[5, 2]].tobytes()
        assert np.array_equal(store.read([1]), WAVEFORMS[[1]])
    here.close()
    there.close()
    child.close()


def test_a_store_is_readable_while_another_is_written(stored: Path, tmp_path: Path) -> None:
    with create_clips(tmp_path / "other.h5", n_samples=N_SAMPLES, settings={}), ClipStore(stored) as store:
        assert np.array_equal(store.read([1]), WAVEFORMS[[1]])


def test_an_unfinished_store_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "clips.h5")
    with h5py.File(path, "r+") as file:
        del file.attrs["complete"]
    seal(path)
    with pytest.raises(DataError, match=r"incomplete.*make it again"):
        ClipStore(path)


def test_missing_rows_are_found(tmp_path: Path) -> None:
    path = write(tmp_path / "clips.h5")
    with h5py.File(path, "r+") as file:
        file["waveform"].resize(N_CLIPS - 1, axis=0)
    seal(path)
    with pytest.raises(DataError, match=f"'waveform' has {N_CLIPS - 1} rows, expected {N_CLIPS}"):
        ClipStore(path)


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "clips.h5"
    path.write_text("no HDF5")
    with pytest.raises(DataError, match="damaged"):
        ClipStore(path)
    with h5py.File(path, "w") as file:
        file.attrs["format"] = np.bytes_(b"auscult-features/1")
    with pytest.raises(DataError, match="format 'auscult-features/1', expected 'auscult-clips/1'"):
        ClipStore(path)
    with pytest.raises(DataError, match="no such file"):
        ClipStore(tmp_path / "absent.h5")


def test_a_block_that_does_not_fit_leaves_nothing(tmp_path: Path) -> None:
    table = clip_table(2)
    with (
        pytest.raises(ValueError, match="expected shape"),
        create_clips(tmp_path / "clips.h5", n_samples=N_SAMPLES, settings={}) as writer,
    ):
        writer.append(table, np.zeros((2, N_SAMPLES + 1), np.int16))
    with (
        pytest.raises(ValueError, match="1 rows of data, 2 rows of the table"),
        create_clips(tmp_path / "clips.h5", n_samples=N_SAMPLES, settings={}) as writer,
    ):
        writer.append(table, np.zeros((1, N_SAMPLES), np.int16))
    assert list(tmp_path.iterdir()) == []


@checking(deadline=None)
@given(st.lists(st.integers(-32768, 32767), min_size=1))
def test_int16_survives_the_way_to_float_and_back(samples: list[int]) -> None:
    waveform = np.array(samples, np.int16)
    assert np.array_equal(to_int16(to_float32(waveform)), waveform)


def test_samples_beyond_full_scale_are_clipped() -> None:
    assert to_int16(np.array([-1.5, -1.0, 0.99999, 1.0, 7.0], np.float32)).tolist() == [
        -32768,
        -32768,
        32767,
        32767,
        32767,
    ]
