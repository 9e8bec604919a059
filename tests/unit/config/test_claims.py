"""Published figures beside an experiment."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from auscult.config import list_experiments, load_experiment, load_task
from auscult.config.claims import CLAIMS, CLAIMS_FILE
from auscult.config.documents import read_yaml
from auscult.errors import ConfigError
from auscult.metrics.scores import multi_class_values


def test_an_experiment_holds_its_claims_and_the_file_is_none_itself(project_dir: Path) -> None:
    config = project_dir / "config"
    assert ("sprsound", "claims") not in list_experiments(config)
    task21 = load_experiment(config, "sprsound", "task21")
    assert [(claim.metric, claim.value, claim.verified) for claim in task21.claims] == [
        ("challenge_score", 0.745, True)
    ]
    assert load_experiment(config, "sprsound", "task11").claims == ()


def test_every_claim_is_of_an_experiment_and_of_a_metric_that_its_task_has(project_dir: Path) -> None:
    config = project_dir / "config"
    for path in (config / "experiments").glob(f"*/{CLAIMS_FILE}"):
        for name, claims in CLAIMS.validate_python(read_yaml(path)).items():
            task = load_task(config, load_experiment(config, path.parent.name, name).task)
            shares = np.full((1, len(task.targets)), 1 / len(task.targets))
            values, _ = multi_class_values(np.array([0]), shares, np.array([0]), np.ones((1, 1), np.float32), task)
            assert {claim.metric for claim in claims} <= set(values)


def test_a_claim_without_a_source_is_refused(project_dir: Path, tmp_path: Path) -> None:
    config_dir = Path(shutil.copytree(project_dir / "config", tmp_path / "config"))
    path = config_dir / "experiments" / "pneumonia" / CLAIMS_FILE
    path.write_text("train2356:\n  - {paper: p, split: s, metric: auroc, value: 0.9}\n")
    with pytest.raises(ConfigError, match=r"claims\.yaml: train2356.*source"):
        load_experiment(config_dir, "pneumonia", "train2356")
