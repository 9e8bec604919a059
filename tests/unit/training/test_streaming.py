import os
import signal
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from tests.unit.training.test_session import progress_of, start_training, wait_until
from tests.unit.training.test_train import ALL_THAT_HAS_A_STATE, AUGMENT, results, train

from auscult.config.train import BatchesSettings
from auscult.errors import ConfigError, DataError
from auscult.models import Normalisation
from auscult.training import train as stage
from auscult.training.batches import ResidentBatches, Source, StreamedBatches, exceeds_memory, open_batches
from auscult.training.dataset import load_clip_dataset
from auscult.training.sampler import BLOCK_CLIPS, cut_into_batches, windowed_order

CPU = torch.device("cpu")
STREAM = {"place": "stream", "window_clips": 12}


def both(n, workers):
    rng = np.random.default_rng(0)
    spectrograms = rng.normal(-50, 10, (n, 3, 4)).astype(np.float16)
    normalisation = Normalisation.from_bands(np.array([-50.0, -40, -30]), np.array([10.0, 5, 2]))
    resident = ResidentBatches(spectrograms, normalisation, CPU)
    streamed = StreamedBatches(
        lambda rows: spectrograms[rows], n, preparation=normalisation, device=CPU, workers=workers
    )
    return resident, streamed


@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_batches_equal_resident_ones(workers):
    resident, streamed = both(50, workers)
    plan = cut_into_batches(np.random.default_rng(1).permutation(50), 8)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    for ours, theirs in zip(streamed(plan), resident(plan), strict=True):
        assert torch.equal(ours, theirs)
    # The layers' generator stays as it is, whatever the number of workers.
    assert torch.equal(torch.get_rng_state(), before)
    assert streamed.wait_s > 0
    assert torch.equal(torch.cat(list(streamed.stored(7))), torch.cat(list(resident.stored())))
    assert len(streamed) == len(resident) == 50


def test_the_windowed_order_reads_neighbours_together():
    order = windowed_order(1000, 256, 3, 1)
    assert sorted(order) == list(range(1000))
    assert order.tolist() == windowed_order(1000, 256, 3, 1).tolist() != windowed_order(1000, 256, 3, 2).tolist()
    for start in range(0, 1000, 256):
        blocks = np.unique(order[start : start + 256] // BLOCK_CLIPS)
        assert len(blocks) <= 256 // BLOCK_CLIPS + 1
    # Neighbours in the order are seldom neighbours in the store.
    assert (np.abs(np.diff(order)) == 1).mean() < 0.05


def test_auto_streams_what_exceeds_the_stated_budget():
    settings = BatchesSettings(host_budget_mb=8)
    assert not exceeds_memory(1000 * 40 * 100, settings)
    assert exceeds_memory(1000 * 40 * 100 + 1, settings)
    assert not exceeds_memory(10**10, BatchesSettings(place="host"))
    assert exceeds_memory(1, BatchesSettings(place="stream"))


def test_a_place_that_is_not_there_is_refused(setup):
    examples = load_clip_dataset(setup.features, setup.tables, setup.split, setup.task, ("train",))
    normalisation = Normalisation.from_bands(*examples.normalisation())
    with pytest.raises(ConfigError, match="place: device needs a GPU"):
        source = Source(examples.subset("train"), "spectrogram", normalisation)
        open_batches(examples, {"train": source}, BatchesSettings(place="device"), CPU)


def test_stores_of_other_spectrograms_than_the_jobs_are_refused(setup, tmp_path):
    other = setup.job.spectrogram.model_copy(update={"n_mels": 16})
    with pytest.raises(DataError, match=r"hold spectrograms of \[32 mel, 40 frames\], the job asks for \[16 mel, 40"):
        train(setup, tmp_path, setup.job.model_copy(update={"spectrogram": other}))


def test_where_batches_come_from_is_logged_and_workers_change_nothing(setup, tmp_path, caplog):
    job = setup.with_train(**ALL_THAT_HAS_A_STATE, batches={**STREAM, "workers": 0})
    job = job.model_copy(update={"augment": AUGMENT})
    with caplog.at_level("INFO"):
        train(setup, tmp_path / "none", job)
    assert "streamed from the disk by 0 workers" in caplog.text
    two = setup.with_train(**ALL_THAT_HAS_A_STATE, batches={**STREAM, "workers": 2})
    train(setup, tmp_path / "two", two.model_copy(update={"augment": AUGMENT}))
    ours, theirs = results(tmp_path / "none"), results(tmp_path / "two")
    assert ours[0] == theirs[0]
    assert ours[2] == theirs[2]
    # The number of workers may change between two attempts: a finished training is not begun again.
    with caplog.at_level("INFO"):
        train(setup, tmp_path / "none", two.model_copy(update={"augment": AUGMENT}))
    assert "under other settings" not in caplog.text


def test_a_signal_to_the_whole_group_leaves_no_worker_behind(setup, tmp_path):
    job = setup.with_train(epochs=100_000, save={"every_epochs": 100_000}, batches={**STREAM, "workers": 2})
    training = start_training(setup, job, tmp_path)
    children = {}

    def has_workers():
        for child in psutil.Process(training.pid).children(recursive=True):
            children[child.pid] = child
        return progress_of(tmp_path).get("step", 0) > 3 and children

    wait_until(has_workers, training, timeout_s=200)
    asked = time.monotonic()
    os.killpg(training.pid, signal.SIGTERM)
    _, errors = training.communicate(timeout=200)
    assert time.monotonic() - asked < 10
    assert training.returncode == 143, errors
    assert not [child for child in children.values() if child.is_running() and child.status() != "zombie"]
    assert progress_of(tmp_path)["reason"] == "SIGTERM"


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.soak)])
def test_a_store_ten_times_the_budget_is_streamed_in_bounded_memory(tmp_path, workers):
    """What the run adds to the process and its workers stays under the budget plus 500 MB."""
    import subprocess
    import sys

    script = f"""
import sys, threading, time
from pathlib import Path
import psutil, torch, pandas, lightning_fabric
from tests.unit.training.conftest import make_setup
from auscult.training.train import train
setup = make_setup(Path({str(tmp_path)!r}), n_patients=24, clips_each=1500, shape=(64, 209))
size = sum(path.stat().st_size for path in setup.features["toy"])
batches = {{"host_budget_mb": int(size / 1e6 / 10), "workers": {workers}}}
job = setup.with_train(epochs=1, batch_size=64, batches=batches)
large = job.spectrogram.model_copy(update={{"n_mels": 64, "hop_samples": 18}})
job = job.model_copy(update={{"spectrogram": large}})
def memory():
    me = psutil.Process()
    total = 0
    for process in [me, *me.children(recursive=True)]:
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            pass
    return total
before, peak, done = memory(), [0], threading.Event()
def look():
    while not done.wait(0.1):
        peak[0] = max(peak[0], memory())
thread = threading.Thread(target=look, daemon=True); thread.start()
train(**setup.inputs, job=job, output_dir=Path({str(tmp_path)!r}) / "run", device="cpu", threads=1)
done.set(); thread.join()
print(size / 1e6, (peak[0] - before) / 1e6)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False,
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    size_mb, added_mb = map(float, done.stdout.split()[-2:])
    assert size_mb > 400
    assert added_mb < size_mb / 10 + 500, (size_mb, added_mb)
    print(f"store {size_mb:.0f} MB, memory added {added_mb:.0f} MB")  # noqa: T201


def test_the_budget_of_a_run_is_what_its_settings_say(setup, tmp_path, monkeypatch):
    seen = []
    original = stage.open_batches
    monkeypatch.setattr(stage, "open_batches", lambda *args, **kw: seen.append(original(*args, **kw)) or seen[-1])
    train(setup, tmp_path, setup.with_train(epochs=1))
    assert isinstance(seen[0]["train"], ResidentBatches)
