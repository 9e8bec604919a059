"""Full disks, kills and flipped bits: a store is whole, absent, or known to be damaged."""

import errno
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from auscult.audio.clip_store import ClipStore, create_clips
from auscult.errors import DataError

N_CLIPS, N_SAMPLES = 24, 700
WAVEFORMS = np.random.default_rng(8).integers(-3000, 3000, (N_CLIPS, N_SAMPLES)).astype(np.int16)
SETTINGS = {"clips": {"unit": "window", "pad": "zero"}, "channel": "mean"}

WRITER = """
import sys, time
from pathlib import Path
import numpy as np, pandas as pd
from auscult.audio.clip_store import create_clips
from auscult.errors import DataError

path, n_blocks, wait = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "wait"
table = pd.DataFrame({"clip_id": ["d/r:0000"], "recording_id": ["d/r"], "patient_id": ["d/p"], "dataset": ["d"],
                      "start_s": [0.0], "end_s": [1.0], "n_valid": [9]})
try:
    with create_clips(path, n_samples=50_000, settings={}) as writer:
        for index in range(n_blocks):
            writer.append(table.assign(clip_id=f"d/r:{index:04d}"), np.full((1, 50_000), index, np.int16))
        if wait:
            print("written", flush=True)
            time.sleep(60)
except DataError as error:
    print(error)
"""


def write(path: Path) -> None:
    table = pd.DataFrame(
        {
            "clip_id": [f"icbhi/a{index}:0000" for index in range(N_CLIPS)],
            "recording_id": [f"icbhi/a{index}" for index in range(N_CLIPS)],
            "patient_id": "icbhi/p",
            "dataset": "icbhi",
            "start_s": 0.0,
            "end_s": 1.0,
            "n_valid": N_SAMPLES,
        }
    )
    with create_clips(path, n_samples=N_SAMPLES, settings=SETTINGS) as writer:
        writer.append(table, WAVEFORMS)


def content(path: Path) -> tuple[dict, list, bytes]:
    with ClipStore(path) as store:
        return store.settings, store.table.to_numpy().tolist(), store.read(range(len(store))).tobytes()


def test_a_flipped_byte_anywhere_is_reported_or_changes_nothing(tmp_path: Path) -> None:
    whole, damaged = tmp_path / "clips.h5", tmp_path / "damaged.h5"
    write(whole)
    before = content(whole)
    original = whole.read_bytes()
    positions = np.unique(np.r_[0:64, np.random.default_rng(1).integers(64, len(original), 160)])
    n_reported = 0
    for position in positions.tolist():
        changed = bytearray(original)
        changed[position] ^= 0x10
        damaged.write_bytes(changed)
        try:
            assert content(damaged) == before, f"byte {position} was read wrongly without a word"
        except DataError as error:
            assert "make it again" in str(error)
            n_reported += 1
    assert n_reported == len(positions)


def test_a_flipped_bit_in_the_sound_is_found(tmp_path: Path) -> None:
    path = tmp_path / "clips.h5"
    n_samples = 40_000
    sound = np.random.default_rng(1).integers(-9, 9, (3, n_samples)).astype(np.int16)
    table = pd.DataFrame(
        {
            "clip_id": ["d/a:0000", "d/a:0001", "d/a:0002"],
            "recording_id": "d/a",
            "patient_id": "d/p",
            "dataset": "d",
            "start_s": 0.0,
            "end_s": 1.0,
            "n_valid": n_samples,
        }
    )
    with create_clips(path, n_samples=n_samples, settings={}) as writer:
        writer.append(table, sound)
    with h5py.File(path, "r") as file:
        offset = file["waveform"].id.get_chunk_info(1).byte_offset
    with path.open("r+b") as stream:
        stream.seek(offset + 1000)
        byte = stream.read(1)[0]
        stream.seek(offset + 1000)
        stream.write(bytes([byte ^ 1]))
    with pytest.raises(DataError, match=r"clips\.h5: damaged.*make it again"):
        ClipStore(path)


def test_a_truncated_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "clips.h5"
    write(path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(DataError, match="make it again"):
        ClipStore(path)


def test_a_full_disk_leaves_no_file_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(h5py.Dataset, "__setitem__", no_space)
    with pytest.raises(DataError, match=r"could not be written .*No space left.*make room there"):
        write(tmp_path / "clips.h5")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size_kib", [100, 3972])
def test_a_really_full_disk_ends_with_a_message(tmp_path: Path, size_kib: int) -> None:
    mount = f"mount -t tmpfs -o size={size_kib}k tmpfs {tmp_path}"
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "sh", "-c", mount], check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    write = f"{mount} && {sys.executable} -c '{WRITER}' {tmp_path}/clips.h5 40 go && ls -A {tmp_path}"
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", write], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    problem = "could not be written (No space left on device); make room there and run again"
    # Nothing follows the message: the folder is empty.
    assert done.stdout == f"{tmp_path}/clips.h5: {problem}\n"


def test_a_killed_writer_leaves_nothing_under_the_final_name(tmp_path: Path) -> None:
    path = tmp_path / "clips.h5"
    command = [sys.executable, "-c", WRITER, str(path), "40", "wait"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
    assert not path.exists()
    leftovers = list(tmp_path.iterdir())
    assert len(leftovers) == 1
    assert leftovers[0].name.startswith(".clips-")
    # Not even under the final name would it pass.
    shutil.move(leftovers[0], path)
    with pytest.raises(DataError):
        ClipStore(path)
