import json
import os
import shutil

import pytest
from tests.unit.tracking.test_live import REQUEST, closed_port, points_in, points_of, write_rows
from typer.testing import CliRunner

from auscult import tracking
from auscult.cli import app
from auscult.config import TrackingSettings
from auscult.errors import ConfigError
from auscult.tracking.live import RunState, read_run_state
from auscult.tracking.sync import find_experiments, sync


@pytest.fixture
def runs(tmp_path, job_dirs):
    """`work/runs` with one evaluated experiment, and a training of another one that was killed."""
    runs = tmp_path / "work" / "runs"
    runs.mkdir(parents=True)
    shutil.move(job_dirs[0].parent, runs / "pneumonia" / "train2356")
    write_rows(runs / "pneumonia" / "lost" / "1" / "fold1", 4)
    RunState(store="http://gone:5000", request=REQUEST).write(runs / "pneumonia" / "lost" / "1" / "fold1")
    return runs


@pytest.fixture
def missed(runs, experiment, task, provenance):
    """The experiment, whose step `track` found no server."""
    folder = runs / "pneumonia" / "train2356"
    where = TrackingSettings(uri=f"http://127.0.0.1:{closed_port()}")
    job_dirs = [folder / "1", folder / "2"]
    tracking.track(experiment, task, job_dirs, tracking=where, output=folder / "tracked.json", provenance=provenance)
    assert json.loads((folder / "tracked.json").read_text())["reached"] is False
    return folder


def by_name(done):
    return {entry.name: entry.status for entry in done}


def test_what_a_server_missed_is_logged_once(missed, store_uri, client):
    before = (missed / "tracked.json").stat().st_mtime_ns
    where = TrackingSettings(uri=store_uri)
    assert by_name(sync(missed, where, is_running=lambda path: False)) == {"pneumonia/train2356": "logged"}
    report = json.loads((missed / "tracked.json").read_text())
    assert report["complete"] is True
    # An older file would not do harm, a newer one would publish the result again.
    assert (missed / "tracked.json").stat().st_mtime_ns == before
    for job, run_id in report["children"].items():
        keys = {key for _, key, _ in points_in(missed / job)}
        assert [point for point in points_of(client, run_id) if point[1] in keys] == points_in(missed / job)
    runs = client.search_runs([report["experiment"]["id"]])
    assert by_name(sync(missed, where, is_running=lambda path: False)) == {"pneumonia/train2356": "whole"}
    assert by_name(sync(missed, where, is_running=lambda path: False, again=True)) == {"pneumonia/train2356": "logged"}
    assert len(client.search_runs([report["experiment"]["id"]])) == len(runs) == 3


def test_a_training_that_was_never_evaluated_is_logged_as_killed(runs, store_uri, client):
    folder = runs / "pneumonia" / "lost"
    (done,) = sync(folder, TrackingSettings(uri=store_uri), is_running=lambda path: False)
    assert (done.name, done.status) == ("pneumonia/lost/1/fold1", "logged")
    run_id = read_run_state(folder / "1" / "fold1").run
    assert client.get_run(run_id).info.status == "KILLED"
    assert points_of(client, run_id) == points_in(folder / "1" / "fold1")
    (done,) = sync(folder, TrackingSettings(uri=store_uri), is_running=lambda path: True)
    assert done.status == "running"


def test_an_experiment_trained_anew_since_is_not_logged_with_its_old_settings(missed, store_uri):
    os.utime(missed / "1" / "metrics.json")
    done = sync(missed, TrackingSettings(uri=store_uri), is_running=lambda path: False)
    assert by_name(done) == {"pneumonia/train2356/1": "waiting", "pneumonia/train2356/2": "waiting"}


def test_results_are_named_as_they_are_published(runs):
    folder = runs / "pneumonia" / "train2356"
    for name in ("results/pneumonia/train2356", "results/pneumonia/train2356/", "pneumonia/train2356"):
        assert find_experiments(runs, [name]) == [folder]
    assert find_experiments(runs, []) == [runs / "pneumonia" / "lost", folder]
    with pytest.raises(ConfigError, match="did you mean 'pneumonia/train2356'"):
        find_experiments(runs, ["results/pneumonia/train2355"])


def test_the_command_tells_what_it_did_and_fails_when_nothing_answers(missed, runs, store_uri):
    done = CliRunner().invoke(app, ["sync", "--runs", str(runs), "--uri", store_uri])
    assert done.exit_code == 0, done.output
    assert "pneumonia/train2356: logged: 2 runs" in done.output
    assert "pneumonia/lost/1/fold1: logged: 4 epochs" in done.output
    down = CliRunner().invoke(app, ["sync", "--runs", str(runs), "--uri", f"http://127.0.0.1:{closed_port()}"])
    assert down.exit_code == 1
    assert "does not answer" in str(down.exception)
