"""A training that is interrupted: Snakemake's own retries go on with it, and `fresh` starts over."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.workflow.conftest import CORES

RUN = Path("work/runs/pneumonia/tiny/1")
WEIGHTS = str(RUN / "model.safetensors")


def set_epochs(workflow_dir: Path, epochs: int) -> None:
    path = workflow_dir / "config" / "experiments" / "pneumonia" / "tiny.yaml"
    path.write_text(re.sub(r"train: \{epochs: \d+\}\neval", f"train: {{epochs: {epochs}}}\neval", path.read_text()))


def progress(workflow_dir: Path, run: Path = RUN) -> dict:
    path = workflow_dir / run / "state" / "progress.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def start(workflow_dir: Path, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", str(CORES), *arguments],
        cwd=workflow_dir,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.soak
@pytest.mark.slow
def test_a_training_outlives_budgets(snakemake, prepared_experiment: str, workflow_dir: Path) -> None:
    del prepared_experiment
    set_epochs(workflow_dir, 2)
    assert snakemake(WEIGHTS).returncode == 0
    expected = (workflow_dir / WEIGHTS).read_bytes()

    # Over and over: the budget ends, and Snakemake's retry goes on with the state.
    fresh_run = (WEIGHTS, "--forcerun", "train", "--config", "fresh=true")
    again = snakemake(*fresh_run, "retries=50", AUSCULT_BUDGET_S="0.01")  # one batch an attempt
    assert again.returncode == 0, again.stdout[-3000:]
    assert "non-zero exit status 75" in again.stdout
    assert progress(workflow_dir)["attempt"] >= 4
    assert (workflow_dir / WEIGHTS).read_bytes() == expected
    log = (workflow_dir / RUN / "train.log").read_text()
    assert "is over" in log
    assert log.count(" epoch 1/2: ") == 1  # told again, so that the log is whole


@pytest.mark.slow
def test_ctrl_c_saves_and_other_settings_are_refused_unless_fresh(
    snakemake, prepared_experiment: str, workflow_dir: Path
) -> None:
    del prepared_experiment
    # Ctrl-C reaches the training: saved, and out.
    set_epochs(workflow_dir, 100_000)
    controller = start(workflow_dir, WEIGHTS)
    deadline = time.monotonic() + 300
    while progress(workflow_dir).get("epochs") != 100_000 or progress(workflow_dir).get("step", 0) < 20:
        assert time.monotonic() < deadline
        assert controller.poll() is None, controller.communicate()[0]
        time.sleep(0.1)
    os.killpg(controller.pid, signal.SIGINT)
    output, _ = controller.communicate(timeout=200)
    assert progress(workflow_dir)["status"] == "stopped", output
    assert not (workflow_dir / RUN / "state" / "lock.json").exists()

    # Other settings: refused, with the one command to start over; that command does it, and reruns nothing later.
    set_epochs(workflow_dir, 2)
    refused = snakemake(WEIGHTS, "--config", "retries=0")
    assert refused.returncode != 0
    assert "train.epochs: 100000 -> 2" in refused.stdout
    assert "--config fresh=true" in refused.stdout
    fresh = snakemake(WEIGHTS, "--config", "fresh=true")
    assert fresh.returncode == 0, fresh.stdout[-3000:]
    assert "Nothing to be done" in snakemake(WEIGHTS).stdout
