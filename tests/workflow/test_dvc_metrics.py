"""`dvc metrics diff` between two commits, as docs/data.md shows it."""

import json
import shutil
from pathlib import Path

import pytest
from tests.workflow.repository import Repository
from tests.workflow.test_dvc_remote import PROJECT

METRICS = "results/pneumonia/train2356/metrics.json"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    root = tmp_path / "project"
    root.mkdir()
    repository = Repository(root, tmp_path)
    repository("git init -q -b main")
    repository("dvc init -q")
    for name in ("dvc.yaml", ".gitignore"):
        shutil.copyfile(PROJECT / name, root / name)
    return repository


def publish(repository: Repository, auroc: float) -> None:
    path = repository.root / METRICS
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"jobs": {"1": {"auroc": auroc, "best_epoch": 4}}}))


def test_results_of_two_commits_are_compared(repository: Repository) -> None:
    publish(repository, 0.75)
    repository("git add .")
    assert "results" not in repository("git ls-files")
    repository(f"git add --force {METRICS}")
    repository("git commit -q -m first")
    publish(repository, 0.875)
    # Not committed yet: against the last commit.
    assert json.loads(repository("dvc metrics diff --json"))[METRICS]["jobs.1.auroc"]["diff"] == 0.125
    repository("git commit -q -a -m second")
    between = json.loads(repository("dvc metrics diff --json HEAD~1 HEAD"))
    assert between == {METRICS: {"jobs.1.auroc": {"old": 0.75, "new": 0.875, "diff": 0.125}}}


def test_a_result_that_is_being_made_anew_does_not_make_the_code_look_changed(repository: Repository) -> None:
    from auscult.provenance import git_state

    publish(repository, 0.75)
    repository("git add .")
    repository(f"git add --force {METRICS}")
    repository("git commit -q -m first")
    (repository.root / METRICS).unlink()
    assert git_state(repository.root)["dirty"] is False
    (repository.root / "dvc.yaml").write_text("stages: {}\n")
    assert git_state(repository.root)["dirty"] is True
