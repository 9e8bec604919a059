"""`auscult doctor` on a real Slurm."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


def doctor(folder: Path, *arguments: str, **environment: str) -> dict[str, str]:
    """Run the command and return each check's line."""
    done = subprocess.run(
        [sys.executable, "-c", "from auscult.cli import main; main()", "doctor", *arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    names = ("Slurm", "CPU partition", "GPU partition", "site settings", "GPU in a job")
    return {name: line for line in done.stdout.splitlines() for name in names if line.startswith(name)}


def test_partitions_and_the_gpu_of_a_job_are_found(cluster_workflow: Path) -> None:
    found = doctor(cluster_workflow, "--wait", "300")
    assert {name: line.removeprefix(name).split()[0] for name, line in found.items()} == {
        "Slurm": "ok", "CPU partition": "ok", "GPU partition": "ok", "site settings": "ok", "GPU in a job": "ok",
    }, found  # fmt: skip
    assert "sees device 0" in found["GPU in a job"]


def test_a_partition_that_is_not_there_is_told_with_the_nearest(cluster_workflow: Path) -> None:
    found = doctor(cluster_workflow, "--no-job", AUSCULT_GPU_PARTITION="gpus")
    assert "did you mean 'gpu'?" in found["GPU partition"]
    assert "export AUSCULT_GPU_PARTITION=gpu" in found["GPU partition"]


@pytest.mark.usefixtures("accounting")
def test_a_quality_of_service_is_asked_for_and_one_that_is_not_there_is_told(cluster_workflow: Path) -> None:
    found = doctor(cluster_workflow, "--wait", "300", AUSCULT_QOS="overnight", AUSCULT_ACCOUNT="lungs")
    assert found["site settings"].split()[2] == "ok"
    assert found["GPU in a job"].split()[4] == "ok"
    found = doctor(cluster_workflow, "--no-job", AUSCULT_QOS="overnigt")
    assert "AUSCULT_QOS: no QOS 'overnigt', did you mean 'overnight'?" in found["site settings"]
    assert "daytime, normal, overnight" in found["site settings"]
