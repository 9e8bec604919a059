"""A whole tiny run on the demo data: from raw recordings to its reports, and what a second run does."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from tests.unit.config.test_plugins import write_documented
from tests.workflow.conftest import BUCKET, TRACKED

from auscult.datasets.bucket import Bucket
from auscult.ops.explain import explain
from auscult.ops.result_bucket import WITH_IDS, verify_bucket
from auscult.ops.verify import verify_result
from auscult.storage.files import read_json, sha256_file

OF_PROJECT = f"""
events: {{file: told.jsonl}}
publish_to: gs://{BUCKET}/results
"""


def messages(output: str) -> list[str]:
    """Read the messages of the jobs that ran, in order."""
    return re.findall(r"^Job \d+: (.+)$", output, flags=re.MULTILINE)


def check_snakemake_report(archive_path: Path, workflow_dir: Path) -> None:
    """Snakemake's own report shows every figure, with captions, categories and labels."""
    with zipfile.ZipFile(archive_path) as archive:
        names = archive.namelist()
        page = "\n".join(archive.read(name).decode("utf-8") for name in names if name.endswith((".html", ".js")))
    for number in (1, 2):
        run = workflow_dir / f"work/runs/pneumonia/tiny/{number}"
        drawn = [path.name for path in sorted((run / "figures").glob("*.svg"))]
        assert "roc.svg" in drawn
        for name in [*drawn, *(path.name for path in run.glob("outcomes/*/*.png"))]:
            assert any(entry.endswith(name) for entry in names), name
    for word in ("Figures", "Spectrograms", "Outcomes", "Numbers", "Result", "report.html"):
        assert word in page, word
    # Captions are filled in: a job's model, and how the clips were sampled.
    assert "test_cnn" in page
    assert "sampled: extreme" in page
    assert not re.search(
        r"{{|{%", json.dumps([line for line in page.splitlines() if "caption" in line and "snakemake." in line])
    )


def check_events(workflow_dir: Path) -> None:
    """Every event of both trainings and of the result was sent, and names nobody."""
    send = [sys.executable, "-c", "from auscult.cli import main; main()", "events", "send"]
    subprocess.run(send, cwd=workflow_dir, check=True)  # what a busy machine has left
    text = (workflow_dir / "told.jsonl").read_text()
    told = [(event["subject"], event["type"].rpartition(".")[2]) for event in map(json.loads, text.splitlines())]
    for job, n_epochs in (("1", 2), ("2", 3)):
        of_job = [kind for subject, kind in told if subject == f"pneumonia/tiny/{job}"]
        assert of_job == ["started", *["epoch", "saved"] * n_epochs, "finished"]
    assert told[-1] == ("pneumonia/tiny", "published")
    tables = [pd.read_parquet(path) for path in (workflow_dir / "work" / "tables").glob("*/recordings.parquet")]
    names = {text for table in tables for column in ("patient_id", "recording_id", "path") for text in table[column]}
    names = {*names, *(name.rsplit("/", 1)[-1] for name in names), str(workflow_dir)}
    assert len(names) > 50
    assert not [name for name in names if len(name) >= 5 and not name.isdecimal() and name in text]


def check_bucket(result: Path) -> None:
    """The result lies in the bucket too, without the tables that hold the ids of the data."""
    root = f"gs://{BUCKET}/results/pneumonia/tiny"
    assert verify_bucket(root).is_whole
    here = {path.relative_to(result).as_posix() for path in result.rglob("*") if path.is_file()}
    here -= {".snakemake_timestamp", *(name for name in here if Path(name).name in WITH_IDS)}
    assert {item.name for item in Bucket(root).objects()} == here


@pytest.fixture
def published(snakemake, tiny_experiment: str, workflow_dir: Path, bucket_url: str, monkeypatch) -> str:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", bucket_url)
    write_documented(workflow_dir)
    experiment = workflow_dir / "config" / "experiments" / "pneumonia" / "tiny.yaml"
    of_plugins = "{model: {name: gated_cnn}, train: {epochs: 3, loss: {name: squared_hinge}}}"
    experiment.write_text(experiment.read_text().replace("{train: {epochs: 3}}", of_plugins))
    with open(workflow_dir / "config" / "datasets" / "bd.yaml", "a") as settings:
        settings.write("shards: 3\n")
    project = workflow_dir / "config" / "config.yaml"
    project.write_text(project.read_text().replace("{enabled: false}", TRACKED) + OF_PROJECT)
    finished = snakemake(tiny_experiment)
    assert finished.returncode == 0, finished.stdout[-6000:]
    return tiny_experiment


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_result_is_published_and_only_what_changed_is_done_again(
    snakemake, published: str, workflow_dir: Path, monkeypatch
) -> None:
    result = workflow_dir / published
    assert {path.name for path in result.iterdir()} >= {
        "report.html", "metrics.json", "summary.csv", "experiment.yaml", "provenance.json", "1", "2",
    }  # fmt: skip
    for job in ("1", "2"):
        assert {path.name for path in (result / job).iterdir()} >= {
            "report.txt", "metrics.json", "history.csv", "predictions.parquet", "model.safetensors", "model.json",
            "train.log", "figures", "tps.txt", "tns.txt", "fps.txt", "fns.txt",
        }  # fmt: skip
    assert len((result / "2" / "history.csv").read_text().splitlines()) == 1 + 3
    assert len(list((workflow_dir / "work" / "features" / "bd").glob("*-part-0000?-of-00003.h5"))) == 3
    assert len(list((workflow_dir / "work" / "features" / "icbhi").glob("*.h5"))) == 1
    assert "The sounds of icbhi, bd are simulated." in (result / "report.html").read_text()

    assert verify_result(result, workflow_dir).is_whole
    check_bucket(result)
    digests = {f"plugins/{name}.py": sha256_file(workflow_dir / f"plugins/{name}.py") for name in ("gated", "hinge")}
    assert read_json(result / "provenance.json")["plugins"] == digests
    check_events(workflow_dir)
    again = snakemake(published)
    assert "Nothing to be done" in again.stdout
    report = snakemake(published, "--report", "report.zip")
    assert report.returncode == 0, report.stdout
    check_snakemake_report(workflow_dir / "report.zip", workflow_dir)

    path = workflow_dir / "config" / "experiments" / "pneumonia" / "tiny.yaml"
    path.write_text(path.read_text().replace("{epochs: 3,", "{epochs: 1,"))
    monkeypatch.chdir(workflow_dir)
    found = explain(published, project_dir=workflow_dir)
    assert found.changes[0] == "settings: jobs.2.train.epochs: 3 -> 1"
    assert [(job.message, job.reasons, job.cost.basis) for job in found.jobs] == [
        ("Training pneumonia/tiny, job 2", ("setting train.epochs: 3 -> 1",), "last time"),
        ("Evaluating pneumonia/tiny, job 2", ("what it reads is made anew",), "last time"),
        ("Logging pneumonia/tiny with MLflow", ("what it reads is made anew",), "last time"),
        ("Publishing results/pneumonia/tiny", ("what it reads is made anew",), "last time"),
    ]
    changed = snakemake(published)
    assert changed.returncode == 0, changed.stdout[-6000:]
    assert sorted(messages(changed.stdout)) == [
        "Evaluating pneumonia/tiny, job 2",
        "Logging pneumonia/tiny with MLflow",
        "Publishing results/pneumonia/tiny",
        "Training pneumonia/tiny, job 2",
    ]
    assert len((result / "2" / "history.csv").read_text().splitlines()) == 1 + 1
    check_bucket(result)

    # A file of plugins that changes, if only by a comment, is read again by the job that uses it, and no other.
    with open(workflow_dir / "plugins" / "hinge.py", "a") as plugin:
        plugin.write("# another\n")
    found = explain(published, project_dir=workflow_dir)
    assert found.changes[0].startswith("settings: jobs.2.train.loss.plugin_sha256: ")
    assert [job.message for job in found.jobs] == [
        "Training pneumonia/tiny, job 2",
        "Evaluating pneumonia/tiny, job 2",
        "Logging pneumonia/tiny with MLflow",
        "Publishing results/pneumonia/tiny",
    ]
