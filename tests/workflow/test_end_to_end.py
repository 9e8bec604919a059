"""A whole tiny run on the demo data: from raw recordings to its reports, and what a second run does."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from tests.workflow.conftest import TRACKED

from auscult.ops.explain import explain
from auscult.ops.verify import verify_result


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


@pytest.fixture
def published(snakemake, tiny_experiment: str, workflow_dir: Path) -> str:
    with open(workflow_dir / "config" / "datasets" / "bd.yaml", "a") as settings:
        settings.write("shards: 3\n")
    project = workflow_dir / "config" / "config.yaml"
    project.write_text(project.read_text().replace("{enabled: false}", TRACKED) + "events: {file: told.jsonl}\n")
    finished = snakemake(tiny_experiment)
    assert finished.returncode == 0, finished.stdout[-6000:]
    return tiny_experiment


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_result_is_published_and_only_what_changed_is_done_again(
    snakemake, published: str, workflow_dir: Path
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
    check_events(workflow_dir)
    again = snakemake(published)
    assert "Nothing to be done" in again.stdout
    report = snakemake(published, "--report", "report.zip")
    assert report.returncode == 0, report.stdout
    check_snakemake_report(workflow_dir / "report.zip", workflow_dir)

    path = workflow_dir / "config" / "experiments" / "pneumonia" / "tiny.yaml"
    path.write_text(path.read_text().replace("{epochs: 3}", "{epochs: 1}"))
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
