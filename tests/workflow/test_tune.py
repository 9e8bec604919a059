"""A study on the workflow: killed at random moments it stays the same; the test part judges its choice alone."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from tests.workflow.conftest import CORES, TINY_EXPERIMENT

STUDY = Path("work/tune/pneumonia/tuned")
RESULT = "results/pneumonia/tuned"
TUNED = (
    TINY_EXPERIMENT.partition("jobs:")[0].replace("epochs: 2", "epochs: 3")
    + """
tune:
  search:
    train.optimizer.lr: {log_uniform: [1.0e-4, 1.0e-1]}
    train.batch_size: {choice: [16, 32]}
  trials: 3
  parallel: 2
"""
)
VICTIMS = ("all", "worker")


@pytest.fixture
def tuned_dir(prepared_experiment: str, workflow_dir: Path) -> Path:
    (workflow_dir / "config/experiments/pneumonia/tuned.yaml").write_text(TUNED)
    return workflow_dir


def start(folder: Path) -> subprocess.Popen:
    with (folder / "tune.log").open("a") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "auscult", "tune", "run", "pneumonia/tuned", "--cores", str(CORES)],
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def finish(folder: Path) -> dict:
    assert start(folder).wait(timeout=1500) == 0, (folder / "tune.log").read_text()[-4000:]
    return json.loads((folder / STUDY / "chosen.json").read_text())


def outcome(chosen: dict) -> list[tuple]:
    """All but what a clock gives."""
    trials = [(trial["state"], trial["values"], trial["value"], trial["rungs"]) for trial in chosen["trials"]]
    return [*trials, chosen["trial"], chosen["value"], chosen["importances"]]


def workers(process: psutil.Process) -> list[psutil.Process]:
    """The trainings that are running, below a coordinator."""
    found = []
    for child in process.children(recursive=True):
        try:
            if any("tune_rung" in word for word in child.cmdline()):
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


def test_the_result_says_which_command_comes_first(snakemake, tuned_dir: Path) -> None:
    asked = snakemake("--dry-run", RESULT)
    assert asked.returncode == 1
    assert "its study is not finished; run it first: auscult tune run pneumonia/tuned" in asked.stdout


@pytest.mark.slow
@pytest.mark.timeout(6000)
def test_killed_over_and_over_a_study_is_the_undisturbed_one(snakemake, tuned_dir: Path, soak: bool) -> None:
    victims = VICTIMS
    if soak:
        path = tuned_dir / "config/experiments/pneumonia/tuned.yaml"
        path.write_text(path.read_text().replace("trials: 3", "trials: 12"))
        victims = ("coordinator", "all", "worker") * 3 + ("all",)
    undisturbed = finish(tuned_dir)
    best = STUDY / "trials" / str(undisturbed["trial"]) / "seed0" / "model.safetensors"
    weights = (tuned_dir / best).read_bytes()
    # No trial was judged on the test part.
    assert not (tuned_dir / "work/test_readings").exists()
    assert not list((tuned_dir / STUDY).rglob("predictions.parquet"))
    shutil.rmtree(tuned_dir / STUDY)

    draw, hit = random.Random(1), []
    for victim in victims:
        process = start(tuned_dir)
        family = psutil.Process(process.pid)
        deadline = time.monotonic() + 120
        while not workers(family) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(draw.uniform(0, 4))
        assert process.poll() is None, f"the study ended after {len(hit)} kills: give it more trials"
        if victim == "worker":
            for worker in workers(family):
                worker.kill()
            hit.append(victim)
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=120)
            continue
        targets = [family, *(family.children(recursive=True) if victim == "all" else [])]
        for target in targets:
            target.kill()
        process.wait(timeout=60)
        hit.append(victim)
    assert tuple(hit) == victims
    disturbed = finish(tuned_dir)
    assert outcome(disturbed) == outcome(undisturbed)
    assert (tuned_dir / best).read_bytes() == weights
    for lines in (path.read_text().splitlines() for path in (tuned_dir / STUDY).rglob("metrics.jsonl")):
        assert [json.loads(line)["epoch"] for line in lines] == list(range(1, len(lines) + 1))

    made = snakemake(RESULT)
    assert made.returncode == 0, made.stdout[-4000:]
    settings = (tuned_dir / RESULT / "experiment.yaml").read_text()
    assert f"lr: {undisturbed['values']['train.optimizer.lr']}" in settings
    readings = [path.read_text().splitlines() for path in (tuned_dir / "work/test_readings").glob("*.jsonl")]
    assert [len(lines) for lines in readings] == [1]
    assert (tuned_dir / RESULT / "report.html").is_file()
