"""Probes in the workflow: the encoder first, its embeddings once for all probes, and a result like any other."""

import json
import re
from pathlib import Path

import pytest
from tests.workflow.test_earlier_results import write_experiment

RESULT = "results/pneumonia/probed"
LINEAR = f"{{probe: {{encoder: {RESULT}/1}}}}"
NEIGHBOURS = f"{{probe: {{encoder: {RESULT}/1, method: knn, resample: patients}}, seeds: [0, 1]}}"


def planned(output: str) -> dict[str, int]:
    names = "embed_clips|train|evaluate|publish"
    return {name: int(n) for name, n in re.findall(rf"^({names}) +(\d+)$", output, flags=re.MULTILINE)}


def test_embeddings_are_planned_once_for_all_probes(snakemake, tiny_experiment: str, workflow_dir: Path) -> None:
    del tiny_experiment
    write_experiment(workflow_dir, "probed", "{}", LINEAR, NEIGHBOURS)
    write_experiment(workflow_dir, "outside", LINEAR, LINEAR)
    finished = snakemake("--dry-run", RESULT)
    assert finished.returncode == 0, finished.stdout
    assert planned(finished.stdout) == {"embed_clips": 2, "train": 4, "evaluate": 4, "publish": 1}
    finished = snakemake("--dry-run", "results/pneumonia/outside")
    assert planned(finished.stdout) == {"embed_clips": 4, "train": 6, "evaluate": 6, "publish": 2}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_probes_are_fitted_evaluated_and_published(snakemake, prepared_experiment: str, workflow_dir: Path) -> None:
    del prepared_experiment
    write_experiment(workflow_dir, "probed", "{train: {epochs: 1}}", LINEAR, NEIGHBOURS)
    finished = snakemake(RESULT)
    assert finished.returncode == 0, finished.stdout[-3000:]
    assert planned(finished.stdout) == {"embed_clips": 2, "train": 4, "evaluate": 4, "publish": 1}
    result = workflow_dir / RESULT
    models = {job: json.loads((result / job / "model.json").read_text()) for job in ("1", "2", "3/seed0", "3/seed1")}
    digest = models["1"]["weights_sha256"]
    for job in ("2", "3/seed0", "3/seed1"):
        encoder = models[job]["training"]["probe"]["encoder"]
        assert encoder["weights_sha256"] == digest and encoder["has_same_split"]
    assert "A nearest-neighbour probe" in (result / "report.html").read_text()
    assert "Nothing to be done" in snakemake(RESULT).stdout

    # Another probe needs no embedding anew; another encoder needs all of them.
    write_experiment(workflow_dir, "probed", "{train: {epochs: 1}}", LINEAR, NEIGHBOURS, LINEAR)
    assert planned(snakemake("--dry-run", RESULT).stdout) == {"train": 1, "evaluate": 1, "publish": 1}
    write_experiment(workflow_dir, "probed", "{train: {epochs: 1, seed: 1}}", LINEAR)
    finished = snakemake("--dry-run", "work/runs/pneumonia/probed/2/model.json")
    assert planned(finished.stdout) == {"embed_clips": 2, "train": 2}
