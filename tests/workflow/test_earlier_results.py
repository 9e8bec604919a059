"""Jobs that begin with an earlier model or judge one: it is made first, and a change of it is noticed."""

import os
import re
import shutil
from pathlib import Path

import pytest

from auscult.config.resolve import load_experiment

RUNS = Path("work/runs/pneumonia")
MODEL = "model.safetensors"


def write_experiment(workflow_dir: Path, name: str, *jobs: str) -> None:
    """An experiment like `tiny`, with other jobs."""
    folder = workflow_dir / "config" / "experiments" / "pneumonia"
    shared, _, _ = (folder / "tiny.yaml").read_text().partition("jobs:")
    (folder / f"{name}.yaml").write_text(shared + "jobs:\n" + "".join(f"  - {job}\n" for job in jobs))


def planned(output: str) -> dict[str, int]:
    return {name: int(n) for name, n in re.findall(r"^(train|evaluate|publish) +(\d+)$", output, flags=re.MULTILINE)}


def test_a_result_that_a_job_takes_is_planned_first(snakemake, tiny_experiment: str, workflow_dir: Path) -> None:
    assert tiny_experiment == "results/pneumonia/tiny"
    write_experiment(workflow_dir, "second", "{train: {pretrained: {result: results/pneumonia/tiny/2}}}")
    finished = snakemake("--dry-run", "results/pneumonia/second")
    assert finished.returncode == 0, finished.stdout
    assert planned(finished.stdout) == {"train": 3, "evaluate": 3, "publish": 2}
    # Of its own experiment a job takes what the other one trained, and nothing is published twice.
    write_experiment(workflow_dir, "third", "{}", "{evaluate_only: results/pneumonia/third/1, datasets: [bd]}")
    finished = snakemake("--dry-run", "results/pneumonia/third")
    assert planned(finished.stdout) == {"train": 2, "evaluate": 2, "publish": 1}
    finished = snakemake("--dry-run", str(RUNS / "third" / "2" / MODEL))
    assert planned(finished.stdout) == {"train": 2}


def test_what_cannot_be_there_first_is_explained(snakemake, tiny_experiment: str, workflow_dir: Path) -> None:
    del tiny_experiment
    write_experiment(workflow_dir, "knot", "{evaluate_only: results/pneumonia/knot/1}")
    write_experiment(workflow_dir, "lost", "{evaluate_only: elsewhere/1}")
    write_experiment(workflow_dir, "wrong", "{train: {pretrained: {result: results/pneumonia/tiny/7}}}")
    for name, part in {
        "knot": "pneumonia/knot, job 1: evaluate_only: results/pneumonia/knot/1 needs this job itself first",
        "lost": "pneumonia/lost, job 1: evaluate_only: elsewhere/1/model.safetensors: no such file",
        "wrong": "train.pretrained.result: results/pneumonia/tiny/7: pneumonia/tiny has the jobs 1, 2",
    }.items():
        finished = snakemake("--dry-run", f"results/pneumonia/{name}")
        assert finished.returncode != 0
        assert part in finished.stdout, finished.stdout


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_changed_model_is_taken_again(snakemake, prepared_experiment: str, workflow_dir: Path) -> None:
    del prepared_experiment
    config = workflow_dir / "config"
    judging = "{evaluate_only: results/pneumonia/taken/1}"
    starting = "{train: {pretrained: {weights: given.safetensors}}}"
    write_experiment(workflow_dir, "taken", "{train: {seed: 1}}", judging, starting)
    runs = [str(RUNS / "taken" / run.id / MODEL) for run in load_experiment(config, "pneumonia", "taken").runs]
    first, judged, started = (workflow_dir / path for path in runs)
    assert snakemake(runs[1]).returncode == 0
    assert judged.read_bytes() == first.read_bytes()
    given = workflow_dir / "given.safetensors"
    shutil.copy2(first, given)
    finished = snakemake(*runs)
    assert finished.returncode == 0, finished.stdout[-3000:]
    before = started.read_bytes()
    assert "Nothing to be done" in snakemake(*runs).stdout

    # The training whose model is judged is another one: it is judged anew.
    write_experiment(workflow_dir, "taken", "{train: {seed: 2}}", judging, starting)
    finished = snakemake(runs[1])
    assert finished.returncode == 0, finished.stdout[-3000:]
    assert judged.read_bytes() == first.read_bytes() != given.read_bytes()
    # The weights that a training began with are others, from a time before.
    moment = given.stat().st_mtime - 3600
    shutil.copy2(first, given)
    os.utime(given, (moment, moment))
    finished = snakemake(*runs)
    assert planned(finished.stdout) == {"train": 1}
    assert started.read_bytes() != before
    assert "Nothing to be done" in snakemake(*runs).stdout


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_result_of_another_experiment_is_published_and_begun_with(
    snakemake, prepared_experiment: str, workflow_dir: Path
) -> None:
    del prepared_experiment
    write_experiment(workflow_dir, "first", "{train: {epochs: 1}}")
    write_experiment(workflow_dir, "second", "{train: {epochs: 1, pretrained: {result: results/pneumonia/first/1}}}")
    target = str(RUNS / "second" / "1" / MODEL)
    finished = snakemake(target)
    assert finished.returncode == 0, finished.stdout[-3000:]
    assert planned(finished.stdout) == {"train": 2, "evaluate": 1, "publish": 1}
    log = workflow_dir / RUNS / "second" / "1" / "train.log"
    assert "pretrained weights of results/pneumonia/first/1/model.safetensors" in log.read_text()
    assert "Nothing to be done" in snakemake(target).stdout

    # Published again with other words, the model is the same: the training that began with it is finished already.
    path = workflow_dir / "config" / "experiments" / "pneumonia" / "first.yaml"
    path.write_text(path.read_text().replace("description: two tiny jobs", "description: other words"))
    finished = snakemake(target)
    assert finished.returncode == 0, finished.stdout[-3000:]
    assert planned(finished.stdout) == {"publish": 1, "train": 1}
    assert "it was finished; its outputs are written again" in log.read_text()
    assert "Nothing to be done" in snakemake(target).stdout
