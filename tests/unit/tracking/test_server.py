import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from auscult import tracking
from auscult.config import TrackingSettings

pytestmark = pytest.mark.slow


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


@contextmanager
def mlflow_server(folder, store):
    """`mlflow server` as the project starts it: its database, and the artifacts served from `mlartifacts` beside it."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1"]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
        try:
            deadline = time.monotonic() + 240
            while True:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                        break
                except (urllib.error.URLError, OSError):
                    assert server.poll() is None, (folder / "server.log").read_text()
                    assert time.monotonic() < deadline, (folder / "server.log").read_text()
                    time.sleep(0.5)
            yield f"http://127.0.0.1:{port}", server
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def test_a_server_takes_runs_and_artifacts_and_may_die(  # noqa: PLR0917 (fixtures)
    experiment, task, job_dirs, store_uri, provenance, tmp_path, monkeypatch
):
    folder = tmp_path / "tracking"

    def log(uri, name):
        output = tmp_path / name
        settings = TrackingSettings(uri=uri)
        tracking.track(experiment, task, job_dirs, tracking=settings, output=output, provenance=provenance)
        return json.loads(output.read_text())

    # Logged first without a server: both ways write the same, so the server shows it and finds nothing to add.
    direct = log(store_uri, "direct.json")
    with mlflow_server(folder, store_uri) as (uri, server):
        served = log(uri, "served.json")
        assert (served["parent"], served["children"]) == (direct["parent"], direct["children"])

        from mlflow.tracking import MlflowClient

        client = MlflowClient(uri, uri)
        child = direct["children"]["1"]
        assert {entry.path for entry in client.list_artifacts(child, "model")} == {
            "model/model.json",
            "model/model.safetensors",
        }
        copy = client.download_artifacts(child, "model/model.safetensors", str(tmp_path))
        assert Path(copy).read_bytes() == (job_dirs[0] / "model.safetensors").read_bytes()

        # A changed job goes over the wire, artifacts too.
        (job_dirs[0] / "metrics.jsonl").write_text('{"epoch": 0, "train/loss": 0.5}\n')
        changed = log(uri, "changed.json")
        assert changed["complete"] is True
        child = changed["children"]["1"]
        assert client.get_run(child).data.metrics["train/loss"] == 0.5
        assert "figures/roc.png" in {entry.path for entry in client.list_artifacts(child, "figures")}

        # The server hangs in the middle of a run, then dies: a warning within seconds, and the rest another time.
        (job_dirs[1] / "metrics.jsonl").write_text('{"epoch": 0, "train/loss": 0.25}\n')
        from auscult.tracking.writer import RunWriter

        full = RunWriter.points

        def hang(self, run_id, points):
            full(self, run_id, points[:20])
            os.killpg(server.pid, signal.SIGSTOP)
            full(self, run_id, points[20:])

        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
        with monkeypatch.context() as patch:
            patch.setattr(RunWriter, "points", hang)
            start = time.monotonic()
            cut = log(uri, "cut.json")
        assert time.monotonic() - start < 30
        assert (cut["reached"], cut["complete"]) == (True, False)
        assert log(uri, "still.json")["reached"] is False
    assert log(uri, "down.json")["reached"] is False
    whole = log(store_uri, "whole.json")
    assert whole["complete"] is True
    from mlflow.tracking import MlflowClient

    client = MlflowClient(store_uri, store_uri)
    for key in ("test/auroc", "train/loss"):
        assert len(client.get_metric_history(whole["children"]["2"], key)) == 1
