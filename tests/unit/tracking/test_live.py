import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from auscult import tracking
from auscult.config import TrackingSettings
from auscult.tracking import journal as journal_module
from auscult.tracking.live_run import LiveRun
from auscult.tracking.memo import LiveRequest, read_memo
from auscult.tracking.points import read_history
from auscult.tracking.system import SYSTEM_FILE, Sampler, parse_gpus, read_system

PARAMS = {"model.name": "mixednet", "train.epochs": "12"}
REQUEST = LiveRequest("pneumonia", "pneumonia/train2356", "1", "train2356/1 mixednet", PARAMS)


def write_rows(folder, n, *, first_loss=0.9):
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {"epoch": k, "train/loss": first_loss / k, "val/auroc": None if k == 1 else 1 - 1 / k, "epoch_s": 0.1 * k}
        for k in range(1, n + 1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rows


def points_of(client, run_id):
    """Every point that the store holds, doubles too."""
    return sorted(
        (metric.step, key, metric.value)
        for key in client.get_run(run_id).data.metrics
        if not key.startswith("system/")
        for metric in client.get_metric_history(run_id, key)
    )


def points_in(folder):
    return [(point.step, point.key, point.value) for point in read_history(folder / "metrics.jsonl")]


def sent(folder, uri, n, request=REQUEST):
    """An attempt that sends `n` epochs and ends without a word."""
    run = LiveRun(folder, uri, request)
    run.remember()
    assert run.send(n)
    return run.run_id


def test_a_resumed_training_goes_on_with_its_run_without_double_points(tmp_path, store_uri, client):
    folder = tmp_path / "run"
    write_rows(folder, 2)
    first = sent(folder, store_uri, 2)
    write_rows(folder, 5)
    assert sent(folder, store_uri, 5) == first
    assert points_of(client, first) == points_in(folder)
    run = client.get_run(first)
    assert (run.info.status, run.data.tags["auscult.attempts"]) == ("RUNNING", "2")
    assert run.data.params == PARAMS
    assert run.data.tags["auscult.result"] == "results/pneumonia/train2356"


def test_epochs_are_sent_only_as_far_as_they_are_saved(tmp_path, store_uri, client):
    folder = tmp_path / "run"
    write_rows(folder, 5)
    run_id = sent(folder, store_uri, 3)
    assert {step for step, _, _ in points_of(client, run_id)} == {1, 2, 3}
    # Of a file that is just being written again nothing is sent.
    assert not LiveRun(folder, store_uri, REQUEST).send(6)


@pytest.mark.parametrize("change", ["history", "settings"])
def test_another_training_in_the_folder_is_another_run_and_the_killed_one_is_closed(
    tmp_path, store_uri, client, change
):
    folder = tmp_path / "run"
    write_rows(folder, 3)
    first = sent(folder, store_uri, 3)
    write_rows(folder, 3, first_loss=0.5 if change == "history" else 0.9)
    request = REQUEST
    if change == "settings":
        request = LiveRequest("pneumonia", "pneumonia/train2356", "1", "n", {**PARAMS, "train.epochs": "3"})
    second = sent(folder, store_uri, 3, request)
    assert second != first
    before = client.get_run(first)
    assert (before.info.status, before.data.tags["auscult.superseded"]) == ("KILLED", second)
    assert points_of(client, second) == points_in(folder)


def test_the_next_start_closes_silent_runs_and_leaves_those_that_live(tmp_path, store_uri, client):
    runs = {}
    for name in ("silent", "alive"):
        write_rows(tmp_path / name, 1)
        runs[name] = sent(tmp_path / name, store_uri, 1)
    client.set_tag(runs["silent"], "auscult.seen", str(int(time.time()) - 3600))
    write_rows(tmp_path / "next", 1)
    sent(tmp_path / "next", store_uri, 1)
    assert client.get_run(runs["silent"]).info.status == "KILLED"
    assert client.get_run(runs["alive"]).info.status == "RUNNING"


def test_what_a_lost_answer_hides_is_asked_for_before_it_is_sent_again(tmp_path, store_uri, client, monkeypatch):
    from auscult.tracking.writer import RunWriter

    folder = tmp_path / "run"
    write_rows(folder, 2)
    run = LiveRun(folder, store_uri, REQUEST)
    assert run.send(2)
    full = RunWriter.points

    def without_answer(self, run_id, points):
        full(self, run_id, points)
        raise TimeoutError("no answer")

    write_rows(folder, 4)
    with monkeypatch.context() as patch:
        patch.setattr(RunWriter, "points", without_answer)
        with pytest.raises(TimeoutError):
            run.send(4)
    assert run.send(4)
    assert points_of(client, run.run_id) == points_in(folder)


def test_the_step_track_goes_on_with_the_run_that_grew(  # noqa: PLR0917 (fixtures)
    experiment, task, job_dirs, store_uri, client, provenance, tmp_path
):
    folder = job_dirs[0]
    params = {"model.name": experiment.jobs[0].model.name}
    request = LiveRequest("pneumonia", "pneumonia/train2356", "1", "train2356/1", params)
    grown = sent(folder, store_uri, 7, request)
    output = tmp_path / "tracked.json"
    for _ in range(2):
        tracking.run(
            experiment, task, job_dirs, tracking=TrackingSettings(uri=store_uri), output=output, provenance=provenance
        )
        report = json.loads(output.read_text())
        assert report["complete"], report["reason"]
        assert report["children"]["1"] == grown
        run = client.get_run(grown)
        assert (run.info.status, run.info.run_name) == ("FINISHED", "train2356/1 mixednet")
        assert run.data.tags["mlflow.parentRunId"] == report["parent"]
        of_training = [point for point in points_of(client, grown) if point[1] in {p[1] for p in points_in(folder)}]
        assert of_training == points_in(folder)
        assert run.data.metrics["test/auroc"] == pytest.approx(0.93)


def test_a_training_stands_below_its_experiment_once_that_was_logged(  # noqa: PLR0917 (fixtures)
    experiment, task, job_dirs, store_uri, client, provenance, tmp_path
):
    output = tmp_path / "tracked.json"
    where = TrackingSettings(uri=store_uri)
    tracking.run(experiment, task, job_dirs, tracking=where, output=output, provenance=provenance)
    write_rows(tmp_path / "again", 1)
    run_id = sent(tmp_path / "again", store_uri, 1)
    assert client.get_run(run_id).data.tags["mlflow.parentRunId"] == json.loads(output.read_text())["parent"]


# --- the process beside a training ---


@pytest.fixture
def job(experiment):
    return experiment.jobs[0]


def closed_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def follow(uri, job, task, folder, **settings):
    folder.mkdir(parents=True, exist_ok=True)
    where = TrackingSettings(uri=uri, **settings)
    return tracking.live(where, name=("pneumonia", "train2356", "1"), job=job, task=task, folder=folder)


def test_a_server_that_is_down_costs_a_training_nothing(tmp_path, job, task, caplog):
    folder = tmp_path / "run"
    start = time.monotonic()
    with follow(f"http://127.0.0.1:{closed_port()}", job, task, folder) as journal:
        journal.start([])
        for n in range(1, 4):
            journal.saved(write_rows(folder, n))
        told = time.monotonic() - start
    assert told < 2
    # Waiting to be reached by `auscult sync`: it knows what to log.
    memo = read_memo(folder)
    assert (memo.run, memo.request.job, memo.request.params["model.name"]) == (None, "1", "mixednet")
    assert caplog.text == ""


def test_a_server_that_hangs_never_blocks_and_ends_in_a_warning(tmp_path, job, task, monkeypatch, caplog):
    monkeypatch.setattr(journal_module, "FLUSH_S", 1.0)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        folder = tmp_path / "run"
        rows = write_rows(folder, 2)
        with (
            caplog.at_level(logging.WARNING),
            follow(f"http://127.0.0.1:{silent.getsockname()[1]}", job, task, folder) as journal,
        ):
            journal.start([])
            # The process that should listen stands still, too: far more than a pipe holds is said, at once.
            os.kill(journal._process.pid, signal.SIGSTOP)
            start = time.monotonic()
            for n in range(40_000):
                journal.saved(rows[:1] if n % 2 else rows)
            assert time.monotonic() - start < 20
            pid = journal._process.pid
    assert "does not answer" in caplog.text
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_killed_training_takes_its_process_with_it(tmp_path):
    code = """
import os, sys, time
from pathlib import Path
from auscult.tracking.journal import LiveJournal
from auscult.tracking.memo import LiveRequest
journal = LiveJournal(Path(sys.argv[1]), LiveRequest("t", "t/e", "1", "n", {}), uri=None, system_s=60.0)
journal.start([])
print(journal._process.pid, flush=True)
time.sleep(600)
"""
    training = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    pid = int(training.stdout.readline())
    deadline = time.monotonic() + 60
    while not (tmp_path / SYSTEM_FILE).exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    training.kill()
    training.wait()
    training.stdout.close()
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # It looked at the machine once before it left.
    assert {point.step for point in read_system(tmp_path / SYSTEM_FILE)} == {0}


def test_with_an_sqlite_file_the_machine_is_watched_and_nothing_is_sent(tmp_path, job, task, store_uri, client):
    folder = tmp_path / "run"
    with follow(store_uri, job, task, folder) as journal:
        journal.start([])
        journal.saved(write_rows(folder, 1))
    assert {point.key for point in read_system(folder / SYSTEM_FILE)} >= {
        "system/cpu_utilization_percentage",
        "system/process_memory_usage_megabytes",
    }
    assert client.search_runs([experiment.experiment_id for experiment in client.search_experiments()]) == []


@pytest.mark.parametrize("settings", [{"enabled": False}, {"system_metrics_s": None}])
def test_what_is_off_starts_no_process(tmp_path, job, task, settings):
    with follow("sqlite:///mlflow.db", job, task, tmp_path, **settings) as journal:
        assert journal is None


def test_the_importing_of_mlflow_is_left_to_the_other_process(tmp_path):
    code = "import sys, auscult.tracking.journal, auscult.tracking.follow; print({'mlflow', 'torch'} & {*sys.modules})"
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == "set()"


# --- the machine ---


def test_looks_at_the_machine_are_numbered_on_after_a_resume(tmp_path):
    clock = iter(range(1000, 9000, 1000))
    sampler = Sampler(tmp_path, os.getpid(), lambda: next(clock))
    sampler.start(fresh=True)
    sampler.sample()
    sampler.sample()
    with (tmp_path / SYSTEM_FILE).open("a") as stream:
        stream.write('{"step": 2, "time_')
    again = Sampler(tmp_path, os.getpid(), lambda: next(clock))
    again.start(fresh=False)
    assert again.step == 2
    points = read_system(tmp_path / SYSTEM_FILE)
    assert [(p.step, p.timestamp_ms) for p in points if p.key == "system/cpu_utilization_percentage"] == [
        (0, 1000),
        (1, 2000),
    ]
    memory = [p.value for p in points if p.key == "system/process_memory_usage_megabytes"]
    assert all(10 < value < 100_000 for value in memory)


def test_gpus_are_read_as_nvidia_smi_tells_them():
    assert dict(parse_gpus("0, 45, 2048, 8192, 71.5\n1, [N/A], 0, 8192, [N/A]\n")) == {
        "gpu_0_utilization_percentage": 45.0,
        "gpu_0_memory_usage_megabytes": 2048.0,
        "gpu_0_memory_usage_percentage": 25.0,
        "gpu_0_power_usage_watts": 71.5,
        "gpu_1_memory_usage_megabytes": 0.0,
        "gpu_1_memory_usage_percentage": 0.0,
    }
