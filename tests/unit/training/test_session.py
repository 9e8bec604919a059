import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from auscult.errors import ConfigError
from auscult.training.session import Stop, TrainingStopped
from auscult.training.train import choose_budget_s

SCRIPT = """
import sys, json
from pathlib import Path
from auscult.config import JobSettings, TaskSettings
from auscult.training.train import train
given = json.loads(Path(sys.argv[1]).read_text())
train(
    features={name: [Path(path) for path in paths] for name, paths in given["features"].items()},
    tables={name: Path(path) for name, path in given["tables"].items()},
    split=Path(given["split"]),
    job=JobSettings.model_validate(given["job"]),
    task=TaskSettings.model_validate(given["task"]),
    output_dir=Path(sys.argv[2]),
    device="cpu",
    threads=1,
    budget_s=given["budget_s"],
)
"""


def start_training(setup, job, folder, budget_s=None):
    folder.mkdir(parents=True, exist_ok=True)
    given = {
        "features": {name: [str(path) for path in paths] for name, paths in setup.features.items()},
        "tables": {name: str(path) for name, path in setup.tables.items()},
        "split": str(setup.split),
        "job": job.model_dump(mode="json"),
        "task": setup.task.model_dump(mode="json"),
        "budget_s": budget_s,
    }
    path = folder / "given.json"
    path.write_text(json.dumps(given))
    # A file: rank zero starts the other processes by it.
    script = folder / "train.py"
    script.write_text(SCRIPT)
    return subprocess.Popen(
        [sys.executable, str(script), str(path), str(folder)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def progress_of(folder: Path):
    path = folder / "state" / "progress.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def wait_until(condition, training, timeout_s=200):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert training.poll() is None, training.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_ends_the_process(setup, tmp_path, number, exit_code):
    job = setup.with_train(epochs=100_000, save={"every_epochs": 100_000})
    training = start_training(setup, job, tmp_path)
    wait_until(lambda: progress_of(tmp_path).get("step", 0) > 5, training)
    children = psutil.Process(training.pid).children(recursive=True)
    # Twice, and to the whole group: as a terminal, Snakemake and Slurm do.
    os.killpg(training.pid, number)
    time.sleep(0.01)
    os.killpg(training.pid, number)
    _, errors = training.communicate(timeout=200)
    assert training.returncode == exit_code, errors
    assert not [child for child in children if child.is_running()]
    progress = progress_of(tmp_path)
    assert (progress["status"], progress["reason"]) == ("stopped", number.name)
    assert not (tmp_path / "state" / "lock.json").exists()
    (manifest,) = tmp_path.glob("state/*/[0-9]*.json")
    assert json.loads(manifest.read_text())["epoch"] == progress["epoch"] > 1
    again = start_training(setup, job, tmp_path, budget_s=1)
    again.communicate(timeout=200)
    assert again.returncode == 75
    progress = progress_of(tmp_path)
    assert progress["attempt"] == 2
    assert progress["resumed_because"] == f"stopped: {number.name}"
    assert "budget of 1 s is over" in progress["reason"]


def test_outside_the_loop_a_signal_ends_at_once():
    stop = Stop()
    with stop.listening(), pytest.raises(TrainingStopped, match="SIGTERM") as stopped:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    assert stopped.value.code == 143


def test_without_a_signal_the_handlers_come_back():
    before = signal.getsignal(signal.SIGINT)
    with Stop().listening():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_inside_it_is_noted_and_a_further_one_does_not_change_how_the_process_ends():
    stop = Stop()
    with stop.listening(), stop.deferred():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.reason.exit_code == 130
    assert signal.getsignal(signal.SIGINT) == signal.getsignal(signal.SIGTERM) == signal.SIG_IGN


def test_a_thread_takes_no_signals():
    seen = []

    def listen():
        with Stop().listening():
            seen.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert seen == [before]


def test_the_budget_is_over_by_the_clock():
    now = [100.0]
    stop = Stop(10.0, clock=lambda: now[0])
    assert stop.reason is None
    now[0] = 110.0
    assert stop.reason.exit_code == 75
    assert Stop(None, clock=lambda: now[0]).reason is None


@pytest.mark.parametrize("text", ["soon", "0", "-5", "inf", "nan"])
def test_a_budget_must_be_a_number_of_seconds(text):
    with pytest.raises(ConfigError, match="AUSCULT_BUDGET_S: found"):
        choose_budget_s({"AUSCULT_BUDGET_S": text}, None, None)


def test_a_short_runtime_leaves_a_minute():
    assert choose_budget_s({}, None, 1) == 60.0
    assert choose_budget_s({}, None, None) is None
