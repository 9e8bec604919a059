import json
import logging
import socket
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from auscult import tracking
from auscult.config import TrackingSettings
from auscult.errors import DataError
from auscult.tracking.jobs import read_jobs


@pytest.fixture
def log(experiment, task, job_dirs, store_uri, provenance, tmp_path):  # noqa: PLR0917 (fixtures)
    """Log the fixture's jobs and return what `output` says; settings can be replaced."""

    def call(experiment=experiment, job_dirs=job_dirs, uri=store_uri, enabled=True):
        output = tmp_path / "tracked.json"
        settings = TrackingSettings(enabled=enabled, uri=uri)
        tracking.track(experiment, task, job_dirs, tracking=settings, output=output, provenance=provenance)
        return json.loads(output.read_text())

    return call


def runs_of(client, report):
    return {run.info.run_id: run for run in client.search_runs([report["experiment"]["id"]])}


def history(client, run_id, key):
    return [(metric.step, metric.value) for metric in client.get_metric_history(run_id, key)]


def test_one_parent_and_one_child_a_job(log, client):
    report = log()
    assert (report["enabled"], report["reached"], report["complete"], report["reason"]) == (True, True, True, None)
    assert report["experiment"]["name"] == "pneumonia"
    assert list(report["children"]) == ["1", "2"]
    runs = runs_of(client, report)
    assert set(runs) == {report["parent"], *report["children"].values()}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    parent, first = runs[report["parent"]], runs[report["children"]["1"]]
    assert parent.info.run_name == "train2356"
    assert parent.data.tags["auscult.experiment"] == "pneumonia/train2356"
    assert parent.data.params["datasets"] == "icbhi, jordan, bd"
    assert "model.name" not in parent.data.params
    assert first.info.run_name == "train2356/1 mixednet"
    assert first.data.tags["mlflow.parentRunId"] == report["parent"]
    assert first.data.tags["mlflow.source.git.commit"].startswith("0123456789abcdef")
    assert first.data.tags["auscult.data"] == "d41d8cd98f00b204e9800998ecf8427e.dir"
    assert first.data.tags["auscult.result"] == "results/pneumonia/train2356"
    assert "mlflow.user" not in first.data.tags


def test_params_metrics_and_datasets_are_there(log, client, experiment, task, job_dirs):
    report = log()
    for number, job in zip(("1", "2"), read_jobs(experiment, task, job_dirs), strict=True):
        run = client.get_run(report["children"][number])
        assert run.data.params == job.params
        logged = {
            (key, step, value) for key in run.data.metrics for step, value in history(client, run.info.run_id, key)
        }
        assert logged == {(point.key, point.step, point.value) for point in job.points}
        assert [entry.dataset.name for entry in run.inputs.dataset_inputs] == ["bd", "icbhi", "jordan"]
        digests = {entry.dataset.name: entry.dataset.digest for entry in run.inputs.dataset_inputs}
        # bd has no digest of its own in the provenance: what data.dvc pins stands in.
        assert digests == {"icbhi": "a" * 36, "jordan": "b" * 36, "bd": "d41d8cd98f00b204e9800998ecf8427e.dir"}
        assert run.info.end_time - run.info.start_time == pytest.approx(11 * 1500, abs=200)


def test_artifacts_lie_where_a_server_serves_them(log, client, store_uri, job_dirs):
    report = log()
    run = client.get_run(report["children"]["1"])
    assert run.info.artifact_uri.startswith("mlflow-artifacts:/pneumonia/")
    root = Path(store_uri.removeprefix("sqlite:///")).parent / "mlartifacts"
    folder = root / run.info.artifact_uri.removeprefix("mlflow-artifacts:/")
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert names == [
        "figures/learning_curves.png",
        "figures/roc.png",
        "figures/roc.svg",
        "model/model.json",
        "model/model.safetensors",
        "provenance.json",
        "settings.json",
    ]
    assert (folder / "model/model.safetensors").read_bytes() == (job_dirs[0] / "model.safetensors").read_bytes()
    assert json.loads((folder / "settings.json").read_text())["task"]["datasets"]["bd"]["pneumonia"]["column"] == "pep1"


def test_logging_again_changes_nothing(log, client):
    first = log()
    before = {key: run.to_dictionary() for key, run in runs_of(client, first).items()}
    assert log() == first
    assert {key: run.to_dictionary() for key, run in runs_of(client, first).items()} == before
    assert len(history(client, first["children"]["1"], "train/loss")) == 12


def test_a_changed_job_is_a_new_child_and_the_old_one_is_marked(log, client, job_dirs):
    first = log()
    path = job_dirs[1] / "metrics.jsonl"
    path.write_text(path.read_text() + '{"epoch": 12, "train/loss": 0.01}\n')
    second = log()
    assert second["parent"] == first["parent"]
    assert second["children"]["1"] == first["children"]["1"]
    assert second["children"]["2"] != first["children"]["2"]
    runs = runs_of(client, second)
    assert len(runs) == 4
    assert runs[first["children"]["2"]].data.tags["auscult.superseded"] == second["children"]["2"]
    assert "auscult.superseded" not in runs[second["children"]["2"]].data.tags


def test_changed_settings_are_a_new_parent_that_keeps_the_unchanged_child(log, client, experiment):
    first = log()
    job = experiment.jobs[1].model_copy(update={"evaluate": experiment.jobs[1].evaluate.model_copy(update={"seed": 5})})
    second = log(experiment=experiment.model_copy(update={"jobs": (experiment.jobs[0], job)}))
    assert second["parent"] != first["parent"]
    assert second["children"]["1"] == first["children"]["1"]
    runs = runs_of(client, second)
    assert runs[first["children"]["1"]].data.tags["mlflow.parentRunId"] == second["parent"]
    assert runs[first["parent"]].data.tags["auscult.superseded"] == second["parent"]
    assert runs[first["children"]["2"]].data.tags["auscult.superseded"] == second["children"]["2"]
    # Back to the first settings: what was there counts again, and nothing is logged.
    assert log() == first
    back = runs_of(client, first)
    assert len(back) == len(runs)
    assert "auscult.superseded" not in back[first["children"]["2"]].data.tags
    assert back[second["children"]["2"]].data.tags["auscult.superseded"] == first["children"]["2"]


def test_a_job_taken_out_is_marked(log, client, experiment, job_dirs):
    first = log()
    second = log(experiment=experiment.model_copy(update={"jobs": experiment.jobs[:1]}), job_dirs=job_dirs[:1])
    runs = runs_of(client, second)
    assert runs[first["children"]["2"]].data.tags["auscult.superseded"] == second["parent"]
    assert "auscult.superseded" not in runs[first["children"]["1"]].data.tags


def test_a_run_cut_off_is_completed_without_double_points(log, client, monkeypatch):
    from auscult.tracking.writer import RunWriter

    def stop(self, run_id, path, folder):
        raise ConnectionResetError("the server went away")

    with monkeypatch.context() as patch:
        patch.setattr(RunWriter, "artifact", stop)
        cut = log()
    assert (cut["reached"], cut["complete"]) == (True, False)
    assert cut["reason"] == "ConnectionResetError: the server went away"
    whole = log()
    assert whole["complete"] is True
    runs = runs_of(client, whole)
    assert len(runs) == 3
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    for child in whole["children"].values():
        assert [step for step, _ in history(client, child, "train/loss")] == list(range(12))


def test_half_the_points_are_completed_by_the_other_half(log, client, monkeypatch, caplog):
    from auscult.tracking.writer import RunWriter

    full = RunWriter.points

    def half(self, run_id, points):
        full(self, run_id, points[: len(points) // 2])
        raise TimeoutError("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(RunWriter, "points", half)
        assert log()["complete"] is False
    assert "`auscult sync` completes it" in caplog.text
    report = log()
    for child in report["children"].values():
        for key in ("test/auroc", "val/auroc", "train/loss"):
            steps = [step for step, _ in history(client, child, key)]
            assert len(steps) == len(set(steps)) == {"test/auroc": 1, "val/auroc": 11, "train/loss": 12}[key]


def test_a_run_cut_off_and_replaced_is_closed_as_killed(log, client, monkeypatch, job_dirs):
    from auscult.tracking.writer import RunWriter

    def stop(self, run_id, points):
        raise TimeoutError("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(RunWriter, "points", stop)
        log()
    (job_dirs[0] / "metrics.jsonl").write_text('{"epoch": 0, "train/loss": 1.0}\n')
    report = log()
    killed = [run for run in runs_of(client, report).values() if run.info.status == "KILLED"]
    assert [run.data.tags["auscult.superseded"] for run in killed] == [report["children"]["1"]]


def test_a_deleted_run_is_logged_anew(log, client):
    first = log()
    client.delete_run(first["children"]["1"])
    second = log()
    assert second["children"]["1"] != first["children"]["1"]
    assert second["children"]["2"] == first["children"]["2"]


def test_a_deleted_experiment_is_restored(log, client):
    first = log()
    client.delete_experiment(first["experiment"]["id"])
    second = log()
    assert second["experiment"] == first["experiment"]
    assert client.get_experiment(first["experiment"]["id"]).lifecycle_stage == "active"


def test_more_points_than_one_batch_holds(log, client, job_dirs):
    lines = [json.dumps({"epoch": n, "train/loss": 1 / (n + 1), "val/loss": 2 / (n + 1)}) for n in range(1300)]
    (job_dirs[0] / "metrics.jsonl").write_text("\n".join(lines))
    child = log()["children"]["1"]
    assert len(history(client, child, "train/loss")) == len(history(client, child, "val/loss")) == 1300


def test_neither_patient_nor_recording_nor_path_is_in_the_store(log, store_uri, job_dirs, tmp_path):
    report = log()
    assert report["complete"] is True
    store = Path(store_uri.removeprefix("sqlite:///"))
    files = [store, *(path for path in (store.parent / "mlartifacts").rglob("*") if path.is_file())]
    assert len(files) == 1 + 2 * 7 + 1
    table = pd.read_parquet(job_dirs[0] / "predictions.parquet")
    ids = {*table["patient_id"], *table["recording_id"], *table["recording_id"].str.split("/", n=1).str[1]}
    hidden = [*ids, "zarah-0007", "BP42_Asthma", str(tmp_path), str(Path.cwd()), str(Path.home()), socket.gethostname()]
    # A home or host name of two letters stands in any database; what is looked for must be able to fail the test.
    hidden = [text for text in hidden if len(text) > 5]
    assert len(hidden) >= 10
    for path in files:
        content = path.read_bytes()
        assert [text for text in hidden if text.encode() in content or text in path.name] == [], path.name


def test_withheld_files_are_told(log, job_dirs, caplog):
    (job_dirs[1] / "model.json").write_text('{"seen": "bd/zarah-0007"}')
    report = log()
    assert report["complete"] is True
    assert report["withheld"] == {"2": ["model/model.json"]}
    assert "model/model.json" in caplog.text
    assert "zarah" not in caplog.text


def test_a_server_that_is_down_is_a_warning(log, caplog):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    with caplog.at_level(logging.WARNING):
        report = log(uri=f"http://alice@127.0.0.1:{port}")
    assert (report["reached"], report["complete"], report["parent"]) == (False, False, None)
    assert "does not answer" in report["reason"]
    assert report["uri"] == f"http://***@127.0.0.1:{port}"
    assert "does not answer" in caplog.text
    assert "alice" not in caplog.text + json.dumps(report)


def test_a_store_that_cannot_be_made_is_a_warning(log, tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot be opened or made" in log(uri=f"sqlite:///{tmp_path}/file/mlflow.db")["reason"]


def test_an_unfinished_job_is_an_error_and_not_a_warning(log, job_dirs):
    (job_dirs[0] / "metrics.json").unlink()
    with pytest.raises(DataError, match="train and evaluate the job"):
        log()


def test_tracking_that_is_off_says_so(log):
    report = log(enabled=False, uri="http://nowhere.invalid")
    assert (report["enabled"], report["reached"]) == (False, False)
    assert "tracking.enabled" in report["reason"]


def test_mlflow_is_imported_only_where_something_is_logged(tmp_path):
    code = f"""
import sys
from pathlib import Path
from auscult import tracking
from auscult.config import TrackingSettings, load_experiment, load_task
config = Path({str(Path(__file__).parents[3] / "config")!r})
tracking.track(
    load_experiment(config, "pneumonia", "train2356"), load_task(config, "pneumonia"), [Path("none")] * 2,
    tracking=TrackingSettings(enabled=False), output=Path({str(tmp_path / "out.json")!r}), provenance={{}},
)
print([name for name in ("mlflow", "torch", "pandas", "sqlalchemy") if name in sys.modules])
"""
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == "[]"
