"""A copy of the workflow, so that a test may change settings and run it without touching the project."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from filelock import FileLock

WORKFLOW = ("Snakefile", "rules", "workflow_scripts", "report", "config", "data.dvc", "environment.yml")
Run = Callable[..., subprocess.CompletedProcess]
BUCKET = "lung-sounds"
START_TIMEOUT_S = 60
# Test processes run side by side, one a core: a workflow with more than one core would only wait for the others.
CORES = 1 if "PYTEST_XDIST_WORKER" in os.environ else 2
TRACKED = "{enabled: true, uri: 'sqlite:///mlflow.db'}"
TINY = Path("config/experiments/pneumonia/tiny.yaml")
TINY_TARGET = "results/pneumonia/tiny"
TINY_EXPERIMENT = """
description: two tiny jobs
task: pneumonia
datasets: [icbhi, bd]
clips: {unit: window, length_s: 4, sample_rate_hz: 4000}
spectrogram: {n_fft: 256, hop_samples: 128, n_mels: 32}
split: {preset: patients_70_15_15, seed: 1}
model: {name: test_cnn}
train: {epochs: 2}
evaluate: {bootstrap_draws: 50, n_examples: 2, outcomes: {max_clips: 1}}
jobs:
  - {}
  - {train: {epochs: 3}}
"""
PREPARED = ("work", "logs", "benchmarks", ".snakemake/metadata")


def copy_workflow(project_dir: Path, folder: Path, *more: str) -> None:
    """The workflow's files, copied; the demo data, linked. Nothing is logged: MLflow takes longer than most jobs."""
    if not (project_dir / "data").is_dir():
        pytest.fail("the demo data are not there; run: dvc pull")
    for name in (*WORKFLOW, *more):
        source = project_dir / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / name)
    (folder / "data").symlink_to(project_dir / "data")
    path = folder / "config" / "config.yaml"
    text, n_changed = re.subn(r"^tracking: .*$", "tracking: {enabled: false}", path.read_text(), flags=re.MULTILINE)
    assert n_changed == 1
    path.write_text(text)


def take_what_is_made(folder: Path, workflow_dir: Path) -> None:
    """Copy what the workflow made elsewhere, with its times: Snakemake itself tells what of it must be made anew."""
    for name in ("work", "results", "logs", "benchmarks", ".snakemake/metadata"):
        shutil.copytree(folder / name, workflow_dir / name, symlinks=True)


def run_snakemake(
    folder: Path, *arguments: str, cores: int = CORES, python: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *python, "-m", "snakemake", "--cores", str(cores), *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.fixture
def workflow_dir(project_dir: Path, tmp_path: Path) -> Path:
    """The workflow's files, copied; the demo data, linked."""
    copy_workflow(project_dir, tmp_path)
    return tmp_path


@pytest.fixture
def snakemake(workflow_dir: Path) -> Run:
    """Run Snakemake in the copied workflow and return the finished process, its output as text."""
    return partial(run_snakemake, workflow_dir)


@pytest.fixture
def tiny_experiment(workflow_dir: Path) -> str:
    """An experiment that trains in a second an epoch; its target is returned."""
    (workflow_dir / TINY).write_text(TINY_EXPERIMENT)
    return TINY_TARGET


@pytest.fixture(scope="session")
def prepared_dir(project_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workflow that is ready to train the tiny experiment, made once for all test processes: copy it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, done = shared / "prepared", shared / "prepared.done"
    with FileLock(shared / "prepared.lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            copy_workflow(project_dir, folder)
            (folder / TINY).write_text(TINY_EXPERIMENT)
            made = run_snakemake(folder, TINY_TARGET, "--until", "make_spectrograms", "make_split")
            assert made.returncode == 0, made.stdout
            done.touch()
    return folder


@pytest.fixture
def prepared_experiment(prepared_dir: Path, workflow_dir: Path, tiny_experiment: str) -> str:
    """The tiny experiment where tables, spectrograms and split are made: only trainings and what follows are left."""
    for name in PREPARED:
        # With their times: Snakemake finds all as it left it.
        shutil.copytree(prepared_dir / name, workflow_dir / name)
    return tiny_experiment


@pytest.fixture
def stores(tiny_experiment: str, snakemake) -> list[str]:
    """The spectrogram stores of the tiny experiment, as targets."""
    planned = snakemake("--dry-run", tiny_experiment).stdout
    return sorted(set(re.findall(r"work/features/\w+/[^\s,]+\.h5", planned)))


@pytest.fixture(scope="module")
def bucket_url(tmp_path_factory):
    """The address of an emulator that holds one empty bucket in memory."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    folder = tmp_path_factory.mktemp("emulator")
    command = [
        str(Path(sys.executable).parent / "gcp-storage-emulator"),
        "start",
        "--in-memory",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with (folder / "log").open("w") as log:
        emulator = subprocess.Popen(
            [*command, "--default-bucket", BUCKET], cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
        try:
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + START_TIMEOUT_S
            while not answers(f"{url}/storage/v1/b/{BUCKET}"):
                assert emulator.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.2)
            yield url
        finally:
            os.killpg(emulator.pid, signal.SIGKILL)
            emulator.wait()


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False
