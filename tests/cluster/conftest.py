"""A real Slurm of one node for the whole session, and one copied workflow whose trainings share their spectrograms."""

import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from tests.cluster.watching import Controllers, Training
from tests.workflow.conftest import copy_workflow

CLUSTER = Path(__file__).with_name("one_node_slurm.py")
EXPERIMENT = """
description: tiny jobs
task: pneumonia
datasets: {datasets}
clips: {{unit: window, length_s: 4, sample_rate_hz: 4000}}
spectrogram: {{n_fft: 256, hop_samples: 128, n_mels: 32}}
split: {{preset: patients_70_15_15, seed: 1}}
model: {{name: test_cnn}}
train: {{epochs: {epochs}, devices: {devices}}}
evaluate: {{bootstrap_draws: 50, n_examples: 2, outcomes: {{max_clips: 1}}}}
jobs: {jobs}
"""


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    check = subprocess.run([sys.executable, CLUSTER, "check"], capture_output=True, text=True, check=False)
    if check.returncode != 0:
        pytest.skip(f"no test cluster here: {check.stderr.strip()}")
    subprocess.run([sys.executable, CLUSTER, "start", tmp_path_factory.mktemp("slurm")], check=True, timeout=300)
    yield
    subprocess.run([sys.executable, CLUSTER, "stop"], check=True, timeout=300)


@pytest.fixture(scope="session")
def accounting(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> None:
    """From here on the cluster has accounts and qualities of service, which it enforces."""
    folder = tmp_path_factory.mktemp("slurm-with-accounts")
    subprocess.run([sys.executable, CLUSTER, "start", folder, "--accounting"], check=True, timeout=300)


@pytest.fixture(scope="session")
def cluster_workflow(cluster: None, tmp_path_factory: pytest.TempPathFactory, project_dir: Path) -> Path:
    folder = tmp_path_factory.mktemp("workflow")
    copy_workflow(project_dir, folder, "slurm-gpu", "profiles")
    return folder


@pytest.fixture
def controllers(cluster_workflow: Path) -> Generator[Controllers]:
    started = Controllers(cluster_workflow)
    yield started
    left = [process for process in started.running if process.poll() is None]
    for process in left:
        process.kill()
        process.wait()
    subprocess.run(["scancel", "--user=root"], check=True, timeout=60)
    if left:
        started.unlock()


@pytest.fixture
def make_experiment(cluster_workflow: Path) -> Callable[..., Training]:
    """Write an experiment `pneumonia/<name>` of so many equal jobs, each of so many epochs."""

    def make(name: str, epochs: int, devices: int = 1, jobs: int = 1, datasets: str = "[bd]") -> Training:
        path = cluster_workflow / "config" / "experiments" / "pneumonia" / f"{name}.yaml"
        text = EXPERIMENT.format(
            epochs=epochs, devices=devices, datasets=datasets, jobs="[" + ", ".join(["{}"] * jobs) + "]"
        )
        path.write_text(text)
        return Training(cluster_workflow / "work" / "runs" / "pneumonia" / name / "1")

    return make
