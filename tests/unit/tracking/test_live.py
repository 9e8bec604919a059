import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from tests.unit.training.conftest import make_setup

from auscult import tracking
from auscult.config import TrackingSettings
from auscult.storage.files import write_text
from auscult.tracking.follower import LiveRun
from auscult.tracking.live import LiveRequest, read_run_state
from auscult.tracking.metrics import read_epochs, read_history
from auscult.tracking.system import SYSTEM_FILE, read_system
from auscult.training.train import train

PARAMS = {"model.name": "mixednet", "train.epochs": "12"}
REQUEST = LiveRequest("pneumonia", "pneumonia/train2356", "1", "train2356/1 mixednet", PARAMS)


def write_rows(folder, n, *, first_loss=0.9):
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {"epoch": k, "train/loss": first_loss / k, "val/auroc": None if k == 1 else 1 - 1 / k, "epoch_s": 0.1 * k}
        for k in range(1, n + 1)
    ]
    # As a training does when it begins: in one piece.
    write_text(folder / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
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


def sent(folder, uri, request=REQUEST):
    """A session that sends what `metrics.jsonl` holds and ends without a word."""
    run = LiveRun(folder, uri, request)
    epochs = read_epochs(folder / "metrics.jsonl")
    run.remember(epochs)
    run.send(epochs)
    return run.run_id


def test_a_resumed_training_goes_on_with_its_run_without_double_points(tmp_path, store_uri, client):
    folder = tmp_path / "run"
    write_rows(folder, 2)
    first = sent(folder, store_uri)
    write_rows(folder, 5)
    assert sent(folder, store_uri) == first
    assert points_of(client, first) == points_in(folder)
    run = client.get_run(first)
    assert (run.info.status, run.data.tags["auscult.attempts"]) == ("RUNNING", "2")
    assert run.data.params == PARAMS
    assert run.data.tags["auscult.result"] == "results/pneumonia/train2356"


@pytest.mark.parametrize("is_equal", [True, False])
def test_an_epoch_that_was_logged_and_lost_before_it_was_saved_is_trained_again(tmp_path, store_uri, client, is_equal):
    folder = tmp_path / "run"
    write_rows(folder, 3)
    first = sent(folder, store_uri)
    write_rows(folder, 2)
    run = LiveRun(folder, store_uri, REQUEST)
    run.remember(read_epochs(folder / "metrics.jsonl"))
    for n in (2, 3, 4):
        rows = write_rows(folder, n)
        if n > 2:
            # Never as fast as before; on a GPU not as good either.
            rows[2] |= {"epoch_s": 77.0} if is_equal else {"epoch_s": 77.0, "train/loss": 0.25}
            write_text(folder / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        run.send(read_epochs(folder / "metrics.jsonl"))
        assert run.run_id == first or not is_equal
    logged = points_of(client, run.run_id)
    assert len(logged) == len({(step, key) for step, key, _ in logged})
    if is_equal:
        assert [p for p in logged if p[1] != "train/epoch_s"] == [
            p for p in points_in(folder) if p[1] != "train/epoch_s"
        ]
        assert client.get_run(first).info.status == "RUNNING"
    else:
        assert run.run_id != first
        assert logged == points_in(folder)
        before = client.get_run(first)
        assert (before.info.status, before.data.tags["auscult.superseded"]) == ("KILLED", run.run_id)


@pytest.mark.parametrize("change", ["history", "settings"])
def test_another_training_in_the_folder_is_another_run_and_the_killed_one_is_closed(
    tmp_path, store_uri, client, change
):
    folder = tmp_path / "run"
    write_rows(folder, 3)
    first = sent(folder, store_uri)
    write_rows(folder, 3, first_loss=0.5 if change == "history" else 0.9)
    request = REQUEST
    if change == "settings":
        request = LiveRequest("pneumonia", "pneumonia/train2356", "1", "n", {**PARAMS, "train.epochs": "3"})
    second = sent(folder, store_uri, request)
    assert second != first
    before = client.get_run(first)
    assert (before.info.status, before.data.tags["auscult.superseded"]) == ("KILLED", second)
    assert points_of(client, second) == points_in(folder)


def test_the_next_start_closes_silent_runs_and_leaves_those_that_live(tmp_path, store_uri, client):
    runs = {}
    for name in ("silent", "alive"):
        write_rows(tmp_path / name, 1)
        runs[name] = sent(tmp_path / name, store_uri)
    client.set_tag(runs["silent"], "auscult.seen", str(int(time.time()) - 3600))
    write_rows(tmp_path / "next", 1)
    sent(tmp_path / "next", store_uri)
    assert client.get_run(runs["silent"]).info.status == "KILLED"
    assert client.get_run(runs["alive"]).info.status == "RUNNING"


def test_what_a_lost_answer_hides_is_asked_for_before_it_is_sent_again(tmp_path, store_uri, client, monkeypatch):
    from auscult.tracking.writer import RunWriter

    folder = tmp_path / "run"
    write_rows(folder, 2)
    run = LiveRun(folder, store_uri, REQUEST)
    run.send(read_epochs(folder / "metrics.jsonl"))
    full = RunWriter.points

    def without_answer(self, run_id, points):
        full(self, run_id, points)
        raise TimeoutError("no answer")

    write_rows(folder, 4)
    with monkeypatch.context() as patch:
        patch.setattr(RunWriter, "points", without_answer)
        with pytest.raises(TimeoutError):
            run.send(read_epochs(folder / "metrics.jsonl"))
    run.send(read_epochs(folder / "metrics.jsonl"))
    assert points_of(client, run.run_id) == points_in(folder)


def test_the_step_track_goes_on_with_the_run_that_grew(  # noqa: PLR0917 (fixtures)
    experiment, task, job_dirs, store_uri, client, provenance, tmp_path
):
    folder = job_dirs[0]
    params = {"model.name": experiment.jobs[0].model.name}
    request = LiveRequest("pneumonia", "pneumonia/train2356", "1", "train2356/1", params)
    grown = sent(folder, store_uri, request)
    output = tmp_path / "tracked.json"
    for _ in range(2):
        tracking.track(
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
    tracking.track(experiment, task, job_dirs, tracking=where, output=output, provenance=provenance)
    write_rows(tmp_path / "again", 1)
    run_id = sent(tmp_path / "again", store_uri)
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
    with follow(f"http://127.0.0.1:{closed_port()}", job, task, folder):
        for n in range(4):
            write_rows(folder, n)
        told = time.monotonic() - start
    assert told < 2
    # Waiting to be reached by `auscult sync`: it knows what to log.
    state = read_run_state(folder)
    assert (state.run, state.request.job, state.request.params["model.name"]) == (None, "1", "mixednet")
    assert sorted(state.times_ms) == [1, 2, 3]
    assert caplog.text == ""


def follower_of(pid):
    """The process number of a process's follower."""
    (child,) = [
        child for child in psutil.Process(pid).children() if "auscult.tracking.follower" in " ".join(child.cmdline())
    ]
    return child.pid


def test_a_server_that_hangs_never_blocks_and_ends_in_a_warning(tmp_path, job, task, monkeypatch, caplog):
    monkeypatch.setattr(sys.modules["auscult.tracking.live"], "FLUSH_S", 1.0)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        folder = tmp_path / "run"
        with (
            caplog.at_level(logging.WARNING),
            follow(f"http://127.0.0.1:{silent.getsockname()[1]}", job, task, folder),
        ):
            write_rows(folder, 2)
            # The process that should listen stands still, too.
            pid = follower_of(os.getpid())
            os.kill(pid, signal.SIGSTOP)
            start = time.monotonic()
        assert 1 <= time.monotonic() - start < 5
    assert "does not answer" in caplog.text
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


TRAINING = """
import sys, time
from pathlib import Path
from auscult.tracking.live import LiveRequest, start_follower
folder = Path(sys.argv[1])
process = start_follower(folder, LiveRequest("t", "t/e", "1", "n", {}), uri=None, system_s=60.0)
(folder / "metrics.jsonl").write_text("")
print(process.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_training_takes_its_process_with_it(tmp_path, number):
    training = subprocess.Popen([sys.executable, "-c", TRAINING, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    pid = int(training.stdout.readline())
    deadline = time.monotonic() + 60
    while not (tmp_path / SYSTEM_FILE).exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    training.send_signal(number)
    training.wait()
    training.stdout.close()
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # It looked at the machine once before it left.
    assert {point.step for point in read_system(tmp_path / SYSTEM_FILE)} == {0}
    assert (tmp_path / "tracking.log").read_text() == ""


def replace_python(folder, monkeypatch, code):
    """Let another program stand in for the process beside a training."""
    program = folder / "python"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}"\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


@pytest.mark.parametrize(
    ("leave", "status"),
    [
        (None, "FINISHED"),
        (ValueError("diverged"), "FAILED"),
        (SystemExit(143), "KILLED"),
        (KeyboardInterrupt(), "KILLED"),
    ],
)
def test_how_a_training_ended_is_the_last_word(tmp_path, job, task, monkeypatch, leave, status):  # noqa: PLR0917 (fixtures)
    said = tmp_path / "said"
    replace_python(
        tmp_path, monkeypatch, f"import sys; sys.stdin.readline(); open('{said}', 'w').write(sys.stdin.read())"
    )
    with suppress(ValueError, SystemExit, KeyboardInterrupt), follow("http://127.0.0.1:9", job, task, tmp_path / "run"):
        if leave is not None:
            raise leave
    assert said.read_text() == status


def test_a_process_that_fails_costs_a_warning(tmp_path, job, task, monkeypatch, caplog):
    replace_python(tmp_path, monkeypatch, "import sys; sys.exit('no room')")
    with follow("http://127.0.0.1:9", job, task, tmp_path / "run"):
        pass
    assert "tracking.log in its folder says why" in caplog.text
    assert (tmp_path / "run" / "tracking.log").read_text() == "no room\n"
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    with follow("http://127.0.0.1:9", job, task, tmp_path / "run"):
        pass
    assert "the training is not logged while it runs" in caplog.text


def test_with_an_sqlite_file_the_machine_is_watched_and_nothing_is_sent(tmp_path, job, task, store_uri, client):
    folder = tmp_path / "run"
    with follow(store_uri, job, task, folder):
        write_rows(folder, 1)
    assert {point.key for point in read_system(folder / SYSTEM_FILE)} >= {
        "system/cpu_utilization_percentage",
        "system/process_memory_usage_megabytes",
    }
    assert client.search_runs([experiment.experiment_id for experiment in client.search_experiments()]) == []


def test_a_real_training_is_followed_again_when_it_is_resumed(tmp_path, task):
    setup = make_setup(tmp_path / "data")
    job = setup.with_train(epochs=2)
    folder = tmp_path / "run"
    for _ in range(2):
        with follow("sqlite:///mlflow.db", job, task, folder):
            train(**{**setup.inputs, "job": job}, output_dir=folder, device="cpu")
    assert {point.step for point in read_system(folder / SYSTEM_FILE)} == {0, 1}
    assert [*read_epochs(folder / "metrics.jsonl")] == [1, 2]


@pytest.mark.parametrize("settings", [{"enabled": False}, {"system_metrics_s": None}])
def test_what_is_off_starts_no_process(tmp_path, job, task, settings):
    with follow("sqlite:///mlflow.db", job, task, tmp_path, **settings):
        assert psutil.Process().children() == []


def test_no_process_follows_a_model_that_is_only_evaluated_or_a_second_device(tmp_path, job, task, monkeypatch):
    judged = job.model_copy(update={"evaluate_only": "results/pneumonia/train2356/1"})
    with follow("http://127.0.0.1:9", judged, task, tmp_path):
        assert psutil.Process().children() == []
    monkeypatch.setenv("LOCAL_RANK", "1")
    on_two = job.model_copy(update={"train": job.train.model_copy(update={"devices": 2})})
    with follow("http://127.0.0.1:9", on_two, task, tmp_path):
        assert psutil.Process().children() == []


def test_the_importing_of_mlflow_is_left_to_the_other_process(tmp_path):
    code = "import sys, auscult.tracking.live, auscult.tracking.follower; print({'mlflow', 'torch'} & {*sys.modules})"
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == "set()"
