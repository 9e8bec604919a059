"""An MLflow server on PostgreSQL: eight jobs at once; one that dies in the middle of a training; what it then holds."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from tests.workflow.conftest import CORES, TRACKED
from tests.workflow.tracking_server import Server, postgres_server

from auscult.tracking.metrics import read_history

pytestmark = pytest.mark.slow

JOB_CODE = """
import json, sys, time
from pathlib import Path
from tests.unit.tracking.conftest import CONFIG, EPOCHS, write_job
from auscult import tracking
from auscult.config import TrackingSettings, load_experiment, load_task
from auscult.storage.files import write_text
from auscult.tracking.live import read_run_state

folder, uri, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
where = TrackingSettings(uri=uri, system_metrics_s=1.0, register_model=True)
task = load_task(CONFIG, "pneumonia")
base = load_experiment(CONFIG, "pneumonia", "train2356")
experiment = base.model_copy(update={"name": f"at_once_{number}", "jobs": base.jobs[:1]})
job_dir = write_job(folder / str(number), number, 0.9)
lines = (job_dir / "metrics.jsonl").read_text().splitlines(keepends=True)
assert len(lines) == EPOCHS
name = ("pneumonia", experiment.name, "1")
with tracking.live(where, name=name, job=experiment.jobs[0], task=task, folder=job_dir):
    # As a training does: the file anew, then a line an epoch.
    write_text(job_dir / "metrics.jsonl", "")
    for line in lines:
        with (job_dir / "metrics.jsonl").open("a") as stream:
            stream.write(line)
    # A training that is over at once waits only five seconds: eight imports of MLflow at once take longer.
    deadline = time.monotonic() + 120
    while read_run_state(job_dir).run is None and time.monotonic() < deadline:
        time.sleep(0.2)
provenance = {"command": "snakemake", "git": {"commit": "unknown", "branch": "main", "dirty": False},
              "data": {"md5": "unknown"}, "inputs": {}}
output = job_dir / "tracked.json"
tracking.track(experiment, task, [job_dir], tracking=where, output=output, provenance=provenance)
report = json.loads(output.read_text())
assert report["complete"], report
print(json.dumps(report))
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with postgres_server(tmp_path_factory.mktemp("server")) as (server, postgres):
        yield server, postgres


@pytest.fixture
def client(served):
    from auscult.tracking.store import connect

    before = dict(os.environ)
    yield connect(served[0].uri)
    os.environ.clear()
    os.environ.update(before)


def python_path(folder):
    """What programs of a test import from: `folder`, and where this test does."""
    return os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])


def points_of(client, run_id):
    return Counter(
        (metric.key, metric.step, metric.value)
        for key in client.get_run(run_id).data.metrics
        for metric in client.get_metric_history(run_id, key)
    )


def points_in(folder):
    return Counter((point.key, point.step, point.value) for point in read_history(folder / "metrics.jsonl"))


def of_training(points, folder):
    keys = {key for key, _, _ in points_in(folder)}
    return Counter({point: n for point, n in points.items() if point[0] in keys})


def test_eight_jobs_at_once_log_without_an_error(served, client, tmp_path, project_dir):
    environment = {**os.environ, "PYTHONPATH": python_path(project_dir), "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", JOB_CODE, str(tmp_path), served[0].uri, str(number)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for number in range(8)
    ]
    for number, process in enumerate(started):
        out, error = process.communicate(timeout=500)
        assert process.returncode == 0, error
        report = json.loads(out.splitlines()[-1])
        folder = tmp_path / str(number)
        assert (folder / "tracking.log").read_text() == ""
        (run_id,) = report["children"].values()
        # The run that grew is the one that was completed.
        assert json.loads((folder / "live_run.json").read_text())["run"] == run_id
        assert of_training(points_of(client, run_id), folder) == points_in(folder)
        assert report["registered"] == {"1": f"pneumonia.at_once_{number}.1:1"}
        version = client.get_model_version(f"pneumonia.at_once_{number}.1", "1")
        assert (version.run_id, version.status) == (run_id, "READY")
        assert "| pneumonia | AUROC | 0.900 | 0.830 to 0.960 |" in version.description
    assert [found.name for found in client.search_experiments()].count("pneumonia") == 1
    assert "ERROR" not in (served[0].folder / "server.log").read_text()


def test_a_server_that_dies_in_a_training_is_completed_by_sync(
    served, client, snakemake, prepared_experiment, workflow_dir
):
    server, postgres = served
    path = workflow_dir / "config" / "experiments" / "pneumonia" / "tiny.yaml"
    path.write_text(path.read_text().replace("{epochs: 3}", "{epochs: 30}"))
    folder = workflow_dir / "work" / "runs" / "pneumonia" / "tiny"
    project = workflow_dir / "config" / "config.yaml"
    project.write_text(project.read_text().replace("{enabled: false}", TRACKED))
    settings = ("--config", f"tracking={{uri: '{server.uri}', system_metrics_s: 1}}")
    command = [sys.executable, "-m", "snakemake", "--cores", str(CORES), prepared_experiment, *settings]
    with (workflow_dir / "out").open("w") as out:
        workflow = subprocess.Popen(command, cwd=workflow_dir, stdout=out, stderr=subprocess.STDOUT)
        memo = folder / "2" / "live_run.json"
        deadline = time.monotonic() + 400
        while True:
            assert workflow.poll() is None, (workflow_dir / "out").read_text()[-4000:]
            assert time.monotonic() < deadline
            run_id = json.loads(memo.read_text())["run"] if memo.exists() else None
            if run_id and client.get_metric_history(run_id, "train/loss"):
                break
            time.sleep(0.2)
        server.kill()
        assert workflow.wait() == 0, (workflow_dir / "out").read_text()[-4000:]
    rows = [json.loads(line) for line in (folder / "2" / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(1, 31))
    assert json.loads((folder / "tracked.json").read_text())["complete"] is False

    server.start()
    auscult = [sys.executable, "-c", "from auscult.cli import main; main()"]
    for _ in range(2):
        done = subprocess.run(
            [*auscult, "sync", prepared_experiment, "--uri", server.uri],
            cwd=workflow_dir, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "pneumonia/tiny: logged: 2 runs" in done.stdout
        report = json.loads((folder / "tracked.json").read_text())
        assert report["children"]["2"] == run_id
        for job, child in report["children"].items():
            assert of_training(points_of(client, child), folder / job) == points_in(folder / job)
            run = client.get_run(child)
            assert run.info.status == "FINISHED"
            assert "system/cpu_utilization_percentage" in run.data.metrics
            assert [entry.dataset.name for entry in run.inputs.dataset_inputs] == ["bd", "icbhi"]
    # The result needs no new publishing.
    again = snakemake("--dry-run", prepared_experiment, *settings)
    assert "Nothing to be done" in again.stdout, again.stdout

    # Nothing names a patient, a file or a folder: neither the database nor the artifacts.
    tables = [pd.read_parquet(path) for path in (workflow_dir / "work" / "tables").glob("*/recordings.parquet")]
    names = {text for table in tables for column in ("patient_id", "recording_id", "path") for text in table[column]}
    names |= {text.rsplit("/", 1)[-1] for text in names}
    hidden = [text for text in names if not text.isdecimal() and len(text) >= 5]
    assert len(hidden) > 50
    hidden += [str(workflow_dir), str(Path.home() / "."), workflow_dir.name]
    assert prepared_experiment in postgres.dump()  # the result's name is wanted, and shows that the dump is read
    artifacts = [path for path in (server.folder / "artifacts").rglob("*") if path.is_file()]
    assert len(artifacts) > 10
    contents = [postgres.dump().encode(), *(path.read_bytes() + path.name.encode() for path in artifacts)]
    found = {text for text in hidden for content in contents if text.encode() in content}
    assert found == set()


@pytest.mark.soak
def test_a_server_that_asks_who_one_is_takes_the_name_from_the_environment(tmp_path, monkeypatch):
    folder = tmp_path / "server"
    folder.mkdir()
    (folder / "auth.ini").write_text(
        "[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///auth.db\n"
        "admin_username = anna\nadmin_password = twelve-letters\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    server = Server(
        folder,
        "sqlite:///mlflow.db",
        "--app-name",
        "basic-auth",
        MLFLOW_AUTH_CONFIG_PATH=str(folder / "auth.ini"),
        MLFLOW_FLASK_SERVER_SECRET_KEY="for-tests",
    ).start()
    code = (
        "import sys; from pathlib import Path; from auscult.config import TrackingSettings;"
        "from auscult.tracking.follower import LiveRun; from auscult.tracking.live import LiveRequest;"
        "from auscult.tracking.metrics import read_epochs;"
        "from tests.unit.tracking.test_live import write_rows;"
        "folder = Path(sys.argv[1]); write_rows(folder, 2);"
        "run = LiveRun(folder, sys.argv[2], LiveRequest('pneumonia', 'pneumonia/e', '1', 'n', {}));"
        "run.send(read_epochs(folder / 'metrics.jsonl')); print(run.run_id)"
    )
    try:
        command = [sys.executable, "-c", code, str(tmp_path / "run"), server.uri]
        bare = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_TRACKING_")}
        bare["PYTHONPATH"] = python_path(Path(__file__).parents[2])
        refused = subprocess.run(command, capture_output=True, text=True, env=bare, check=False)
        assert refused.returncode != 0
        assert "MLFLOW_TRACKING_USERNAME" in refused.stderr
        named = {**bare, "MLFLOW_TRACKING_USERNAME": "anna", "MLFLOW_TRACKING_PASSWORD": "twelve-letters"}
        taken = subprocess.run(command, capture_output=True, text=True, env=named, check=False)
        assert len(taken.stdout.strip()) == 32, taken.stderr
    finally:
        server.kill()
